"""The processes that work: hired, replaced when they have ended, ended with the pool.

A death is an event: each worker has a descriptor that is readable from its end on.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from procession._channels.wait import wait
from procession._memory.domain import domains

__all__ = ["Bell", "Grave", "ProcessCrew"]

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
SWEPT = 64  # PN_SLOT_SWEPT of core/slots.h
RETRY = 0.01  # seconds between two looks at what nobody tells of


class Grave(NamedTuple):
    """A worker that has ended, and what it had in hand."""

    pid: int
    name: str
    outcome: Any  # an Outcome, if it was a process of ours
    exitcode: int | None
    numbers: list[int]


class Bell:
    """A descriptor that is readable from ``ring()`` until it is heard."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Its number may be another file's after close(). The garbage collector may ring within a ring.
        self.lock = threading.RLock()

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        """May be called by anybody at any time, also when it is closed."""
        with self.lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def hear(self) -> None:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass

    def close(self) -> None:
        with self.lock:
            os.close(self._fd)
            self._fd = -1


class ProcessCrew:
    """`size` processes that `make` makes; it names the target, the queues are part of that.

    `bury`: asked for the numbers of what a dead process had in hand.
    """

    def __init__(self, size: int, make: Callable[[], Any], bury: Callable[[int], list[int]]) -> None:
        self.members: list[Any] = []
        self._size = size
        self.make = make
        self.bury = bury
        self._hiring = threading.RLock()
        self.locks = (self._hiring,)

    def fill(self) -> None:
        """Start as many as are missing; raises what starting a process raises."""
        with self._hiring, _without_ctrl_c():
            while len(self.members) < self._size:
                process = self.make()
                process.start()
                self.members.append(process)

    def wait(self, bell: Bell, timeout: float | None = None) -> None:
        """Sleep until the bell rings or a member has ended, or for so many seconds."""
        poll = select.poll()
        for watched in [bell.fileno(), *(process.sentinel for process in self.members)]:
            poll.register(watched, select.POLLIN)
        poll.poll(None if timeout is None else timeout * 1000 + 1)
        bell.hear()

    def is_there(self) -> bool:
        """Return whether there are ends to wait for."""
        return bool(self.members)

    def ended(self) -> list[Any]:
        """Take those who have ended out of the members."""
        with self._hiring:
            dead = [process for process in self.members if process.exitcode is not None]
            self.members[:] = [process for process in self.members if process not in dead]
        return dead

    def grave_of(self, process: Any, is_ending: Callable[[], bool]) -> Grave:
        """Say what it had in hand; may wait for whoever has the lock of a queue. Nothing, if the end comes first."""
        process.join()
        numbers = self.bury(process.pid) if _is_swept(process, is_ending) else []
        return Grave(process.pid, process.name, getattr(process, "outcome", None), process.exitcode, numbers)

    def end(self) -> None:
        """End all: SIGTERM, and after a while SIGKILL for those that do not follow it."""
        for process in self.members:
            if process.exitcode is None:
                process.terminate()
        left = {process.sentinel: process for process in self.members if hasattr(process, "sentinel")}
        until = time.monotonic() + GRACE
        while left and (gone := wait(list(left), max(0.0, until - time.monotonic()))):
            for sentinel in gone:
                del left[sentinel]
        for process in left.values():
            process.kill()
        for process in self.members:
            process.join()
        self.members.clear()  # and with them their descriptors

    def join(self) -> None:
        """They have ended when ``end()`` returns."""


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A new process inherits what is blocked: it lets SIGINT through when it has a handler for it (``worker.py``)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_swept(process: Any, is_ending: Callable[[], bool]) -> bool:
    """Wait until what the dead process held is known to be given up; False if the end of all comes first.

    Whoever reaps it does that, and nearly always it is done; but somebody else may have held the lock of the queue just then.
    """
    domain = domains.current()
    slot = getattr(getattr(process, "_popen", None), "procession_slot", None) or _slot_of(process.pid)
    while _is_unswept(slot):
        domain.sweep()
        if _is_unswept(slot):
            if is_ending():
                return False
            time.sleep(RETRY)
    return True


def _slot_of(pid: int) -> tuple[int, int] | None:
    return next(((line[0], line[1]) for line in domains.current().slots() if line[3] == pid), None)


def _is_unswept(slot: tuple[int, int] | None) -> bool:
    return any(line[:2] == slot and not line[7] & SWEPT for line in domains.current().slots())
