"""The private corners of ``multiprocessing`` that pickling touches, each with its reason."""

import multiprocessing as _multiprocessing
import sys
from collections.abc import Callable
from multiprocessing import context as _context
from multiprocessing import util as _util
from multiprocessing.reduction import DupFd as DupFd  # a descriptor for a child being spawned
from multiprocessing.reduction import ForkingPickler as ForkingPickler  # knows connections, sockets, tensors
from typing import Any

__all__ = [
    "DupFd",
    "ForkingPickler",
    "carries_descriptor",
    "descriptors_sent",
    "in_each_child",
    "is_child",
    "own_reducers",
    "spawning_popen",
    "when_child_ends",
]

# Who is being spawned just now: an object of ours may be an argument of anybody's Process,
# and an own notion of "spawning" beside this one is what breaks forks of multiprocessing.
spawning_popen: Callable[[], object | None] = _context.get_spawning_popen


def own_reducers() -> dict[type, Callable[[Any], Any]]:
    """Return what ``ForkingPickler.register`` has been told: the dict itself, which looks up what a program registered."""
    reducers: dict[type, Callable[[Any], Any]] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    return reducers


# A Connection or socket inside of an item is handed over by a server thread of the sender, once: whoever unpickles the
# item a second time gets nothing. No pickler says that it did so.


def descriptors_sent() -> int:
    """How many were given to that server until now, by any thread; 0: it was never needed."""
    module = sys.modules.get("multiprocessing.resource_sharer")
    return module._resource_sharer._key if module is not None else 0


def carries_descriptor(pickler: ForkingPickler) -> bool:
    """Did it pickle one of them? Asked if ``descriptors_sent()`` has grown: another thread may have sent it."""
    sent = sys.modules["multiprocessing.resource_sharer"].DupFd
    return any(isinstance(seen, sent) for _, seen in pickler.memo.copy().values())


# How a child says that it ends well, whoever started it: what ``multiprocessing`` runs in it first and last.

in_each_child: Callable[[object, Callable[[object], None]], None] = _util.register_after_fork


def when_child_ends(callback: Callable[[], None]) -> None:
    """Call it after all other finalizers of this child; the exception that ended ``run()`` is ``sys.exc_info()`` then."""
    _util.Finalize(None, callback, exitpriority=-1000)


def is_child() -> bool:
    """Is this a child of ``multiprocessing``, or one that is still unpickling what it shall run?"""
    return _multiprocessing.parent_process() is not None or hasattr(_multiprocessing.current_process(), "_inheriting")
