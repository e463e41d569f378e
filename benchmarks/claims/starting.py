"""A process that does nothing: started and joined."""

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample

OURS, PEER = "procession.Process", "multiprocessing.Process"


def start_and_join(make: Callable[..., Any]) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        begin = time.perf_counter()
        for _ in range(count):
            process = make(target=int)  # int() does nothing, and a spawned child need not import it
            process.start()
            process.join()
        seconds = time.perf_counter() - begin
        return Sample(seconds, seconds / count * 1e3)

    return measure


CLAIM = Claim(
    "starting",
    "Process: start and join",
    [
        Case(
            method,
            "ms",
            {
                OURS: start_and_join(partial(procession.Process, start_method=method)),
                PEER: start_and_join(multiprocessing.get_context(method).Process),  # type: ignore[attr-defined]
            },
            [Ratio(OURS, PEER, 1)],
            more_is_better=False,
        )
        for method in ("fork", "spawn")
    ],
)
