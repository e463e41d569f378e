"""A process that does nothing: started and joined."""

import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample


def nothing() -> None:
    pass


def start_and_join(process_class: Callable[..., Any]) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        begin = time.perf_counter()
        for _ in range(count):
            process = process_class(target=nothing)
            process.start()
            process.join()
        seconds = time.perf_counter() - begin
        return Sample(seconds, seconds / count * 1e3)

    return measure


OURS, PEER = "procession.Process", "multiprocessing.Process"
LIBRARIES: dict[str, Any] = {PEER: multiprocessing}
if hasattr(procession, "Process"):
    LIBRARIES = {OURS: procession, PEER: multiprocessing}

CLAIM = Claim(
    "starting",
    "Process: start and join",
    [
        Case(
            method,
            "ms",
            {name: start_and_join(library.get_context(method).Process) for name, library in LIBRARIES.items()},
            [Ratio(OURS, PEER, 1)] if OURS in LIBRARIES else [],
            more_is_better=False,
        )
        for method in ("fork", "spawn")
    ],
)
