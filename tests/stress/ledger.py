"""What the tortured leave behind of themselves: a map in shared memory, made by the driver, that outlives every kill.

An item's id is (line of its producer, number). A producer writes ``attempting`` before a put and ``committed`` when
it has returned; a consumer writes ``asking``, the most that it may have in hand, before a get, marks each item's byte
when it has returned, and clears ``asking``. So when everybody is gone, the map tells of every item what became of it.

A consumer of a queue with leases keeps receipts as well: one for each item that a get gave it, with what it did to it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ACKED",
    "ACKING",
    "ASLEEP",
    "AWAKE",
    "ENDED",
    "FAILED",
    "HELD",
    "ITEMS",
    "LEFT",
    "OUTSIDE",
    "RECEIPTS",
    "Ledger",
    "Line",
    "LockCell",
    "Receipt",
    "Verdict",
]

ITEMS = 1 << 16  # of one producer's life
RECEIPTS = 1 << 14  # of one consumer's life
RECEIPT_WORDS = 2
PAGE = 4096
LINE_WORDS = 16
CELL_WORDS = 8
CELLS = 16

OUTSIDE, ASLEEP, AWAKE = 0, 1, 2  # phases of one who holds a lock, or does not
HELD, ACKING, ACKED = 0, 1, 2  # states of a receipt
ENDED, LEFT, FAILED = 1, 2, 3  # how a consumer says that it ends now: with nothing, holding items, in failure


def _word(number: int) -> Any:
    def read(self: Any) -> int:
        return int(self.words[self.base + number])

    def write(self: Any, value: int) -> None:
        self.words[self.base + number] = value

    return property(read, write)


class Line:
    """What one process tells of itself; each word is written by it alone."""

    began: int = _word(0)
    beats: int = _word(1)  # calls that returned
    attempting: int = _word(2)
    committed: int = _word(3)
    asking: int = _word(4)
    received: int = _word(5)
    phase: int = _word(6)
    queue: int = _word(7)  # number of the queue that one puts to, above 0; written by the driver
    pid: int = _word(8)
    ending: int = _word(9)
    receipts: int = _word(10)
    bulky: int = _word(11)  # large items received
    bulk: int = _word(12)  # their bytes

    def __init__(self, words: memoryview, base: int) -> None:
        self.words = words
        self.base = base


class LockCell:
    """What a lock protects: two numbers that are equal whenever nobody is inside, and who is inside.

    Of a semaphore: a place for each of its permits, with the pid of who sits there.
    """

    left: int = _word(0)
    right: int = _word(1)
    inside: int = _word(2)  # pid
    entries: int = _word(3)

    def __init__(self, words: memoryview, base: int) -> None:
        self.words = words
        self.base = base

    def place(self, number: int) -> int:
        return int(self.words[self.base + 4 + number])

    def sit(self, number: int, pid: int) -> None:
        self.words[self.base + 4 + number] = pid


@dataclass(frozen=True)
class Receipt:
    """What a consumer of a queue with leases says of one item that it got."""

    line: int
    identity: int
    state: int
    number: int | None  # the item's id in its queue; None: it was not told
    deliveries: int  # 0: it was not told


@dataclass
class Verdict:
    """What became of the items of one queue."""

    passed: int = 0
    missing: int = 0  # committed, and no get returned them
    in_hand: int = 0  # of these, what killed consumers may have had in hand
    hands: int = 0  # the most that those may have had
    scattered: int = 0  # holes in what a producer put, more than consumers were killed: a take makes one
    doubled: int = 0
    invented: int = 0  # delivered, and nobody tried to put them
    torn: int = 0  # gaps in what a put_many that was killed had committed

    @property
    def lost(self) -> int:
        """Committed, not delivered, and in nobody's hand."""
        return self.missing - self.in_hand


