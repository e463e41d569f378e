"""Places that are always taken, and what is watched: who is killed at a seat is replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.stress.ledger import LockCell
from tests.stress.looks import CpuTimes, cpu_times
from tests.stress.tally import Tally

__all__ = ["LockUnderTest", "QueueUnderTest", "Seat", "SemaphoreUnderTest", "Stuck", "Watched"]

STUCK = 3.0  # seconds in which it did not only wait for a CPU


class Stuck(Exception):
    """No progress; the text tells where."""


@dataclass
class Seat:
    """A place that is always taken: who is killed there is replaced."""

    role: str
    target: Callable[..., None]
    arguments: Callable[[int], tuple[Any, ...]]  # of a line's number
    lines: list[int] = field(default_factory=list)  # of all that sat here
    process: Any = None
    method: str = ""  # by which that was started
    stopped_until: float = 0.0


@dataclass
class Watched:
    """Something that must show progress whenever somebody could make some."""

    act: str
    thing: Any
    progress: Callable[[], int]
    movers: Callable[[], list[int]]  # the pids of those who could make some now
    seen: int = -1
    idle: float = 0.0
    since: dict[int, CpuTimes] = field(default_factory=dict)  # of the movers, when it had been idle for a while

    def __post_init__(self) -> None:
        self.name = f"{self.act} {type(self.thing).__name__} {self.thing.name!r}"  # not repr(): that tells a state, too

    def look(self, elapsed: float, tally: Tally) -> None:
        now = self.progress()
        if now != self.seen or not (pids := self.movers()):
            tally.saw_gap(self.idle, f"{self.name}{self.cpu()}")
            self.seen, self.idle = now, 0.0
            self.since.clear()
            return
        self.idle += elapsed
        if self.idle < STUCK / 10:
            return
        for pid in pids:
            if pid not in self.since:
                self.since[pid] = cpu_times(pid)
        if self.idle > STUCK and self.idle - max(ready for _, ready in self.used()) > STUCK:
            tally.saw_gap(self.idle, f"{self.name}{self.cpu()}")
            raise Stuck(f"{self.act} {self.thing!r} for {self.idle:.1f} s{self.cpu()}")

    def used(self) -> list[CpuTimes]:
        """What those who could make progress have had of a CPU meanwhile."""
        return [
            CpuTimes(*(max(0.0, now - then) for now, then in zip(cpu_times(pid), times, strict=True)))
            for pid, times in self.since.items()
        ]

    def cpu(self) -> str:
        return "".join(f"; ran {ran:.2f} s, ready {ready:.2f} s" for ran, ready in self.used())


@dataclass
class QueueUnderTest:
    queue: Any
    number: int  # above 0
    high: int  # items that shall wait, about
    bulky: float = 0.0  # the share of large items with buffers
    leased: bool = False
    most: int | None = None  # max_deliveries
    leavers: bool = False  # do consumers end by themselves, with items in hand?
    producers: list[int] = field(default_factory=list)  # lines of all that ever put
    consumers: list[int] = field(default_factory=list)


@dataclass
class SemaphoreUnderTest:
    semaphore: Any
    permits: int
    guard: Any  # a Lock: who looks for a place does so alone
    cell_number: int
    cell: LockCell
    sitters: list[int] = field(default_factory=list)


@dataclass
class LockUnderTest:
    lock: Any
    cell_number: int
    cell: LockCell
    holders: list[int] = field(default_factory=list)
