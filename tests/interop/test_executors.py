"""Our objects in pools of processes of the standard library."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
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
