"""Those who wait for several things are killed at random, by wait(), select() and asyncio: nobody hangs, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import queue as stdlib_queue
import random
import select
import time
from typing import Any

import pytest

import procession
from procession import aio
from tests.helpers import domain, until

ITEMS = 3000
KILLS = 60


def take(queue: Any, done: Any) -> None:
    """Take an item if there is one; tell of it, then ack it: who is killed in between did it for the next one, too."""
    with contextlib.suppress(stdlib_queue.Empty):
        item = queue.get(False)
        done.put(item)
        queue.task_done()


def by_wait(queues: list[Any], lock: Any, done: Any) -> None:
    while True:
        for ready in procession.wait([*queues, lock]):
            if ready is not lock:
                take(ready, done)
            elif lock.acquire(False):
                lock.release()
                procession.wait(queues, 0.001)


def by_select(queues: list[Any], _lock: Any, done: Any) -> None:
    while True:
        for ready in select.select(queues, [], [])[0]:
            take(ready, done)


def by_asyncio(queues: list[Any], lock: Any, done: Any) -> None:
    async def consume(queue: Any) -> None:
        wrapped = aio.wrap(queue)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.001, 0.1)):
                    item = await wrapped.get()
                    done.put(item)
                    queue.task_done()

    async def lock_and_unlock() -> None:
        wrapped = aio.wrap(lock)
        while True:
            async with wrapped:
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.002)

    async def main() -> None:
        await asyncio.gather(*[consume(queue) for queue in queues], lock_and_unlock())

    asyncio.run(main())


def mixed(queues: list[Any], _lock: Any, done: Any) -> None:
    """Beside a descriptor, so that each wait makes a bell."""
    import os

    reader, _writer = os.pipe()
    while True:
        for ready in procession.wait([reader, *queues]):
            take(ready, done)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_waiters_lose_nothing_and_stop_nobody(seed: int) -> None:
    rng = random.Random(seed)
    queues = [procession.JoinableQueue[int](name=f"jobs-{n}") for n in range(3)]
    lock, done = procession.Lock(name="lock"), procession.Queue[int](name="done")
    ways = [by_wait, by_select, by_asyncio, mixed]

    def start(way: Any) -> Any:
        process = procession.Process(target=way, args=(queues, lock, done), start_method="fork")
        process.start()
        return process

    crew = [start(way) for way in ways]
    put = kills = 0
    seen: set[int] = set()
    while kills < KILLS or len(seen) < put or put < ITEMS:
        for _ in range(rng.randrange(200) if put < ITEMS else 0):
            rng.choice(queues).put(put)
            put += 1
        if kills < KILLS:
            time.sleep(rng.uniform(0, 0.03))  # where the victim is just then is what this is about
            at = rng.randrange(len(crew))
            crew[at].kill()
            crew[at].join()
            crew[at] = start(ways[at])
            kills += 1
        elif len(seen) < put:
            seen.add(done.get())  # if a wake was lost, the watchdog ends this
        seen.update(done.get_many(10_000, False) if not done.empty() else [])
    for queue in queues:
        assert queue.join(60)
    for process in crew:
        process.kill()
        process.join()
    assert seen == set(range(put))
    domain().sweep()
    until(lambda: not any(each.statistics().waiting for each in queues))
