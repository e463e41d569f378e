"""The private corners of ``multiprocessing`` that pickling touches, each with its reason."""

import functools
import multiprocessing as _multiprocessing
import sys
from collections.abc import Callable
from multiprocessing import context as _context
from multiprocessing import popen_fork as _popen_fork
from multiprocessing import process as _process
from multiprocessing.reduction import DupFd as DupFd  # a descriptor for a child being spawned
from multiprocessing.reduction import ForkingPickler as ForkingPickler  # knows connections, sockets, tensors
from typing import Any

__all__ = [
    "DupFd",
    "ForkingPickler",
    "carries_descriptor",
    "descriptors_sent",
    "is_child",
    "own_reducers",
    "spawning_popen",
    "tell_exit_codes",
    "tell_forks",
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


def tell_exit_codes(told: Callable[[int], None]) -> None:
    """Call `told` in every child of ``multiprocessing`` at its end, with its exit code.

    No finalizer learns it: from 3.13 on they run when ``run()`` is forgotten. So what all children run, whatever started
    them, and what their own plain forks return through, is wrapped.
    """
    bootstrap = _process.BaseProcess._bootstrap  # type: ignore[attr-defined]

    @functools.wraps(bootstrap)
    def telling(self: Any, *args: Any, **kwargs: Any) -> int:
        code: int = bootstrap(self, *args, **kwargs)
        told(code)
        return code

    _process.BaseProcess._bootstrap = telling  # type: ignore[attr-defined]


def tell_forks(about_to: Callable[[object], Callable[[], None]]) -> None:
    """Call `about_to` with each process that ``multiprocessing`` is about to fork, and what it returns afterwards.

    A child by fork is given nothing that says whose it is: what it shall use is known here only, before it is there.
    """
    launch = _popen_fork.Popen._launch  # type: ignore[attr-defined]

    @functools.wraps(launch)
    def telling(self: Any, process: Any) -> None:
        done = about_to(process)
        try:
            launch(self, process)
        finally:
            done()

    _popen_fork.Popen._launch = telling  # type: ignore[attr-defined]


def is_child() -> bool:
    """Is this a child of ``multiprocessing``, or one that is still unpickling what it shall run?"""
    return _multiprocessing.parent_process() is not None or hasattr(_multiprocessing.current_process(), "_inheriting")
