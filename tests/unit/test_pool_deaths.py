"""Workers that die, leave, or cannot begin: who waits is told, and the pool goes on."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import operator
import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

import procession
import procession.pool
from procession._work import death, engine
from tests.helpers import METHODS, thread, until

FORK = procession.get_context("fork")


@pytest.fixture
def forked() -> Iterator[Any]:
    with FORK.Pool(2) as pool:
        yield pool


def square(x: int) -> int:
    return x * x


def end(how: str, *args: Any) -> None:
    faulthandler.disable()
    if how == "kill":
        os.kill(os.getpid(), args[0])
    elif how == "_exit":
        os._exit(*args)
    sys.exit(*args)


def end_at_three(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


ENDS = {
    "SIGKILL": (("kill", signal.SIGKILL), "signalled", "want of memory"),
    "SIGSEGV": (("kill", signal.SIGSEGV), "signalled", "crash in C code"),
    "SIGTERM": (("kill", signal.SIGTERM), "signalled", "Submit the task again"),
    "_exit(0)": (("_exit", 0), "finished", "left by sys.exit"),
    "_exit(3)": (("_exit", 3), "failed", "left by sys.exit"),
    "sys.exit()": (("exit",), "finished", "left by sys.exit"),
    "sys.exit(3)": (("exit", 3), "failed", "left by sys.exit"),
}


@pytest.mark.parametrize("way", ENDS)
def test_a_task_that_ends_its_worker_fails_alone(way: str, forked: Any) -> None:
    args, kind, cause = ENDS[way]
    with pytest.raises(procession.WorkerDied, match=cause) as raised:
        forked.apply(end, args)
    assert raised.value.outcome.kind == kind
    assert raised.value.name.startswith("ForkPoolWorker-")
    assert f"(pid {raised.value.pid})" in str(raised.value)
    assert "end()" in str(raised.value)
    assert forked.map(square, range(5)) == [0, 1, 4, 9, 16]
    until(lambda: len(forked._pool) == 2)
    assert raised.value.pid not in {process.pid for process in forked._pool}


@pytest.mark.parametrize("method", METHODS)
def test_others_go_on_when_a_worker_is_killed(method: str) -> None:
    with procession.get_context(method).Pool(2) as pool:
        results = pool.imap(end_at_three, range(8))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(BrokenProcessPool) as raised:
            next(results)
        assert type(raised.value) is procession.WorkerDied
        assert list(results) == [4, 5, 6, 7]


def test_a_chunk_fails_as_a_whole(forked: Any) -> None:
    results = forked.imap(end_at_three, range(8), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(procession.WorkerDied):
        next(results)
    assert list(results) == [4, 5, 6, 7]


def test_map_raises_the_death(forked: Any) -> None:
    with pytest.raises(procession.WorkerDied):
        forked.map(end_at_three, range(100), 1)
    assert forked.map(end_at_three, [1, 2], 1) == [1, 2]


def test_error_callback_gets_the_death(forked: Any) -> None:
    told: list[Any] = []
    result = forked.apply_async(end, ("kill", signal.SIGKILL), callback=square, error_callback=told.append)
    with pytest.raises(procession.WorkerDied) as raised:
        result.get()
    assert told == [raised.value]


def test_all_workers_may_be_killed_while_they_wait(forked: Any) -> None:
    for _ in range(3):
        until(lambda: len(forked._pool) == 2)
        for process in list(forked._pool):
            process.kill()
        assert forked.map(square, range(4), 1) == [0, 1, 4, 9]


class KillsWhoPickles:
    """A result that is never put: its worker is killed when it would be."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class KillsWhoUnpickles:
    """A task that kills the worker that takes it."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def make_killer() -> KillsWhoPickles:
    return KillsWhoPickles()


def test_death_between_the_work_and_its_result(forked: Any) -> None:
    with pytest.raises(procession.WorkerDied):
        forked.apply(make_killer)


def test_death_while_the_task_is_unpickled(forked: Any) -> None:
    with pytest.raises(procession.WorkerDied, match="exit code 9"):
        forked.apply(square, (KillsWhoUnpickles(),))


def die_behind_the_result() -> int:
    """Kill this worker when the result is put, before the lease has ended."""
    from procession._channels import joinable

    def task_done(self: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    joinable.JoinableQueue.task_done = task_done  # type: ignore[method-assign]
    return 3


def test_death_behind_the_result_takes_nothing_away(forked: Any) -> None:
    for _ in range(3):
        assert forked.apply(die_behind_the_result) == 3
    assert forked.map(square, range(4), 1) == [0, 1, 4, 9]


def test_the_exception_can_be_sent_on(forked: Any) -> None:
    with pytest.raises(procession.WorkerDied) as raised:
        forked.apply(end, ("kill", signal.SIGKILL))
    copy = pickle.loads(pickle.dumps(raised.value))
    assert type(copy) is procession.WorkerDied
    assert vars(copy) == vars(raised.value)
    assert (str(copy), copy.pid, copy.exitcode) == (str(raised.value), raised.value.pid, -signal.SIGKILL)


# ---- failures --------------------------------------------------------------------------------------------


class TwoArguments(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


class Stubborn(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no")


def raise_it(kind: type[BaseException], *args: Any) -> None:
    raise kind(*args)


def test_an_exception_comes_with_the_traceback_of_its_worker(forked: Any) -> None:
    with pytest.raises(KeyError) as raised:
        forked.apply(raise_it, (KeyError, 7))
    assert raised.value.args == (7,)
    cause: Any = raised.value.__cause__
    assert type(cause) is procession.pool.RemoteTraceback
    assert "raise kind(*args)" in cause.tb
    assert "raise kind(*args)" in str(cause)


def test_an_exception_that_does_not_unpickle_is_told_all_the_same(forked: Any) -> None:
    with pytest.raises(procession.RemoteError, match="1 and 2") as raised:
        forked.apply(raise_it, (TwoArguments, 1, 2))
    assert raised.value.type_name == "TwoArguments"
    assert "raise kind(*args)" in str(raised.value.__cause__)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, StopIteration])
def test_exceptions_of_other_kinds_are_raised_too(kind: type[BaseException], forked: Any) -> None:
    with pytest.raises(kind):
        forked.apply(raise_it, (kind,))
    assert forked.apply(square, (2,)) == 4


def test_what_cannot_be_sent_back_says_so(forked: Any) -> None:
    with pytest.raises(procession.pool.MaybeEncodingError, match="Stubborn"):
        forked.apply(raise_it, (Stubborn,))
    with pytest.raises(procession.pool.MaybeEncodingError, match="lambda") as raised:
        forked.apply(make_lambda)
    assert "lambda" in raised.value.value
    assert "local object" in raised.value.exc
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (str(copy), copy.exc, copy.value) == (str(raised.value), raised.value.exc, raised.value.value)


def make_lambda() -> Any:
    return lambda: 3


class OnlyThere:
    """Unpickles where it was made, and not in the owner."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return only_there, (self.name,)


