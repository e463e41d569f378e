"""A queue that gives the lowest first. multiprocessing has none: programs reach one of `queue` through a manager."""

import queue
from collections.abc import Callable
from functools import partial
from multiprocessing.managers import SyncManager
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Part, perform

OURS, MANAGED, FIFO = "procession.PriorityQueue", "queue.PriorityQueue in a manager", "multiprocessing.Manager().Queue"
WAITING = 1000
WARM_UP = 10


class Manager(SyncManager):
    """One that knows queue.PriorityQueue."""


Manager.register("PriorityQueue", queue.PriorityQueue)


def item(number: int) -> tuple[int, int]:
    """Priorities in no order, the same ones on every side."""
    return number * 7919 % 1000, number


def produce(channel: Any, count: int) -> Part:
    put = channel.put
    for number in range(WARM_UP):
        put(item(number))
    yield
    for number in range(count):
        put(item(number))


def consume(channel: Any, count: int) -> Part:
    get = channel.get
    for _ in range(WARM_UP):
        get()
    yield
    for _ in range(count):
        get()


def measure(make: Callable[[int], Any], count: int) -> Sample:
    channel = make(WAITING)
    seconds = perform([partial(consume, channel, count), partial(produce, channel, count)]).seconds
    return Sample(seconds, count / seconds)


def with_manager(kind: str, count: int) -> Sample:
    with Manager(ctx=FORK) as manager:
        return measure(getattr(manager, kind), count)


CLAIM = Claim(
    "priorities",
    f"PriorityQueue({WAITING}): pairs of small integers",
    [
        Case(
            "1 producer, 1 consumer",
            "items/s",
            {
                OURS: partial(measure, procession.PriorityQueue),
                MANAGED: partial(with_manager, "PriorityQueue"),
                FIFO: partial(with_manager, "Queue"),
            },
            [Ratio(OURS, MANAGED, 10), Ratio(OURS, FIFO, 1)],
        )
    ],
)
