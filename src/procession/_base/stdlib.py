"""The private corners of ``multiprocessing`` that pickling touches, each with its reason."""

import sys
from collections.abc import Callable
from multiprocessing import context as _context
from multiprocessing.reduction import DupFd as DupFd  # a descriptor for a child being spawned
from multiprocessing.reduction import ForkingPickler as ForkingPickler  # knows connections, sockets, tensors

__all__ = ["DupFd", "ForkingPickler", "carries_descriptor", "descriptors_sent", "spawning_popen"]

# Who is being spawned just now: an object of ours may be an argument of anybody's Process,
# and an own notion of "spawning" beside this one is what breaks forks of multiprocessing.
spawning_popen: Callable[[], object | None] = _context.get_spawning_popen


# A Connection or socket inside of an item is handed over by a server thread of the sender, once: whoever unpickles the
# item a second time gets nothing. No pickler says that it did so.


def descriptors_sent() -> int:
    """How many were given to that server until now, by any thread; 0: it was never needed."""
    module = sys.modules.get("multiprocessing.resource_sharer")
    return module._resource_sharer._key if module is not None else 0  # type: ignore[no-any-return]


def carries_descriptor(pickler: ForkingPickler) -> bool:
    """Did it pickle one of them? Asked if ``descriptors_sent()`` has grown: another thread may have sent it."""
    sent = sys.modules["multiprocessing.resource_sharer"].DupFd
    return any(isinstance(seen, sent) for _, seen in pickler.memo.copy().values())  # type: ignore[attr-defined]
