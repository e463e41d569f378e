"""Our blocking calls in an event loop, by ``run_in_executor``: the loop goes on while a thread or a process waits."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import queue
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import procession
from tests.helpers import METHODS, AnyLock, held_elsewhere


def echo(questions: Any, answers: Any) -> None:
    for question in iter(questions.get, None):
        answers.put((os.getpid(), question))


@pytest.mark.parametrize("method", METHODS)
def test_questions_and_answers_while_the_loop_ticks(method: str) -> None:
    questions, answers = procession.Queue[Any](), procession.Queue[Any]()
    process = procession.Process(target=echo, args=(questions, answers), start_method=method)
    process.start()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(None, answers.get)
        ticks = 0
        while ticks < 100:  # nothing is asked yet, and the loop is not held up
            await asyncio.sleep(0)
            ticks += 1
        assert not first.done()
        questions.put(0)
        assert await first == (process.pid, 0)
        for number in range(100):
            await loop.run_in_executor(None, questions.put, number)
        got = [await loop.run_in_executor(None, answers.get) for _ in range(100)]
        assert got == [(process.pid, number) for number in range(100)]
        questions.put(None)
        await loop.run_in_executor(None, process.join)

    asyncio.run(main())
    assert process.exitcode == 0
    process.close()


def test_timeout_of_get_comes_out_as_empty() -> None:
    jobs = procession.Queue[int]()

    async def main() -> None:
        with pytest.raises(queue.Empty):
            await asyncio.get_running_loop().run_in_executor(None, jobs.get, True, 0.01)

    asyncio.run(main())


def take_and_give(lock: AnyLock) -> int:
    with lock:
        return os.getpid()


def test_lock_held_elsewhere_does_not_hold_the_loop() -> None:
    lock = procession.Lock(name="stock")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with held_elsewhere(lock):
            waiting = [loop.run_in_executor(None, take_and_give, lock) for _ in range(3)]
            for _ in range(50):
                await asyncio.sleep(0)
            assert not any(one.done() for one in waiting)
        # The holder was killed.
        assert await asyncio.gather(*waiting) == [os.getpid()] * 3

    asyncio.run(main())


given: tuple[Any, ...] = ()


def take(*objects: Any) -> None:
    global given
    given = objects


def square_the_next() -> int:
    jobs, lock = given
    number = jobs.get()
    with lock:
        return int(number) ** 2


@pytest.mark.parametrize("method", METHODS)
def test_pool_of_processes_under_the_loop(method: str) -> None:
    jobs, lock = procession.Queue[int](), procession.RLock()

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context, initializer=take, initargs=(jobs, lock)) as pool:
            waiting = [loop.run_in_executor(pool, square_the_next) for _ in range(20)]
            await asyncio.sleep(0)
            jobs.put_many(range(20))
            return sorted(await asyncio.gather(*waiting))

    assert asyncio.run(main()) == [number**2 for number in range(20)]
