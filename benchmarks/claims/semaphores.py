"""Semaphores: a permit handed over, there and back, on one CPU and on two; taken and given back alone and in a crowd."""

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.claims.events import OURS, SIDES, THEIRS, cases, median_of
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import Part, perform


def ask(there: Any, back: Any, count: int) -> Part:
    def trip() -> None:
        there.release()
        back.acquire()

    trip()
    yield
    return median_of(trip, count)


def answer(there: Any, back: Any, count: int) -> Part:
    def trip() -> None:
        there.acquire()
        back.release()

    trip()
    yield
    for _ in range(count):
        trip()


def there_and_back(side: Any) -> list[Callable[[int], Part]]:
    there, back = side.Semaphore(0), side.Semaphore(0)
    return [partial(ask, there, back), partial(answer, there, back)]


def take_and_give(semaphore: Any, count: int) -> Part:
    acquire, release = semaphore.acquire, semaphore.release
    acquire()
    release()
    yield
    for _ in range(count):
        acquire()
        release()


def pairs(side: Any, processes: int, permits: int, count: int) -> Sample:
    """How often all together take a permit in a second."""
    semaphore = side.Semaphore(permits)
    each = max(count // processes, 1)
    seconds = perform([partial(take_and_give, semaphore, each)] * processes).seconds
    return Sample(seconds, each * processes / seconds)


def crowd(title: str, processes: int, permits: int, claimed: float) -> Case:
    return Case(
        title,
        "pairs/s",
        {name: partial(pairs, side, processes, permits) for name, side in SIDES.items()},
        [Ratio(OURS, THEIRS, claimed)],
    )


CLAIM = Claim(
    "semaphores",
    "a permit there and back, median; acquire and release",
    [
        *cases("2 semaphores there and back", there_and_back, 1.3, 10),
        crowd("alone", 1, 1, 0.6),
        # A number can be changed by one instruction; a permit that has an owner cannot.
        crowd("2 processes, 1 permit, nothing else to do", 2, 1, 0.1),
    ],
)
