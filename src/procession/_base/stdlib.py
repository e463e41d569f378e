"""The private corners of ``multiprocessing`` that pickling touches, each with its reason."""

from collections.abc import Callable
from multiprocessing import context as _context
from multiprocessing.reduction import DupFd as DupFd  # a descriptor for a child being spawned
from multiprocessing.reduction import ForkingPickler as ForkingPickler  # knows connections, sockets, tensors
from typing import Any

__all__ = ["DupFd", "ForkingPickler", "own_reducers", "spawning_popen"]

# Who is being spawned just now: an object of ours may be an argument of anybody's Process,
# and an own notion of "spawning" beside this one is what breaks forks of multiprocessing.
spawning_popen: Callable[[], object | None] = _context.get_spawning_popen


def own_reducers() -> dict[type, Callable[[Any], Any]]:
    """Return what ``ForkingPickler.register`` has been told: the dict itself, which looks up what a program registered."""
    reducers: dict[type, Callable[[Any], Any]] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    return reducers
