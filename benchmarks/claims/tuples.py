"""Tuples of plain values, about 100 bytes when pickled."""

from itertools import repeat

from benchmarks.flow import one_by_one, throughput
from benchmarks.peers import MP_QUEUE, OURS, PYZMQ
from benchmarks.runner import Case, Claim, Ratio

ITEM = (184467, "eu-west/rack-12/host-0041", 1718000000.25, 0.731, b"0123456789abcdef", True, None, "ok: 200")

CLAIM = Claim(
    "tuples",
    "tuples of 100 bytes, one by one",
    [
        Case(
            f"{n} producer(s), {n} consumer(s)",
            "items/s",
            {
                peer: throughput(peer, n, n, one_by_one(lambda count: repeat(ITEM, count)))
                for peer in (OURS, MP_QUEUE, PYZMQ)
            },
            [Ratio(OURS, MP_QUEUE, 12), Ratio(OURS, PYZMQ, 4)],
        )
        for n in (1, 4)
    ],
)
