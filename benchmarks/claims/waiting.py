"""Waiting for one of several, and awaiting: beside multiprocessing.connection.wait on pipes, and a thread for each await."""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import wait as wait_for_pipes
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Part, perform
from procession import aio

WAIT, PIPES = "procession.wait", "multiprocessing.connection.wait"
AIO, OUR_THREADS, MP_THREADS = "procession.aio", "run_in_executor, our Queue", "run_in_executor, mp.Queue"


# ---- there and back, each side waiting for one of two


class Queues:
    """Two queues in each direction, one of which is never used."""

    def __init__(self) -> None:
        self.used, self.idle = procession.SimpleQueue[int](), procession.SimpleQueue[int]()

    def send(self, number: int) -> None:
        self.used.put(number)

    def take(self) -> int:
        for ready in procession.wait([self.idle, self.used]):
            return int(ready.get_nowait())
        raise AssertionError("nothing was ready")


class Pipes:
    """The same over pipes."""

    def __init__(self) -> None:
        self.used, self.end = multiprocessing.Pipe(duplex=False)
        self.idle, self.idle_end = multiprocessing.Pipe(duplex=False)

    def send(self, number: int) -> None:
        self.end.send(number)

    def take(self) -> int:
        ready: list[Any] = wait_for_pipes([self.idle, self.used])
        return int(ready[0].recv())


def ask(there: Any, back: Any, count: int) -> Part:
    clock = time.perf_counter
    there.send(0)
    back.take()
    yield
    trips = []
    for number in range(count):
        begin = clock()
        there.send(number)
        back.take()
        trips.append(clock() - begin)
    return statistics.median(trips)


def answer(there: Any, back: Any, count: int) -> Part:
    back.send(there.take())
    yield
    for _ in range(count):
        back.send(there.take())


def round_trips(channel: Callable[[], Any]) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        there, back = channel(), channel()
        outcome = perform([partial(ask, there, back, count), partial(answer, there, back, count)])
        return Sample(outcome.seconds, outcome.returned[0] * 1e6)

    return measure


# ---- items that a task awaits, one by one, while another process puts them


def produce(queue: Any, count: int) -> Part:
    yield
    for number in range(count):
        queue.put(number)


def await_all(queue: Any, getter: Callable[[Any], Callable[[], Awaitable[Any]]], count: int) -> Part:
    async def main() -> None:
        get = getter(queue)
        for _ in range(count):
            await get()

    yield
    asyncio.run(main())


def awaited(queue: Any) -> Any:
    return aio.wrap(queue).get


def in_a_thread(queue: Any) -> Any:
    loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    return lambda: loop.run_in_executor(pool, queue.get)


def awaits(queue: Callable[[], Any], getter: Callable[[Any], Any]) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        channel = queue()
        seconds = perform([partial(await_all, channel, getter, count), partial(produce, channel, count)]).seconds
        return Sample(seconds, count / seconds)

    return measure


CLAIM = Claim(
    "waiting",
    "waiting for one of several, awaiting",
    [
        Case(
            "there and back, each side waits for one of two, median",
            "us",
            {WAIT: round_trips(Queues), PIPES: round_trips(Pipes)},
            [Ratio(WAIT, PIPES, 2)],
            more_is_better=False,
        ),
        Case(
            "await get() of what another process puts",
            "items/s",
            {
                AIO: awaits(procession.Queue, awaited),
                OUR_THREADS: awaits(procession.Queue, in_a_thread),
                MP_THREADS: awaits(FORK.Queue, in_a_thread),
            },
            [Ratio(AIO, OUR_THREADS, 10), Ratio(AIO, MP_THREADS, 10)],
        ),
    ],
)
