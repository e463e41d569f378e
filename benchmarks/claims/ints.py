"""Small integers, one by one."""

from benchmarks.flow import one_by_one, throughput
from benchmarks.peers import CHANNELS, FASTER_FIFO, MP_QUEUE, MP_SIMPLE_QUEUE, OURS, PYZMQ
from benchmarks.runner import Case, Claim, Ratio

CLAIM = Claim(
    "ints",
    "small integers, one by one",
    [
        Case(
            f"{n} producer(s), {n} consumer(s)",
            "items/s",
            {peer: throughput(peer, n, n, one_by_one(range)) for peer in CHANNELS},
            [
                Ratio(OURS, MP_QUEUE, 40),
                Ratio(OURS, MP_SIMPLE_QUEUE, 40),
                Ratio(OURS, FASTER_FIFO, 40),
                Ratio(OURS, PYZMQ, 5),
            ],
        )
        for n in (1, 4)
    ],
)
