"""An item there and one back, over two queues: the latency that a request and its answer see."""

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from benchmarks.iceoryx import Numbers
from benchmarks.peers import CHANNELS, FASTER_FIFO, ICEORYX2, MP_QUEUE, MP_SIMPLE_QUEUE, OURS, Opener
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import Part, perform


def ask(there: Any, back: Any, count: int) -> Part:
    """The median of the round trips, in seconds."""
    put, get, clock = there.put_end().put, back.get_end(0).get, time.perf_counter
    put(0)
    get()
    yield
    trips = []
    for number in range(count):
        begin = clock()
        put(number)
        get()
        trips.append(clock() - begin)
    return statistics.median(trips)


def answer(there: Any, back: Any, count: int) -> Part:
    get, put = there.get_end(0).get, back.put_end().put
    put(get())
    yield
    for _ in range(count):
        put(get())


OPENERS: dict[str, Opener] = CHANNELS | {ICEORYX2: lambda _consumers: nullcontext(Numbers())}


def round_trips(peer: str) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        with OPENERS[peer](1) as there, OPENERS[peer](1) as back:
            outcome = perform([partial(ask, there, back, count), partial(answer, there, back, count)])
        return Sample(outcome.seconds, outcome.returned[0] * 1e6)

    return measure


CLAIM = Claim(
    "pingpong",
    "there and back over two queues, median",
    [
        Case(
            "2 processes",
            "us",
            {peer: round_trips(peer) for peer in (OURS, MP_QUEUE, MP_SIMPLE_QUEUE, FASTER_FIFO, ICEORYX2)},
            [Ratio(OURS, MP_QUEUE, 10), Ratio(OURS, MP_SIMPLE_QUEUE, 3), Ratio(OURS, ICEORYX2, 2)],
            more_is_better=False,
        )
    ],
)