def only_there(name: str) -> OnlyThere:
    if multiprocessing.parent_process() is None:
        raise LookupError(f"not here: {name}")
    return OnlyThere(name)


def test_results_that_do_not_unpickle_fail_each_with_its_own_reason(forked: Any) -> None:
    results = [forked.apply_async(OnlyThere, (str(n),)) for n in range(50)]
    results[25:25] = [forked.apply_async(square, (3,))]
    for n, result in enumerate(results):
        if n == 25:
            assert result.get() == 9
            continue
        with pytest.raises(LookupError) as raised:
            result.get()
        assert raised.value.args == (f"not here: {n - (n > 25)}",)
        assert "its worker had sent it" in raised.value.__notes__[0]


class OnlyHere:
    def __reduce__(self) -> Any:
        return only_here, ()


def only_here() -> OnlyHere:
    if multiprocessing.parent_process() is not None:
        raise LookupError("not there")
    return OnlyHere()


def test_a_task_that_does_not_unpickle_fails_alone(forked: Any) -> None:
    for _ in range(3):
        with pytest.raises(LookupError, match="not there"):
            forked.apply(square, (OnlyHere(),))
    assert len({process.pid for process in forked._pool}) == 2
    assert forked.apply(square, (3,)) == 9


def test_a_function_that_is_not_there_in_the_worker_fails_alone(forked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(x: int) -> int:
        return x

    later.__qualname__ = "later"
    monkeypatch.setitem(globals(), "later", later)
    with pytest.raises(AttributeError, match="later"):
        forked.map(later, [1])
    assert forked.apply(square, (3,)) == 9


# ---- workers that cannot begin --------------------------------------------------------------------------------


def fail_to_begin(text: str) -> None:
    raise LookupError(text)


@pytest.mark.parametrize("method", [*METHODS, "threads"])
def test_first_failure_of_an_initializer_is_raised_to_all(method: str) -> None:
    made: Any = procession.pool.ThreadPool if method == "threads" else procession.get_context(method).Pool
    with made(2, fail_to_begin, ("no licence",)) as pool:
        results = [pool.apply_async(square, (1,)), pool.map_async(square, [1]), pool.imap(square, [1])]
        for get in (results[0].get, results[1].get, results[2].__next__):
            with pytest.raises(LookupError, match="no licence") as raised:
                get()
        if method != "threads":
            assert "raise LookupError(text)" in str(raised.value.__cause__)
        until(lambda: pool._engine.is_over)
        with pytest.raises(LookupError, match="no licence"):
            pool.apply(square, (1,))


def leave_at_once() -> None:
    os._exit(0)


def test_workers_that_never_begin_are_not_started_for_ever() -> None:
    said = f"{death.TOO_MANY_STARTS} workers in a row ended before"
    with FORK.Pool(1, leave_at_once) as pool, pytest.raises(procession.WorkerDied, match=said):
        pool.apply(square, (1,))


class NeverThere:
    """An initializer that cannot be unpickled."""

    def __call__(self) -> None: ...

    def __reduce__(self) -> Any:
        return operator.getitem, ({}, "not there")


def test_an_initializer_that_does_not_unpickle_is_the_failure_of_all() -> None:
    with procession.get_context("spawn").Pool(1, NeverThere()) as pool, pytest.raises(LookupError, match="not there"):
        pool.apply(square, (1,))


def test_an_initializer_is_run_in_each_worker() -> None:
    with FORK.Pool(2, os.environ.__setitem__, ("TEST_POOL", "yes")) as pool:
        assert pool.map(os.getenv, ["TEST_POOL"] * 4, 1) == ["yes"] * 4
        for process in list(pool._pool):
            process.kill()
        assert pool.map(os.getenv, ["TEST_POOL"] * 4, 1) == ["yes"] * 4


@pytest.mark.parametrize("chunk", [1, 3])
def test_workers_are_replaced_after_so_many_tasks(chunk: int) -> None:
    with FORK.Pool(2, maxtasksperchild=2) as pool:
        pids = pool.map(pid_of_worker, range(30), chunk)
        most = 2 * chunk
        assert all(pids.count(pid) <= most for pid in pids)
        assert len(set(pids)) >= 30 / most


def pid_of_worker(_: int) -> int:
    return os.getpid()


def test_a_worker_that_cannot_be_replaced_leaves_the_work_to_the_others(
    forked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwds: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(forked._engine.floor.crew, "make", refuse)
    with pytest.raises(procession.WorkerDied):
        forked.apply(end, ("kill", signal.SIGKILL))
    assert forked.map(square, range(4), 1) == [0, 1, 4, 9]
    with pytest.raises((procession.WorkerDied, OSError)):
        forked.apply(end, ("kill", signal.SIGKILL))
    with pytest.raises(OSError, match="no more processes"):
        forked.apply(square, (1,))


def test_the_engine_leaves_nothing_in_its_books(forked: Any) -> None:
    forked.map(square, range(100), 1)
    with pytest.raises(procession.WorkerDied):
        forked.apply(end, ("kill", signal.SIGKILL))
    books: engine.Engine = forked._engine
    until(lambda: not books._graves)
    assert (books.pending, len(books._feeder.backlog), books._aside) == ({}, 0, deque())


def make_and_forget(made: list[Any]) -> None:
    pool = FORK.Pool(1)
    made += [pool._engine, *pool._pool]
    del pool
    gc.collect()


def test_a_pool_that_nobody_waits_for_any_more_is_given_up() -> None:
    made: list[Any] = []
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        make_and_forget(made)
    made[0]._overseer.join()
    assert not made[1].is_alive()


def wait_for_the_result_of_a_forgotten_pool() -> int:
    gate = procession.Event()
    result = FORK.Pool(1).apply_async(wait_and_square, (gate, 3))
    gc.collect()
    gate.set()
    squared: int = result.get()
    until(lambda: result._pool is None)
    return squared


def test_a_result_keeps_its_pool() -> None:
    with pytest.warns(ResourceWarning):
        assert wait_for_the_result_of_a_forgotten_pool() == 9


def wait_and_square(gate: Any, x: int) -> int:
    gate.wait()
    return x * x


def test_get_may_be_asked_by_several(forked: Any) -> None:
    gate = procession.Event()
    result = forked.apply_async(wait_and_square, (gate, 4))
    with thread(result.get) as one, thread(result.get) as other:
        gate.set()
        assert (one.result(), other.result()) == (16, 16)
