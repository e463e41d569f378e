"""Arrays made in shared memory and sent without a copy: one is made, put and got for each item. Filling them is nobody's matter here."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import repeat

import numpy as np

import procession
from benchmarks.flow import one_by_one, throughput
from benchmarks.iceoryx import BUFFER, Loans, View, bare, by_pointer, documented
from benchmarks.peers import ICEORYX2, MP_QUEUE, OURS, Opener, shared
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK

SIZE = 1 << 20
BY_POINTER = f"{ICEORYX2}, by pointer"
BARE = f"{ICEORYX2}, samples only"


def ours(count: int) -> Iterable[object]:
    make = procession.shared_array
    return (make(SIZE, np.uint8, fill=None) for _ in range(count))


def same(count: int) -> Iterable[object]:
    """multiprocessing has nothing to make them in: the same array each time, which costs it nothing."""
    return repeat(ARRAY, count)


ARRAY = np.ones(SIZE, np.uint8)


def flow(peer: str, items: Callable[[int], Iterable[object]], opener: Opener) -> Callable[[int], Sample]:
    return throughput(peer, 1, 1, one_by_one(items), opener=opener)


def loans(peer: str, view: View) -> Callable[[int], Sample]:
    return flow(peer, same, lambda _consumers: nullcontext(Loans(SIZE, view)))


CLAIM = Claim(
    "loaned",
    "1 MiB arrays made in shared memory",
    [
        Case(
            "1 producer, 1 consumer",
            "arrays/s",
            {
                OURS: flow(OURS, ours, shared(lambda: procession.Queue(BUFFER))),
                MP_QUEUE: flow(MP_QUEUE, same, shared(lambda: FORK.Queue(BUFFER))),
                ICEORYX2: loans(ICEORYX2, documented),
                BY_POINTER: loans(BY_POINTER, by_pointer),
                BARE: loans(BARE, bare),
            },
            [Ratio(OURS, MP_QUEUE, 50), Ratio(OURS, ICEORYX2, 0.8)],
        )
    ],
)
