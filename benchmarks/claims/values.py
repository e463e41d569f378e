"""Adding one to a shared number: under its lock, as programs write it, and without one."""

from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Part, perform

OURS, THEIRS, ATOMIC = "procession.Value", "multiprocessing.Value", "procession.Atomic"
MAKE: dict[str, Callable[[], Any]] = {
    OURS: lambda: procession.Value("q", 0),
    THEIRS: lambda: FORK.Value("q", 0),
    ATOMIC: procession.Atomic,
}


def under_lock(counter: Any, count: int) -> Part:
    with counter.get_lock():
        counter.value += 0
    yield
    for _ in range(count):
        with counter.get_lock():
            counter.value += 1


def without_lock(counter: procession.Atomic, count: int) -> Part:
    counter.add(0)
    yield
    for _ in range(count):
        counter.add(1)


def increments(kind: str, processes: int) -> Callable[[int], Sample]:
    """Measures how often all together add one in a second."""

    def measure(count: int) -> Sample:
        counter = MAKE[kind]()
        each = max(count // processes, 1)
        way: Callable[[Any, int], Part] = without_lock if kind == ATOMIC else under_lock
        seconds = perform([partial(way, counter, each)] * processes).seconds
        if counter.value != each * processes:
            raise AssertionError(f"{kind}: {each * processes} increments made {counter.value}")
        return Sample(seconds, each * processes / seconds)

    return measure


def case(processes: int, value: float, atomic: float) -> Case:
    title = "alone" if processes == 1 else f"{processes} processes"
    return Case(
        title,
        "increments/s",
        {kind: increments(kind, processes) for kind in MAKE},
        [Ratio(OURS, THEIRS, value), Ratio(ATOMIC, THEIRS, atomic)],
    )


CLAIM = Claim(
    "values",
    "value += 1 under the lock",
    [case(1, value=1.5, atomic=5), case(2, value=2, atomic=10), case(4, value=2, atomic=10)],
)
