"""How a pool ends: closed, terminated, forgotten, with its owner; and that nobody waits for ever meanwhile."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import procession
import procession.pool
from procession._memory.domain import domains
from procession._work import crew
from tests.helpers import METHODS, thread, until

FORK = procession.get_context("fork")
Made = Callable[..., Any]


@pytest.fixture(params=["fork", "threads"])
def quick(request: pytest.FixtureRequest) -> Made:
    return procession.pool.ThreadPool if request.param == "threads" else FORK.Pool


def square(x: int) -> int:
    return x * x


def wait_for(event: Any) -> None:
    event.wait()


def for_ever() -> Iterator[int]:
    while True:
        yield 1


def test_close_lets_all_be_done(quick: Made) -> None:
    pool = quick(2)
    results = [pool.apply_async(square, (n,)) for n in range(10)]
    mapped, iterated = pool.map_async(square, range(3000), 1), pool.imap(square, iter(range(3000)))
    pool.close()
    pool.join()
    assert [result.get(0) for result in results] == [n * n for n in range(10)]
    assert mapped.get(0) == list(iterated) == [n * n for n in range(3000)]


@pytest.mark.parametrize("method", METHODS)
def test_close_replaces_workers_as_long_as_there_is_work(method: str) -> None:
    pool = procession.get_context(method).Pool(2, maxtasksperchild=1)
    result = pool.map_async(square, range(7), 1)
    pool.close()
    pool.join()
    assert result.get(0) == [n * n for n in range(7)]


def test_what_is_closed_takes_nothing(quick: Made) -> None:
    pool = quick(1)
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    pool.close()
    pool.close()
    for method in (pool.apply, pool.apply_async):
        with pytest.raises(ValueError, match="Pool not running"):
            method(square, (1,))
    for method in (pool.map, pool.starmap, pool.map_async, pool.imap, pool.imap_unordered):
        with pytest.raises(ValueError, match="Pool not running"):
            method(square, [1])
    with pytest.raises(ValueError, match="Pool not running"):
        pool.__enter__()
    pool.join()
    pool.join()


def test_terminate_tells_whoever_waits(quick: Made) -> None:
    gate = procession.Event()
    called: list[Any] = []
    pool = quick(1)
    results = [
        pool.apply_async(wait_for, (gate,), {}, called.append, called.append),
        pool.map_async(square, range(5000), 1, called.append, called.append),
    ]
    iterators = [pool.imap(square, for_ever()), pool.imap_unordered(square, range(5))]
    with thread(results[0].get) as waiting, thread(next, iterators[0]) as iterating:
        pool.terminate()
        for wait in (waiting.result, iterating.result, results[1].get, iterators[1].__next__):
            with pytest.raises(concurrent.futures.CancelledError, match="the pool was terminated"):
                wait()
    gate.set()
    pool.join()
    assert called == []
    assert all(result.ready() and not result.successful() for result in results)


def test_terminate_may_be_called_twice_and_by_several(quick: Made) -> None:
    pool = quick(2)
    with thread(pool.terminate), thread(pool.terminate):
        pool.terminate()
    pool.terminate()
    pool.join()


def test_terminate_ends_what_does_not_follow_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "GRACE", 0.1)
    started = procession.Event()
    with FORK.Pool(2) as pool:
        pool.apply_async(ignore_sigterm, (started,))
        started.wait()
        processes = list(pool._pool)
    assert not any(process.is_alive() for process in processes)


def ignore_sigterm(started: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started.set()
    while True:
        signal.pause()


def test_terminate_ends_what_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "GRACE", 0.1)
    with FORK.Pool(1) as pool:
        pool.apply(square, (1,))
        os.kill(pool._pool[0].pid, signal.SIGSTOP)


def test_terminate_does_not_wait_for_an_input_that_waits(quick: Made) -> None:
    gate = threading.Event()

    def inputs() -> Iterator[int]:
        yield 1
        gate.wait()

    pool = quick(1)
    results = pool.imap(square, inputs())
    assert next(results) == 1
    pool.terminate()
    pool.join()
    with pytest.raises(concurrent.futures.CancelledError):
        next(results)
    gate.set()


def test_large_tasks_that_find_no_room_do_not_hold_up_the_end() -> None:
    gate = procession.Event()
    pool = FORK.Pool(1)
    pool.apply_async(wait_for, (gate,))
    large = bytes(1 << 20)
    results = pool.imap(len, (large for _ in range(1000)))
    until(lambda: pool._engine.floor._tasks.statistics().bytes > 60 << 20)
    once = pool.apply_async(square, (2,))  # it has to stand in line, and this thread has not
    pool.terminate()
    for wait in (once.get, results.__next__):
        with pytest.raises(concurrent.futures.CancelledError):
            wait()


def test_large_tasks_get_through_when_there_is_room_again() -> None:
    gate = procession.Event()
    with FORK.Pool(1) as pool:
        pool.apply_async(wait_for, (gate,))
        large = bytes(1 << 20)
        results = [pool.apply_async(len, (large,)) for _ in range(100)]
        gate.set()
        assert {result.get() for result in results} == {1 << 20}


def test_work_that_comes_together_with_the_end_is_told_so(quick: Made) -> None:
    """As by a thread that was between its look at the state and its put when another called ``close()``."""
    pool = quick(1)
    pool._engine.floor.shut(immediate=False)
    results = [pool.apply_async(square, (1,)), pool.map_async(square, [1]), pool.imap(square, [1])]
    pool.close()
    pool.terminate()
    for get in (results[0].get, results[1].get, results[2].__next__):
        with pytest.raises(concurrent.futures.CancelledError):
            get()


def test_join_from_a_callback_is_refused(quick: Made) -> None:
    said: list[Any] = []

    def join(_: Any) -> None:
        pool.close()
        try:
            pool.join()
        except RuntimeError as error:
            said.append(str(error))

    pool = quick(1)
    pool.apply_async(square, (1,), callback=join).wait()
    pool.join()
    assert said == ["a pool cannot be joined by what it calls itself: call join() elsewhere"]


def test_a_fork_of_the_owner_cannot_use_its_pool() -> None:
    with FORK.Pool(1) as pool:
        process = FORK.Process(target=use_and_expect_to_be_refused, args=(pool,))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert pool.apply(square, (3,)) == 9


def use_and_expect_to_be_refused(pool: Any) -> None:
    with pytest.raises(ValueError, match="it belongs to the process that made it"):
        pool.apply(square, (1,))
    pool.terminate()


def test_a_start_that_fails_midway_leaves_nobody() -> None:
    started: list[Any] = []

    class Failing(procession.pool.Pool):
        @staticmethod
        def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802
            if len(started) == 2:
                raise OSError("no more")
            started.append(ctx.Process(*args, **kwds))
            return started[-1]

    with pytest.raises(OSError, match="no more"):
        Failing(5, context=FORK)
    assert not any(process.is_alive() for process in started)


END = """
import procession
pool = procession.get_context("fork").Pool(2)
if __name__ == "__main__":
    pool{use}
    print("done")