class Ledger:
    """The map. It pickles to a path, so that a spawned process maps the same."""

    def __init__(self, lines: int, path: str | None = None) -> None:
        self.count = lines
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC) if path else os.memfd_create("torture", os.MFD_CLOEXEC)
        self.path = path or f"/proc/{os.getpid()}/fd/{self._fd}"
        self._lines_at = (8 + CELLS * CELL_WORDS) * 8
        self._items_at = -(-(self._lines_at + lines * LINE_WORDS * 8) // PAGE) * PAGE
        self._receipts_at = self._items_at + lines * ITEMS
        size = self._receipts_at + lines * RECEIPTS * RECEIPT_WORDS * 8
        os.ftruncate(self._fd, size)
        self._map = mmap.mmap(self._fd, size)
        self._bytes = memoryview(self._map)
        self.words = self._bytes[: self._items_at].cast("Q")
        self._receipts = self._bytes[self._receipts_at :].cast("Q")

    def __reduce__(self) -> tuple[Callable[..., Ledger], tuple[int, str]]:
        return Ledger, (self.count, self.path)

    def close(self) -> None:
        self.words.release()
        self._receipts.release()
        self._bytes.release()
        self._map.close()
        os.close(self._fd)

    def line(self, number: int) -> Line:
        return Line(self.words, self._lines_at // 8 + number * LINE_WORDS)

    def lock_cell(self, number: int) -> LockCell:
        return LockCell(self.words, 8 + number * CELL_WORDS)

    @property
    def finishing(self) -> bool:
        """Shall those who produce or hold come to an end?"""
        return bool(self.words[0])

    @finishing.setter
    def finishing(self, value: bool) -> None:
        self.words[0] = value

    @property
    def drained(self) -> bool:
        """Is everything done that can be?"""
        return bool(self.words[1])

    @drained.setter
    def drained(self, value: bool) -> None:
        self.words[1] = value

    # -- receipts: the count commits them, so a kill leaves each whole or not there

    def note(self, line: int, got: list[tuple[int, int | None, int]]) -> list[int]:
        """Write receipts of (identity, id, deliveries); return where each stands."""
        here = self.line(line)
        first = here.receipts
        for index, (identity, number, deliveries) in enumerate(got, first):
            at = (line * RECEIPTS + index) * RECEIPT_WORDS
            self._receipts[at] = identity << 2 | HELD
            self._receipts[at + 1] = (0 if number is None else number + 1) << 16 | min(deliveries, 0xFFFF)
        here.receipts = first + len(got)
        return [*range(first, first + len(got))]

    def mark(self, line: int, index: int, state: int) -> None:
        """Write what becomes of an item that was noted."""
        at = (line * RECEIPTS + index) * RECEIPT_WORDS
        self._receipts[at] = self._receipts[at] >> 2 << 2 | state

    def receipts(self, line: int) -> list[Receipt]:
        """Read what a consumer has noted."""
        start = line * RECEIPTS * RECEIPT_WORDS
        words = self._receipts[start : start + self.line(line).receipts * RECEIPT_WORDS].tolist()
        return [
            Receipt(line, item >> 2, item & 3, (told >> 16) - 1 if told >> 16 else None, told & 0xFFFF)
            for item, told in zip(words[::2], words[1::2], strict=True)
        ]

    def not_done(self, line: int, committed: int) -> int:
        """Count the items without a mark among the first of a producer."""
        start = self._items_at + line * ITEMS
        return bytes(self._bytes[start : start + committed]).count(0)

    def delivered_twice(self, line: int) -> int:
        """Count the items of one line that were delivered more than once."""
        start = self._items_at + line * ITEMS
        marks = bytes(self._bytes[start : start + ITEMS])
        return ITEMS - marks.count(0) - marks.count(1)

    def deliver(self, identity: int) -> None:
        """Mark an item: its get has returned, or with leases: it is about to be acked. A mark of 2: twice."""
        line, number = divmod(identity, ITEMS)
        if not 0 <= line < self.count:
            raise ValueError(f"an item from nowhere: {identity:#x}")
        at = self._items_at + line * ITEMS + number
        self._bytes[at] = min(self._bytes[at] + 1, 255)

    def judge(self, producers: list[int], consumers: list[int], *, spared: bool) -> Verdict:
        """Add up one queue, when all of its processes are gone. `spared`: no consumer was killed."""
        verdict = Verdict()
        hands = [] if spared else [asked for number in consumers if (asked := self.line(number).asking)]
        for number in producers:
            line = self.line(number)
            start = self._items_at + number * ITEMS
            marks = bytes(self._bytes[start : start + ITEMS])
            committed, attempting = line.committed, max(line.attempting, line.committed)
            verdict.passed += ITEMS - marks.count(0)
            verdict.missing += marks.count(0, 0, committed)
            verdict.doubled += ITEMS - marks.count(0) - marks.count(1)
            verdict.invented += ITEMS - attempting - marks.count(0, attempting)
            holes = marks[:committed].count(b"\1\0") + marks[:committed].startswith(b"\0")
            verdict.scattered += max(0, holes - len(hands))
            if spared:  # a commit is all or nothing, and commits follow each other
                verdict.torn += b"\0\1" in marks[committed:attempting]
        verdict.hands = sum(hands)
        verdict.in_hand = min(verdict.missing, verdict.hands)
        return verdict
