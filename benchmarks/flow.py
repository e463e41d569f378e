"""Throughput from producers to consumers."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from benchmarks.peers import CHANNELS, Opener
from benchmarks.runner import Sample
from benchmarks.team import Member, Part, perform

WARM_UP = 1 / 20  # of the items, before the barrier

Producer = Callable[[Any, int, int], Part]  # (put end, items to warm up, items to be timed)
Consumer = Callable[[Any, int, int], Part]


def one_by_one(items: Callable[[int], Iterable[object]]) -> tuple[Producer, Consumer]:
    """`put` and `get` for each; `items` makes so many of them."""

    def produce(end: Any, warm_up: int, count: int) -> Part:
        put = end.put
        for item in items(warm_up):
            put(item)
        yield
        for item in items(count):
            put(item)

    def consume(end: Any, warm_up: int, count: int) -> Part:
        get = end.get
        for _ in range(warm_up):
            get()
        yield
        for _ in range(count):
            get()

    return produce, consume


def throughput(
    peer: str,
    producers: int,
    consumers: int,
    ways: tuple[Producer, Consumer],
    share: int = 1,
    opener: Opener | None = None,
    least_warm_up: int = 1,
) -> Callable[[int], Sample]:
    """Measures items per second. Each producer's number of items is a multiple of `share`."""
    produce, consume = ways
    open_channel = opener or CHANNELS[peer]

    def measure(count: int) -> Sample:
        # Each puts as many as any other and each takes as many as any other: nobody needs to be told of the end.
        unit = consumers * share
        each = max(count // (producers * unit), 1) * unit
        warm_up = max(int(each * WARM_UP) // unit, least_warm_up) * unit
        taken, warm_taken = each * producers // consumers, warm_up * producers // consumers
        with open_channel(consumers) as channel:
            members: list[Member] = [
                partial(_consume, channel, number, consume, warm_taken, taken) for number in range(consumers)
            ]
            members += [partial(_produce, channel, produce, warm_up, each) for _ in range(producers)]
            seconds = perform(members).seconds
        return Sample(seconds, each * producers / seconds)

    return measure


def _produce(channel: Any, produce: Producer, warm_up: int, count: int) -> Part:
    return produce(channel.put_end(), warm_up, count)


def _consume(channel: Any, number: int, consume: Consumer, warm_up: int, count: int) -> Part:
    return consume(channel.get_end(number), warm_up, count)
