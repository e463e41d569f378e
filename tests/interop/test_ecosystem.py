"""Libraries that take a context of multiprocessing take ours, and ours and theirs work in each other's processes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import procession
from tests.helpers import METHODS

each_method = pytest.mark.parametrize("method", METHODS)


def square(number: int) -> int:
    return number * number


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def who() -> tuple[str, str, Any, list[Any]]:
    parent = multiprocessing.parent_process()
    children: list[Any] = multiprocessing.active_children()
    return (
        type(multiprocessing.current_process()).__name__,
        procession.current_process().name,
        parent and parent.name,
        children,
    )


# ---- concurrent.futures


@each_method
def test_executor_works_by_our_processes(method: str) -> None:
    with ProcessPoolExecutor(2, mp_context=procession.get_context(method)) as pool:
        assert list(pool.map(square, range(50), chunksize=3)) == [number * number for number in range(50)]
        assert pool._processes is not None
        assert all(isinstance(process, procession.Process) for process in pool._processes.values())


@each_method
def test_executor_hears_of_a_killed_worker(method: str) -> None:
    with ProcessPoolExecutor(1, mp_context=procession.get_context(method)) as pool, pytest.raises(BrokenProcessPool):
        pool.submit(die, 1).result()


def big(number: int) -> bytes:
    return bytes([number % 256]) * 100_000


def big_or_die(number: int) -> bytes:
    if number == 50:
        die(number)
    return big(number)


@each_method
def test_executor_under_load(method: str) -> None:
    """More than its queues hold: results and calls go by our Queue and SimpleQueue, whose `_reader` and `_writer` it uses."""
    with ProcessPoolExecutor(2, mp_context=procession.get_context(method)) as pool:
        for number, result in enumerate(pool.map(big, range(300))):
            assert result == big(number)


@each_method
def test_killed_worker_under_load_breaks_all_that_is_left(method: str) -> None:
    with ProcessPoolExecutor(2, mp_context=procession.get_context(method)) as pool:
        futures = [pool.submit(big_or_die, number) for number in range(200)]
        concurrent.futures.wait(futures)
        errors = {type(error) for future in futures if (error := future.exception()) is not None}
        assert errors == {BrokenProcessPool}
        assert futures[50].exception() is not None
        with pytest.raises(BrokenProcessPool):
            pool.submit(big, 1)


@each_method
def test_executor_passes_an_exception_on(method: str) -> None:
    with ProcessPoolExecutor(1, mp_context=procession.get_context(method)) as pool:
        with pytest.raises(ZeroDivisionError) as caught:
            pool.submit(divmod, 1, 0).result()
        assert "divmod" in str(caught.value.__cause__) or "process_worker" in str(caught.value.__cause__)


def test_executor_says_what_does_not_pickle_and_goes_on() -> None:
    with ProcessPoolExecutor(1, mp_context=procession.get_context("spawn")) as pool:
        with pytest.raises((AttributeError, TypeError), match="pickle"):
            pool.submit(lambda: None).result()
        assert pool.submit(square, 3).result() == 9


@each_method
def test_executor_serves_asyncio(method: str) -> None:
    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2, mp_context=procession.get_context(method)) as pool:
            return await asyncio.gather(*(loop.run_in_executor(pool, square, number) for number in range(5)))

    assert asyncio.run(run()) == [0, 1, 4, 9, 16]


# ---- ours in theirs, theirs in ours


def answer(made: list[Any], queue: Any) -> None:
    lock, event, semaphore, value = made
    with lock, semaphore:
        value.value += 1
    event.set()
    queue.put(value.value)


def objects(library: Any) -> tuple[list[Any], Any]:
    return [library.Lock(), library.Event(), library.Semaphore(2), library.Value("i", 41)], library.Queue()


LIBRARIES: list[Callable[[str], Any]] = [procession.get_context, multiprocessing.get_context]


@each_method
@pytest.mark.parametrize("made_by", LIBRARIES, ids=["ours", "theirs"])
@pytest.mark.parametrize("run_by", LIBRARIES, ids=["in ours", "in theirs"])
def test_objects_of_either_library_in_processes_of_either(method: str, made_by: Any, run_by: Any) -> None:
    made, queue = objects(made_by(method))
    process = run_by(method).Process(target=answer, args=(made, queue))
    process.start()
    assert made[1].wait()
    assert queue.get() == 42
    process.join()
    assert process.exitcode == 0
    process.close()
    queue.close()
    queue.join_thread()


@each_method
def test_child_knows_who_it_is(method: str) -> None:
    with ProcessPoolExecutor(1, mp_context=procession.get_context(method)) as pool:
        kind, name, parent, children = pool.submit(who).result()
    assert kind in {"ForkProcess", "SpawnProcess", "ForkServerProcess"}
    assert name.startswith(f"{kind}-")
    assert parent == multiprocessing.current_process().name
    assert children == []


def log(queue: Any) -> None:
    stream = io.StringIO()
    logger = logging.getLogger("of a child")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(processName)s says %(message)s"))
    logger.addHandler(handler)
    logger.warning("a word")
    queue.put(stream.getvalue())


@each_method
def test_logging_has_the_name_of_the_process(method: str) -> None:
    context = procession.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=log, args=(queue,), name="worker")
    process.start()
    assert queue.get() == "worker says a word\n"
    process.join()
    process.close()


def test_active_children_are_known_to_both() -> None:
    event = procession.Event()
    process = procession.Process(target=event.wait, start_method="fork")
    process.start()
    assert process in multiprocessing.active_children()
    assert process in procession.active_children()
    event.set()
    process.join()
    process.close()


# ---- others


JOBLIB = """
import joblib, numpy, procession

def square(number):
    return number * number

if __name__ == "__main__":
    array = numpy.arange(2 << 20, dtype="u1")
    with joblib.parallel_config(backend="multiprocessing", context=procession.get_context("{method}")):
        print(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(number) for number in range(5)))
        # Large arrays go by its own reducer, into a file that is mapped.
        sums = joblib.Parallel(n_jobs=2, max_nbytes=1000)(joblib.delayed(numpy.sum)(array) for _ in range(3))
        print(sums == [array.sum()] * 3)
"""


@each_method
def test_joblib_takes_a_context(method: str, tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    # A program of its own: joblib keeps a resource tracker.
    program = tmp_path / "program.py"
    program.write_text(JOBLIB.replace("{method}", method))
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "[0, 1, 4, 9, 16]\nTrue\n"), result.stderr


@each_method
def test_scipy_takes_the_map_of_a_pool(method: str) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    with procession.get_context(method).Pool(2) as pool:
        found = optimize.differential_evolution(
            optimize.rosen, [(0, 2), (0, 2)], workers=pool.map, updating="deferred", maxiter=3, seed=1, polish=False
        )
        pool.close()
        pool.join()
    alone = optimize.differential_evolution(
        optimize.rosen, [(0, 2), (0, 2)], updating="deferred", maxiter=3, seed=1, polish=False
    )
    assert found.x.tolist() == alone.x.tolist()


def test_futures_of_an_executor_are_waited_for() -> None:
    with ProcessPoolExecutor(2, mp_context=procession.get_context("fork")) as pool:
        futures = [pool.submit(square, number) for number in range(6)]
        done, left = concurrent.futures.wait(futures)
    assert not left
    assert sorted(future.result() for future in done) == [0, 1, 4, 9, 16, 25]
