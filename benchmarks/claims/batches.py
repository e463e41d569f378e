"""Batches of 100: `put_many` and `get_many`."""

from collections.abc import Callable
from itertools import repeat
from typing import Any

from benchmarks.flow import Consumer, throughput
from benchmarks.peers import FASTER_FIFO, OURS
from benchmarks.runner import Case, Claim, Ratio
from benchmarks.team import Part

SIZE = 100
BATCH = list(range(SIZE))


def produce(end: Any, warm_up: int, count: int) -> Part:
    put_many = end.put_many
    for batch in repeat(BATCH, warm_up // SIZE):
        put_many(batch)
    yield
    for batch in repeat(BATCH, count // SIZE):
        put_many(batch)


def consumer(get_many: Callable[[Any, int], list[Any]]) -> Consumer:
    def consume(end: Any, warm_up: int, count: int) -> Part:
        take(end, warm_up)
        yield
        take(end, count)

    def take(end: Any, count: int) -> None:
        while count:  # never more than our share: the rest is for the other consumers
            count -= len(get_many(end, min(count, SIZE)))

    return consume


CONSUMERS = {
    OURS: consumer(lambda end, most: end.get_many(most)),
    FASTER_FIFO: consumer(lambda end, most: end.get_many(max_messages_to_get=most)),
}

CLAIM = Claim(
    "batches",
    f"small integers, {SIZE} in a call",
    [
        Case(
            f"{n} producer(s), {n} consumer(s)",
            "items/s",
            {peer: throughput(peer, n, n, (produce, consume), share=SIZE) for peer, consume in CONSUMERS.items()},
            [Ratio(OURS, FASTER_FIFO, 50)],
        )
        for n in (1, 4)
    ],
)
