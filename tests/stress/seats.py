"""Places that are always taken, and what is watched: who is killed at a seat is replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.stress.ledger import LockCell
from tests.stress.tally import Tally

__all__ = ["LockUnderTest", "QueueUnderTest", "Seat", "Stuck", "Watched"]

STUCK = 3.0  # seconds


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

    name: str
    progress: Callable[[], int]
    could_move: Callable[[], bool]
    seen: int = -1
    idle: float = 0.0

    def look(self, elapsed: float, tally: Tally) -> None:
        now = self.progress()
        if now != self.seen or not self.could_move():
            tally.saw_gap(self.idle, self.name)
            self.seen, self.idle = now, 0.0
            return
        self.idle += elapsed
        if self.idle > STUCK:
            tally.saw_gap(self.idle, self.name)
            raise Stuck(self.name)


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
class LockUnderTest:
    lock: Any
    cell_number: int
    cell: LockCell
    holders: list[int] = field(default_factory=list)
