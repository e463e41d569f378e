"""A program that starts processes, for the claim on starting. It has imported what both forkservers preload, and no more.

With everything that the benchmarks import, a template of ours, which imports what its owner has, would be larger than
multiprocessing's forkserver, which imports what it is told. It has no main module that a child would have to import.
"""

import contextlib
import functools
import gc
import importlib
import json
import multiprocessing.forkserver
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.floors import FLOORS
from benchmarks.runner import Measure, Sample

__all__ = ["OURS", "PEER", "floors", "starts"]

OURS, PEER = "procession.Process", "multiprocessing.Process"
# What both forkservers import before they fork: numpy, and what a child imports with ours.
PRELOADED = ["numpy", "procession", "argparse", "json", "pathlib"]
PAGE = 4096


# ---- in the program ---------------------------------------------------------------------------


@contextlib.contextmanager
def ballast(size: int) -> Iterator[None]:
    """Memory of the parent's, each page of it written."""
    memory = bytearray(size)
    memory[::PAGE] = b"\1" * len(range(0, size, PAGE))
    yield
    del memory


def start_and_join(who: str, method: str) -> Callable[[], None]:
    make: Any
    if who == OURS:
        import procession

        make = functools.partial(procession.Process, start_method=method)
    else:
        make = multiprocessing.get_context(method).Process  # type: ignore[attr-defined]

    def once() -> None:
        process = make(target=int)  # int() does nothing, and a spawned child need not import it
        process.start()
        process.join()

    return once


def fork_and_wait(floor: str) -> Callable[[], None]:
    fork = FLOORS[floor]()

    def once() -> None:
        os.waitpid(fork(), 0)

    return once


def main() -> None:
    """Answer each line, (who, method, bytes of ballast, count) as JSON, by seconds and the median of milliseconds.

    Their mean would tell what else the machine did meanwhile.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        who, method, size, count = json.loads(line)
        once = start_and_join(who, method) if method else fork_and_wait(who)
        took = []
        with ballast(size):
            for _ in range(count):
                begin = time.perf_counter()
                once()
                took.append(time.perf_counter() - begin)
        print(json.dumps([sum(took), statistics.median(took) * 1e3]), flush=True)


# ---- in the benchmark -------------------------------------------------------------------------


@functools.cache
def program(for_floors: bool) -> "subprocess.Popen[str]":
    """It ends with this process. Floors have one of their own: no janitor is sent away there before a fork."""
    command = [sys.executable, "-c", "from benchmarks.starter import main; main()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measured(who: str, method: str, size: int, count: int) -> Sample:
    asked, answer = program(not method).stdin, program(not method).stdout
    assert asked is not None
    assert answer is not None
    print(json.dumps([who, method, size, count]), file=asked, flush=True)
    return Sample(*json.loads(answer.readline()))


def starts(method: str, size: int = 0) -> dict[str, Measure]:
    """Ours and theirs, by that method."""
    return {who: functools.partial(measured, who, method, size) for who in (OURS, PEER)}


def floors() -> dict[str, Measure]:
    """What a template would have to do in any case, step by step."""
    return {floor: functools.partial(measured, floor, "", 0) for floor in FLOORS}
