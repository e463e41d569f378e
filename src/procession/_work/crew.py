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
RETRY = 0.01  # seconds


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
        self._lock = threading.RLock()

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        """May be called by anybody at any time, also when it is closed."""
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def hear(self) -> None:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass

    def close(self) -> None:
        with self._lock:
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
        self._hiring = threading.Lock()

    def fill(self) -> None:
        """Start as many as are missing; raises what starting a process raises."""
        with self._hiring, _without_ctrl_c():
            while len(self.members) < self._size:
                process = self.make()
                process.start()
                self.members.append(process)

    def wait(self, bell: Bell) -> None:
        """Sleep until the bell rings or a member has ended."""
        poll = select.poll()
        for watched in [bell.fileno(), *(process.sentinel for process in self.members)]:
            poll.register(watched, select.POLLIN)
        poll.poll()
        bell.hear()

    def is_there(self) -> bool:
        """Return whether there are ends to wait for."""
        return bool(self.members)

    def ended(self) -> list[Grave]:
        """Take those who have ended out of the members, and say what each had in hand."""
        with self._hiring:
            dead = [process for process in self.members if process.exitcode is not None]
            self.members[:] = [process for process in self.members if process not in dead]
        return [self._grave_of(process) for process in dead]

    def _grave_of(self, process: Any) -> Grave:
        process.join()
        _see_it_swept(process.pid)
        return Grave(
            process.pid, process.name, getattr(process, "outcome", None), process.exitcode, self.bury(process.pid)
        )

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


def _see_it_swept(pid: int) -> None:
    """Wait until what the dead process held is known to be given up.

    Whoever reaps it does that, and nearly always it is done; but somebody else may have held the lock of the queue just then.
    """
    domain = domains.current()
    while any(line[3] == pid and not line[7] & SWEPT for line in domain.slots()):
        domain.sweep()
        if any(line[3] == pid and not line[7] & SWEPT for line in domain.slots()):
            time.sleep(RETRY)
