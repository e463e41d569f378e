"""numpy arrays that are copied on their way: everybody is given the same array again and again."""

from collections.abc import Callable
from functools import cache, partial
from itertools import repeat
from typing import Any

import faster_fifo
import numpy as np

import procession
from benchmarks.flow import one_by_one, throughput
from benchmarks.peers import FASTER_FIFO, MP_QUEUE, OURS, shared
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK

MIB = 1 << 20
PICKLED = 4096  # more than what a pickle adds to the bytes of an array


@cache
def have_guardian() -> None:
    """As in any program that has started a process of ours: without a guardian less freed memory is kept warm."""
    process = procession.Process(target=int, start_method="spawn")
    process.start()
    process.join()


def our_queue(waiting: int) -> Any:
    have_guardian()
    return procession.Queue(waiting)


def peers(size: int, waiting: int) -> dict[str, Callable[[], Any]]:
    """Who holds the same number of arrays at most. multiprocessing's bound is for the arrays that its thread has yet to send."""
    return {
        OURS: partial(our_queue, waiting),
        MP_QUEUE: partial(FORK.Queue, waiting),
        FASTER_FIFO: partial(faster_fifo.Queue, waiting * (size + PICKLED)),
    }


@cache
def array_of(size: int) -> Any:
    """Made by the producer, when it warms up: in its parent it would make every fork dearer."""
    return np.ones(size, np.uint8)


def flow(peer: str, make: Callable[[], Any], size: int, waiting: int) -> Callable[[int], Sample]:
    """Warmed up by a full queue, so that everybody's memory is there."""
    ways = one_by_one(lambda count: repeat(array_of(size), count))
    return throughput(peer, 1, 1, ways, opener=shared(make), least_warm_up=waiting + 2)


def case(title: str, size: int, waiting: int, ratios: list[Ratio]) -> Case:
    return Case(
        f"{title}, 1 producer, 1 consumer",
        "arrays/s",
        {peer: flow(peer, make, size, waiting) for peer, make in peers(size, waiting).items()},
        ratios,
    )


CLAIM = Claim(
    "arrays",
    "numpy arrays, copied into the queue",
    [
        case("1 MiB", MIB, 16, [Ratio(OURS, MP_QUEUE, 7), Ratio(OURS, FASTER_FIFO, 1.2)]),
        case("64 MiB", 64 * MIB, 4, [Ratio(OURS, MP_QUEUE, 10)]),
    ],
)
