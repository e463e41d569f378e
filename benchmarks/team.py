"""Processes that warm up, meet at a barrier and then do the timed part together."""

import multiprocessing
import time
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

# A generator: up to its one `yield` it warms up, after it comes the timed part; it may return a value.
Part = Generator[None, None, Any]
Member = Callable[[], Part]

PATIENCE = 120.0  # seconds; a peer that hangs ends the run instead of stopping it
FORK = multiprocessing.get_context("fork")


class Outcome(NamedTuple):
    seconds: float  # from the first member's start to the last one's end
    returned: list[Any]


def perform(members: list[Member]) -> Outcome:
    """Run each member in a process of its own."""
    barrier = FORK.Barrier(len(members))
    processes, ends = [], []
    for member in members:
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_member, args=(member, barrier, theirs), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        ends.append(ours)
    try:
        reports = [_report(process, end) for process, end in zip(processes, ends, strict=True)]
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for process in processes:
            process.join()
    begins, finishes, returned = zip(*reports, strict=True)
    return Outcome(max(finishes) - min(begins), list(returned))


def _report(process: BaseProcess, end: Connection) -> tuple[float, float, Any]:
    with end:
        if not end.poll(PATIENCE):
            raise TimeoutError(f"a member of the team did not finish within {PATIENCE:.0f} s")
        try:
            report: tuple[float, float, Any] = end.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"a member of the team ended early, exit code {process.exitcode}") from None
        return report


def _member(member: Member, barrier: Barrier, report: Connection) -> None:
    part = member()
    next(part)
    barrier.wait(PATIENCE)
    begin = time.perf_counter()  # CLOCK_MONOTONIC: the same in all processes
    returned = finish(part)
    report.send((begin, time.perf_counter(), returned))
    barrier.wait(PATIENCE)  # nobody leaves before all have finished: a publisher takes with it what it has sent


def finish(part: Part) -> Any:
    """Run what comes after the `yield`; its return value."""
    try:
        next(part)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a part yields once")
