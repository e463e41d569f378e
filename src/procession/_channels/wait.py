"""Waiting for one of several unlike things: ``multiprocessing.connection.wait``, for everything that can be waited for."""

import math
import os
import select
import time
from collections.abc import Iterable
from typing import Any

from procession import _core
from procession._sync.doorbell import Pairs, waits_on

__all__ = ["wait"]

READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Sleep until one of the objects is ready; return those that are, in their order, none after `timeout` seconds.

    Ready is: a queue that has an item, or is shut down; a process that has ended; an Event that is set; a Connection that has
    something, or has come to its end; a lock or semaphore that can be had; a descriptor, a socket, or whatever has
    ``fileno()``, that is readable. Nothing is taken: where others wait too, what was ready may be gone a moment
    later, so take it without blocking.

    `timeout`: seconds; None: for ever; negative: 0. Without objects the answer is an empty list at once.

    Raises TypeError for an object that cannot be waited for, ValueError for a process that was not started, OSError
    for a descriptor that is not open. Signal handlers run, and what they raise comes out.

    >>> import procession
    >>> jobs, stop = procession.Queue(name="jobs"), procession.Queue(name="stop")
    >>> stop.put("now")
    >>> wait([jobs, stop]) == [stop]
    True
    >>> wait([jobs], timeout=0)
    []
    """
    objects = list(object_list)
    pairs: list[tuple[_core.Shared, int]] = []
    whose: list[int] = []  # of each pair: index of the object
    descriptors: dict[int, list[int]] = {}
    for at, obj in enumerate(objects):
        own = waits_on(obj)
        if own is not None:
            pairs.extend(own)
            whose.extend([at] * len(own))
        else:
            descriptors.setdefault(_descriptor(obj), []).append(at)
    if not objects:
        return []
    if not descriptors:
        ready = {whose[index] for index in _core.wait_any(tuple(pairs), timeout)}
    else:
        ready = _wait_mixed(tuple(pairs), whose, descriptors, timeout)
    return [obj for at, obj in enumerate(objects) if at in ready]


def _descriptor(obj: Any) -> int:
    """Return the descriptor that is readable when the object is ready."""
    if isinstance(obj, int) and not isinstance(obj, bool):
        fd: Any = obj
    elif hasattr(type(obj), "sentinel"):
        fd = obj.sentinel  # a process, ours or the standard library's
    elif hasattr(obj, "fileno"):
        fd = obj.fileno()
    elif hasattr(obj, "_reader"):
        fd = obj._reader.fileno()  # a queue of multiprocessing
    else:
        raise TypeError(
            f"wait() takes queues, locks, semaphores, events, processes, connections and descriptors, not {type(obj).__name__}: "
            f"{obj!r}"
        )
    if not isinstance(fd, int) or fd < 0:
        raise ValueError(f"{obj!r} has no open descriptor to wait for (it is {fd!r})")
    return fd


def _wait_mixed(pairs: Pairs, whose: list[int], descriptors: dict[int, list[int]], timeout: float | None) -> set[int]:
    deadline = None if timeout is None else time.monotonic() + max(0.0, timeout)
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, READABLE)
    ready = _look(pairs, whose, descriptors, poll.poll(0))
    if ready or (deadline is not None and time.monotonic() >= deadline):
        return ready
    bell = _core.Bell(pairs)
    try:
        if pairs:
            poll.register(bell.arm(True), READABLE)
        while True:
            left = None if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1000))
            events = poll.poll(left)
            ready = _look(pairs, whose, descriptors, events)
            if ready or (not events and left is not None):
                return ready
            bell.clear()  # what rang was taken by another
    finally:
        bell.close()


def _look(pairs: Pairs, whose: list[int], descriptors: dict[int, list[int]], events: list[tuple[int, int]]) -> set[int]:
    ready = {whose[index] for index in _core.wait_any(pairs, 0)}
    for fd, event in events:
        if event & select.POLLNVAL:
            raise OSError(9, os.strerror(9), f"descriptor {fd}")
        ready.update(descriptors.get(fd, ()))
    return ready
