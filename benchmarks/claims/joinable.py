"""A queue whose items are acknowledged, one by one, and a producer that joins it in the end."""

from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Part, perform

OURS, PEER = "procession.JoinableQueue", "multiprocessing.JoinableQueue"
QUEUES: dict[str, Callable[[int], Any]] = {OURS: procession.JoinableQueue, PEER: FORK.JoinableQueue}
WAITING = 10
WARM_UP = 100


def produce(queue: Any, count: int) -> Part:
    put = queue.put
    for number in range(WARM_UP):
        put(number)
    queue.join()
    yield
    for number in range(count):
        put(number)
    queue.join()


def consume(queue: Any, count: int) -> Part:
    get, task_done = queue.get, queue.task_done
    for _ in range(WARM_UP):
        get()
        task_done()
    yield
    for _ in range(count):
        get()
        task_done()


def throughput(kind: str) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        queue = QUEUES[kind](WAITING)
        seconds = perform([partial(consume, queue, count), partial(produce, queue, count)]).seconds
        return Sample(seconds, count / seconds)

    return measure


CLAIM = Claim(
    "joinable",
    f"JoinableQueue({WAITING}): small integers, task_done for each",
    [
        Case(
            "1 producer, 1 consumer",
            "items/s",
            {kind: throughput(kind) for kind in QUEUES},
            [Ratio(OURS, PEER, 8)],
        )
    ],
)
