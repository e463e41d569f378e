"""A process that does nothing: started and joined."""

import contextlib
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Measure, Ratio, Sample

OURS, PEER, FLOOR = "procession.Process", "multiprocessing.Process", "os.fork, os._exit, os.waitpid"
LARGE = 512 << 20
PAGE = 4096
# What both forkservers import before they fork: numpy, __main__, and what a child imports with ours.
PRELOADED = ["__main__", "numpy", "procession", "argparse", "json", "pathlib"]


@contextlib.contextmanager
def ballast(size: int) -> Iterator[None]:
    """Memory of the parent's, each page of it written."""
    memory = bytearray(size)
    memory[::PAGE] = b"\1" * len(range(0, size, PAGE))
    yield
    del memory


def start_and_join(make: Callable[..., Any], size: int = 0) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        multiprocessing.set_forkserver_preload(PRELOADED)
        with ballast(size):
            begin = time.perf_counter()
            for _ in range(count):
                process = make(target=int)  # int() does nothing, and a spawned child need not import it
                process.start()
                process.join()
            seconds = time.perf_counter() - begin
        return Sample(seconds, seconds / count * 1e3)

    return measure


BARE = f"""
import gc, os, sys, time
import {", ".join(PRELOADED[1:])}
gc.collect(); gc.freeze()
begin = time.perf_counter()
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
print(time.perf_counter() - begin)
"""


def fork_and_wait(count: int) -> Sample:
    """What a child that does nothing takes, of a process with those modules: in either forkserver's time it is a part."""
    program = [sys.executable, "-c", BARE, str(count)]
    seconds = float(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
    return Sample(seconds, seconds / count * 1e3)


def case(title: str, method: str, claimed: float, size: int = 0, floor: dict[str, Measure] | None = None) -> Case:
    return Case(
        title,
        "ms",
        {
            OURS: start_and_join(partial(procession.Process, start_method=method), size),
            PEER: start_and_join(multiprocessing.get_context(method).Process, size),  # type: ignore[attr-defined]
            **(floor or {}),
        },
        [Ratio(OURS, PEER, claimed)],
        more_is_better=False,
    )


CLAIM = Claim(
    "starting",
    "Process: start and join",
    [
        case("fork", "fork", 1),
        case("spawn", "spawn", 1),
        case("forkserver, preloaded", "forkserver", 3, floor={FLOOR: fork_and_wait}),
        case("forkserver, the parent has written 512 MiB", "forkserver", 3, LARGE),
    ],
)