"""


@pytest.mark.parametrize("use", [".map(abs, [1])", ".apply_async(__import__('time').sleep, (600,))", ".close()"])
def test_a_program_may_end_without_ending_its_pool(use: str) -> None:
    # Without -W error: that it was not ended is a ResourceWarning, as in multiprocessing.
    run = [sys.executable, "-c", END.format(use=use)]
    said = subprocess.run(run, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("done\n", "")


OWNER = """
import os, procession, sys, time

def task(_):
    time.sleep(600)

if __name__ == "__main__":
    pool = procession.get_context(sys.argv[1]).Pool(2)
    pool.map_async(task, range(4), 1)
    pids = [process.pid for process in pool._pool]
    while pool.apply_async(abs, (1,)) and pool._engine.floor._tasks.statistics().leased < 2:
        time.sleep(0.01)
    print(*pids, flush=True)
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("method", METHODS)
def test_workers_end_with_an_owner_that_is_killed(method: str, tmp_path: Any) -> None:
    program = tmp_path / "owner.py"
    program.write_text(OWNER)
    with subprocess.Popen([sys.executable, str(program), method], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = list(map(int, owner.stdout.readline().split()))
        owner.kill()
        assert len(pids) == 2
        until(lambda: not any(map(alive, pids)))


CTRL_C = """
import procession, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)

def task(started):
    started.set()
    time.sleep(600)

if __name__ == "__main__":
    started = procession.Event()
    context = procession.get_context(sys.argv[1])
    try:
        with context.Pool(2) as pool:
            result = pool.map_async(task, [started] * 4, 1)
            started.wait()
            print("ready", flush=True)
            result.get()
    except KeyboardInterrupt:
        pool.join()
        print("interrupted")
"""


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_ends_all_without_a_word_of_the_workers(method: str, tmp_path: Any) -> None:
    program = tmp_path / "ctrl_c.py"
    program.write_text(CTRL_C)
    with subprocess.Popen(
        [sys.executable, str(program), method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.communicate() == ("interrupted\n", "")
        assert owner.returncode == 0


def test_what_a_task_runs_can_be_interrupted_still() -> None:
    with FORK.Pool(1) as pool:
        assert pool.apply(run_and_interrupt) == -signal.SIGINT


def run_and_interrupt() -> int:
    with subprocess.Popen(["sleep", "600"]) as process:
        process.send_signal(signal.SIGINT)
    return process.returncode


def test_nothing_is_left_of_many_pools() -> None:
    """The fixture looks at processes and descriptors; here are the threads, which are daemons, and the memory."""
    before = set(threading.enumerate())
    domain = domains.current()
    make_and_end_one()
    held = domain.objects()
    for _ in range(10):
        make_and_end_one()
    assert domain.objects() == held
    until(lambda: set(threading.enumerate()) <= before)


def make_and_end_one() -> None:
    with FORK.Pool(2) as pool:
        assert pool.map(square, range(4), 1) == [0, 1, 4, 9]
