"""Our objects in pools of processes of the standard library."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

import procession
from tests.helpers import METHODS

given: tuple[Any, ...] = ()


def take(*objects: Any) -> None:
    global given
    given = objects


def work(number: int) -> int:
    jobs, lock = given
    with lock:
        jobs.put(number)
    return number


@pytest.mark.parametrize("method", METHODS)
def test_initializer_of_a_process_pool_executor_takes_our_objects(method: str) -> None:
    jobs, lock = procession.Queue[int](), procession.Lock()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context, initializer=take, initargs=(jobs, lock)) as pool:
        assert list(pool.map(work, range(20))) == list(range(20))
    assert sorted(jobs.get_many(100)) == list(range(20))


@pytest.mark.parametrize("method", METHODS)
def test_initializer_of_a_pool_takes_our_objects(method: str) -> None:
    jobs, lock = procession.SimpleQueue[int](), procession.RLock()
    with multiprocessing.get_context(method).Pool(2, take, (jobs, lock)) as pool:
        assert pool.map(work, range(20)) == list(range(20))
        pool.close()
        pool.join()
    assert sorted(jobs.get_many(100)) == list(range(20))


def test_argument_of_submit_is_refused_in_words() -> None:
    queue = procession.Queue[int](name="jobs")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        with pytest.raises(procession.NotShared, match=r"'jobs' .* inside an item of a procession queue"):
            pool.submit(repr, queue).result()
        assert pool.submit(len, "ok").result() == 2


def take_one_and_be_killed(_: int) -> None:
    jobs, _lock = given
    jobs.get_item()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_item_of_a_killed_worker_of_an_executor_comes_again(method: str) -> None:
    jobs, lock = procession.JoinableQueue[str](), procession.Lock()
    jobs.put("a.py")
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context, initializer=take, initargs=(jobs, lock)) as pool:
        with pytest.raises(BrokenProcessPool):
            pool.submit(take_one_and_be_killed, 0).result()
        assert jobs.get_item(timeout=100) == ("a.py", 0, 2)
        jobs.task_done()
        assert jobs.join()


def hold_and_be_killed(_: int) -> None:
    _jobs, lock = given
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_lock_of_a_killed_worker_of_an_executor_comes_back(method: str) -> None:
    jobs, lock = procession.Queue[str](), procession.Lock()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context, initializer=take, initargs=(jobs, lock)) as pool:
        with pytest.raises(BrokenProcessPool):
            pool.submit(hold_and_be_killed, 0).result()
        assert lock.acquire(timeout=100)


@pytest.mark.parametrize("method", METHODS)
def test_consumers_in_an_executor_do_all_that_was_put(method: str) -> None:
    jobs, lock = procession.JoinableQueue[int](10), procession.Lock()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context, initializer=take, initargs=(jobs, lock)) as pool:
        consumers = [pool.submit(consume_until_none) for _ in range(2)]
        for number in range(100):
            jobs.put(number)
        jobs.put_many([None, None])
        assert jobs.join()
        assert sorted(number for consumer in consumers for number in consumer.result()) == list(range(100))


def consume_until_none() -> list[int]:
    jobs, _lock = given
    got = []
    for number in iter(jobs.get, None):
        got.append(number)
        jobs.task_done()
    jobs.task_done()
    return got
