"""A torture of its own for pools: their workers are killed at random while they take, do and give back tasks of all kinds.

    python -m tests.stress.pooling --kills 500 --seed 1

Each task writes down that it began and that it ended. Held against: a task that is waited for in vain, that is done twice, whose
result is another's, that fails without the death of its worker, or is lost though nobody died; a pool that does not go on.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

import procession
from procession._memory.domain import domains
from tests.stress.places import LEFT

STUCK = 60.0  # seconds in which a result does not come
TASKS = 1 << 15  # of one round, at most
LARGE = 40_000  # bytes: beyond what goes through the ring
METHODS = ["fork", "fork", "forkserver"]
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1]
OWN = 0.002  # of the tasks end their worker themselves

_books: Any = None  # in a worker: what its initializer was given


class Books(NamedTuple):
    """What tasks write down: one store each, so no death leaves half of it."""

    began: Any
    ended: Any
    seed: int


def take_books(books: Books) -> None:
    """The initializer."""
    global _books
    _books = books


def do(number: int, large: Any = None) -> Any:
    """A task: what it does depends on its number alone."""
    _books.began[number] += 1
    rng = random.Random(_books.seed * TASKS + number)
    draw = rng.random()
    if draw < OWN:
        os._exit(rng.choice([0, 1]))
    if draw < 10 * OWN:
        time.sleep(rng.random() * 0.005)
    _books.ended[number] += 1
    if draw > 1 - 10 * OWN:
        raise ValueError(number)
    if large is not None:
        large += 1
        return number, large
    return (number, None) if draw < 0.5 else {"number": number}


class Fault(RuntimeError):
    """What went wrong."""


class Round:
    """A pool, tasks for it, and somebody who kills its workers until all tasks are settled."""

    def __init__(self, seed: int, kills: int) -> None:
        self.rng = random.Random(seed)
        self.books = Books(procession.shared_array(TASKS, "u1"), procession.shared_array(TASKS, "u1"), seed)
        self.numbers = itertools.count()
        self.most = kills
        self.kills = 0
        self.deaths = 0  # of tasks, as they were told
        self.settled = 0
        self.is_over = threading.Event()
        method = self.rng.choice(METHODS)
        self.pool: Any = procession.get_context(method).Pool(
            self.rng.choice([1, 2, 4]), take_books, (self.books,), maxtasksperchild=self.rng.choice([None, None, 20])
        )

    def run(self) -> None:
        killer = threading.Thread(target=self.strike, args=(random.Random(self.rng.random()),))
        killer.start()
        try:
            while self.kills < self.most and self.left() > 2000:
                self.rng.choice([self.single, self.single, self.iterated, self.mapped, self.large])()
            self.stop(killer)
            self.quiet()
            self.end()
        finally:
            self.stop(killer)
            self.pool.terminate()
        self.judge()

    def stop(self, killer: threading.Thread) -> None:
        self.is_over.set()
        killer.join()

    def left(self) -> int:
        return TASKS - self.settled

    def strike(self, rng: random.Random) -> None:
        """Kill a worker again and again."""
        while self.kills < self.most and not self.is_over.wait(rng.choice([0.0005, 0.005, 0.03])):
            with contextlib.suppress(
                IndexError, ProcessLookupError, TypeError
            ):  # it may have gone, or not be there yet
                process = rng.choice(self.pool._pool)
                # A pool gives up when ten in a row die before they have begun.
                is_due = (
                    process.pid in self.pool._engine._beginnings._ready or self.pool._engine._beginnings._killed < 4
                )
                if is_due and process.exitcode is None:
                    process._popen.child.signal(rng.choice(SIGNALS))
                    self.kills += 1

    # -- work

    def some(self, most: int = 300) -> list[int]:
        return [next(self.numbers) for _ in range(self.rng.randrange(1, most))]

    def single(self) -> None:
        numbers = self.some()
        self.settle(numbers, [self.pool.apply_async(do, (number,)).get for number in numbers])

    def large(self) -> None:
        numbers = self.some(60)
        given = np.zeros(LARGE, "u1")
        self.settle(numbers, [self.pool.apply_async(do, (number, given)).get for number in numbers])

    def iterated(self) -> None:
        numbers = self.some()
        given: Iterable[int] = numbers if self.rng.random() < 0.5 else iter(numbers)
        results = self.pool.imap(do, given)
        self.settle(numbers, itertools.repeat(results.next, len(numbers)))

    def mapped(self) -> None:
        """A map fails as a whole."""
        numbers = self.some()
        result = self.pool.map_async(do, numbers, self.rng.choice([None, 1, 7]))
        try:
            for number, got in zip(numbers, result.get(STUCK), strict=True):
                self.judge_result(number, got)
        except (ValueError, procession.WorkerDied) as error:
            self.deaths += isinstance(error, procession.WorkerDied)
        except multiprocessing.TimeoutError:
            raise Fault(f"stuck: {result} of {self.pool}") from None
        self.settled += len(numbers)

    def settle(self, numbers: list[int], gets: Iterable[Callable[..., Any]]) -> None:
        for number, get in zip(numbers, gets, strict=True):
            try:
                self.judge_result(number, get(STUCK))
            except procession.WorkerDied as death:
                self.deaths += 1
                if self.books.began[number] > 1 or death.pid in {process.pid for process in self.pool._pool}:
                    raise Fault(f"task {number} began {self.books.began[number]} times; {death}") from None
            except ValueError as error:
                if error.args != (number,):
                    raise Fault(f"task {number} got the failure of {error.args}") from None
            except multiprocessing.TimeoutError:
                raise Fault(f"stuck: task {number} of {self.pool}") from None
            self.settled += 1

    def judge_result(self, number: int, got: Any) -> None:
        told = got["number"] if isinstance(got, dict) else got[0]
        if told != number:
            raise Fault(f"task {number} got the result of {told}")
        if isinstance(got, tuple) and got[1] is not None and not (got[1] == 1).all():
            raise Fault(f"task {number} got another array")
        if (self.books.began[number], self.books.ended[number]) != (1, 1):
            raise Fault(f"task {number} has a result, and began {self.books.began[number]} times")

    # -- the end

    def quiet(self) -> None:
        """Nobody is killed: nothing may fail but what ends its worker itself."""
        before = self.deaths
        numbers = self.some()
        self.settle(numbers, [self.pool.apply_async(do, (number,)).get for number in numbers])
        rngs = [random.Random(self.books.seed * TASKS + number) for number in numbers]
        late = 4  # workers that were killed just now, and may have had one of these in hand
        if self.deaths - before > sum(rng.random() < OWN for rng in rngs) + late:
            raise Fault(f"{self.deaths - before} of {len(numbers)} tasks died though nobody was killed")

    def end(self) -> None:
        engine = self.pool._engine
        self.pool.close() if self.rng.random() < 0.5 else self.pool.terminate()
        joined = threading.Thread(target=self.pool.join, daemon=True)
        joined.start()
        joined.join(STUCK)
        if joined.is_alive():
            raise Fault(f"stuck: join() of {self.pool}")
        if engine.pending or engine._feeder.backlog:
            raise Fault(f"{len(engine.pending)} tasks are waited for still")

    def judge(self) -> None:
        if (self.books.began > 1).any():
            raise Fault(f"{int((self.books.began > 1).sum())} tasks were begun twice")


class Result(NamedTuple):
    """What a run came to."""

    kills: int
    tasks: int
    deaths: int
    rounds: int


def torture(kills: int, seed: int) -> Result:
    """Rounds, until so many were killed; a Fault says what went wrong."""
    rng = random.Random(seed)
    domain = domains.current()
    gc.collect()
    domain.sweep()
    before = {what: domain.used()[what] for what in LEFT}
    done = Result(0, 0, 0, 0)
    for number in rounds(rng):
        one = Round(number, min(60, kills - done.kills))
        one.run()
        done = Result(done.kills + one.kills, done.tasks + one.settled, done.deaths + one.deaths, done.rounds + 1)
        del one
        if done.kills >= kills:
            break
    gc.collect()
    domain.sweep()
    left = {what: domain.used()[what] - count for what, count in before.items()}
    if any(count > 0 for count in left.values()):
        raise Fault(f"left behind: {left}")
    return done


def rounds(rng: random.Random) -> Iterator[int]:
    """Yield seeds."""
    while True:
        yield rng.randrange(1 << 20)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=500)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = options.parse_args()
    print(f"python -m tests.stress.pooling --kills {given.kills} --seed {given.seed}", flush=True)
    began = time.monotonic()
    result = torture(given.kills, given.seed)
    print(
        f"{result.kills} kills in {result.rounds} pools, {result.tasks} tasks of which {result.deaths} (or their maps) died; "
        f"{time.monotonic() - began:.1f} s: nobody stuck, no task done twice, lost or mistaken, nothing left behind"
    )
