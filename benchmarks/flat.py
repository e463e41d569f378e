"""Memory stays flat: what both processes and the domain hold on the way through a million arrays. Fails if it grew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import procession
from benchmarks.team import Part, perform
from procession._memory.domain import domains

NAME = "flat"
ARRAYS, QUICK = 1_000_000, 100_000
SIZE = 32 << 10  # from here on arrays do not travel inside the queue
WAITING = 16
MARKS = (0.1, 0.5, 1.0)
HEADS = [f"at {mark:.0%}" for mark in MARKS]
TOLERATED = 2 << 20  # bytes, from the first mark to any later one: about two for each array


class Memory(NamedTuple):
    """Bytes at one mark."""

    who: str
    at: list[int]  # one for each mark

    def grew(self) -> bool:
        return max(self.at) > self.at[0] + TOLERATED


ARRAY = np.ones(SIZE, np.uint8)


def copied() -> Any:
    """The same array each time: the queue copies it."""
    return ARRAY


def made() -> Any:
    """A new one in shared memory, its pages written."""
    return procession.shared_array(SIZE, np.uint8, fill=1)


def resident() -> int:
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    raise RuntimeError("the kernel does not say how much is resident")


def produce(queue: Any, make: Callable[[], Any], count: int) -> Part:
    yield
    put = queue.put
    own, shared = [], []
    for first, last in spans(count):
        for _ in range(first, last):
            put(make())
        own.append(resident())
        shared.append(domains.current().used()["committed"])
    return [Memory("producer, resident", own), Memory("domain, committed", shared)]


def consume(queue: Any, count: int) -> Part:
    yield
    get = queue.get
    own = []
    for first, last in spans(count):
        for _ in range(first, last):
            array = get()
            if array[-1] != 1:
                raise RuntimeError("an array has come with other bytes")
        own.append(resident())
    return [Memory("consumer, resident", own)]


def spans(count: int) -> list[tuple[int, int]]:
    marks = [0, *(int(mark * count) for mark in MARKS)]
    return list(pairwise(marks))


@dataclass(frozen=True)
class Run:
    """Figures of one way through `count` arrays."""

    title: str
    memories: list[Memory]

    @property
    def is_flat(self) -> bool:
        return not any(memory.grew() for memory in self.memories)

    def rows(self) -> Iterator[tuple[str, ...]]:
        for memory in self.memories:
            mib = [f"{at / (1 << 20):.1f}" for at in memory.at]
            yield (memory.who, *mib, "GREW" if memory.grew() else "")

    def text(self) -> str:
        rows = [("", *HEADS, ""), *self.rows()]
        lines = (f"    {who:30} {' '.join(f'{value:>9}' for value in values)}".rstrip() for who, *values in rows)
        return "\n".join([f"{NAME}: {self.title} [MiB]", *lines])

    def markdown(self) -> str:
        rows = ["", f"## {NAME}: {self.title}", "", f"| MiB | {' | '.join(HEADS)} | |", "|---|---|---|---|---|"]
        return "\n".join([*rows, *(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in self.rows())]) + "\n"


def run(count: int) -> Iterator[Run]:
    for title, make in (("copied", copied), ("made in shared memory", made)):
        queue = procession.Queue(WAITING)
        outcome = perform([partial(produce, queue, make, count), partial(consume, queue, count)])
        rate = f"{count:,} arrays of {SIZE >> 10} KiB, {title}, {count / outcome.seconds:,.0f} a second"
        yield Run(rate, [memory for part in outcome.returned for memory in part])
