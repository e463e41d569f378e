"""Handing over: one process says, another one goes. There and back, by events, a condition or a barrier.

Each case is measured with all processes on one CPU, where two changes of process are most of it, and with them on two.
"""

import mmap
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Member, Part, finish, perform

OURS, THEIRS = "procession", "multiprocessing"
SIDES: dict[str, Any] = {OURS: procession, THEIRS: FORK}


def median_of(trip: Callable[[], object], count: int) -> float:
    clock, trips = time.perf_counter, []
    for _ in range(count):
        begin = clock()
        trip()
        trips.append(clock() - begin)
    return statistics.median(trips)


def ask_by_events(there: Any, back: Any, count: int) -> Part:
    def trip() -> None:
        there.set()
        back.wait()
        back.clear()

    trip()
    yield
    return median_of(trip, count)


def answer_by_events(there: Any, back: Any, count: int) -> Part:
    def trip() -> None:
        there.wait()
        there.clear()
        back.set()

    trip()
    yield
    for _ in range(count):
        trip()


def take_turns(condition: Any, turn: Any, mine: int, count: int) -> Part:
    """Mine, then the other's; the value has changed when it is mine again."""

    def trip() -> None:
        with condition:
            while turn[0] != mine:
                condition.wait()
            turn[0] = 1 - mine
            condition.notify()

    trip()
    yield
    return median_of(trip, count)


def meet(barrier: Any, count: int) -> Part:
    barrier.wait()
    yield
    return median_of(barrier.wait, count)


def be_called(condition: Any, numbers: Any, mine: int, count: int) -> Part:
    """Wait for each call of many, and answer."""

    def trip(number: int) -> None:
        with condition:
            while numbers[0] < number:
                condition.wait()
        numbers[mine] = number

    trip(1)
    yield
    for number in range(2, count + 2):
        trip(number)


def call_all(condition: Any, numbers: Any, count: int) -> Part:
    """notify_all, and then until all have answered."""
    others = range(1, len(numbers))

    def trip() -> None:
        with condition:
            numbers[0] += 1
            condition.notify_all()
        while any(numbers[other] < numbers[0] for other in others):
            os.sched_yield()

    trip()
    yield
    return median_of(trip, count)


def shared(count: int) -> Any:
    """So many integers that all processes see."""
    return memoryview(mmap.mmap(-1, 8 * count)).cast("q")


def pinned(cpu: int, member: Member) -> Part:
    """The member, on that CPU."""
    os.sched_setaffinity(0, {cpu})
    part = member()
    next(part)
    yield
    return finish(part)


def sample(members: list[Member], cpus: int) -> Sample:
    """The median of the first that tells one, in microseconds."""
    known = sorted(os.sched_getaffinity(0))[:cpus]
    outcome = perform([partial(pinned, known[i % len(known)], member) for i, member in enumerate(members)])
    return Sample(outcome.seconds, next(value for value in outcome.returned if value is not None) * 1e6)


Way = Callable[[Any], list[Callable[[int], Part]]]  # of one side: its members, who are told how often


def by_events(side: Any) -> list[Callable[[int], Part]]:
    there, back = side.Event(), side.Event()
    return [partial(ask_by_events, there, back), partial(answer_by_events, there, back)]


def by_condition(side: Any) -> list[Callable[[int], Part]]:
    condition, turn = side.Condition(), shared(1)
    return [partial(take_turns, condition, turn, mine) for mine in (0, 1)]


def by_notify_all(side: Any) -> list[Callable[[int], Part]]:
    condition, numbers = side.Condition(), shared(5)
    return [partial(call_all, condition, numbers), *(partial(be_called, condition, numbers, n) for n in range(1, 5))]


def by_barrier(parties: int) -> Way:
    def members(side: Any) -> list[Callable[[int], Part]]:
        return [partial(meet, side.Barrier(parties))] * parties

    return members


def measure(way: Way, side: Any, cpus: int, count: int) -> Sample:
    return sample([partial(member, count) for member in way(side)], cpus)


def cases(title: str, way: Way, one: float, two: float) -> list[Case]:
    """The same on one CPU and on two, with how many times faster each is claimed to be."""
    return [
        Case(
            f"{title}, {'1 CPU' if cpus == 1 else f'{cpus} CPUs'}",
            "us",
            {name: partial(measure, way, side, cpus) for name, side in SIDES.items()},
            [Ratio(OURS, THEIRS, claimed)],
            more_is_better=False,
        )
        for cpus, claimed in ((1, one), (2, two))
    ]


CLAIM = Claim(
    "events",
    "handing over, median",
    [
        *cases("2 events there and back", by_events, 3, 30),
        *cases("a condition there and back", by_condition, 2, 30),
        *cases("notify_all to 4 processes, and their answers", by_notify_all, 2, 3),
        *cases("a barrier of 2 processes", by_barrier(2), 3, 10),
        *cases("a barrier of 4 processes", by_barrier(4), 3, 10),
    ],
)
