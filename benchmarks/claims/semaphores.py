"""Semaphores: a permit handed over, there and back, on one CPU and on two; taken and given back alone and in a crowd."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.claims.events import OURS, SIDES, THEIRS, cases, measure, median_of
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


class Floor:
    """The least that a semaphore between processes is: a counter in the kernel, which wakes who reads it. Forked, not sent."""

    class Semaphore:
        """``os.eventfd``: two system calls for a hand-over, and what the kernel needs to go to another process."""

        def __init__(self, value: int) -> None:
            self.fd = os.eventfd(value, os.EFD_SEMAPHORE)

        def acquire(self) -> None:
            os.read(self.fd, 8)

        def release(self) -> None:
            os.eventfd_write(self.fd, 1)

        def __del__(self) -> None:
            os.close(self.fd)


def hand_over() -> list[Case]:
    """On one CPU most of it is the kernel's going from one process to the other, whoever's the semaphore is."""
    one, two = cases("2 semaphores there and back", there_and_back, 1.3, 10)
    floor = {"os.eventfd": partial(measure, there_and_back, Floor, 1)}
    return [replace(one, contestants=one.contestants | floor, parts_of=THEIRS), two]


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
        *hand_over(),
        crowd("alone", 1, 1, 0.6),
        # A number can be changed by one instruction; a permit that has an owner cannot.
        crowd("2 processes, 1 permit, nothing else to do", 2, 1, 0.1),
    ],
)
