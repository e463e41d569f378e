"""Pool and ThreadPool: what every method gives, with any start method."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.pool
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import procession
import procession.pool
from procession._work import feeder
from tests.helpers import METHODS, output_of, thread, until

Made = Callable[..., Any]


@pytest.fixture(params=[*METHODS, "threads"])
def make(request: pytest.FixtureRequest) -> Made:
    if request.param == "threads":
        return procession.pool.ThreadPool
    made: Made = procession.get_context(request.param).Pool
    return made


@pytest.fixture(params=["fork", "threads"])
def quick(request: pytest.FixtureRequest) -> Made:
    return procession.pool.ThreadPool if request.param == "threads" else procession.get_context("fork").Pool


@pytest.fixture
def forked() -> Iterator[Any]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool


def square(x: int) -> int:
    return x * x


def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


def fail(x: int) -> int:
    raise KeyError(x)


def fail_at_three(x: int) -> int:
    if x == 3:
        raise KeyError(x)
    return x


def identity(x: Any) -> Any:
    return x


def test_every_method_gives_what_it_names(make: Made) -> None:
    with make(2) as pool:
        assert pool.apply(add, (1,), {"c": 2}) == 3
        assert pool.apply_async(add, [1, 2]).get() == 3
        assert pool.map(square, range(10)) == [x * x for x in range(10)]
        assert pool.map(square, (x for x in range(10)), 3) == [x * x for x in range(10)]
        assert pool.map_async(square, [2]).get() == [4]
        assert pool.starmap(add, [(1, 2), (3,)]) == [3, 3]
        assert pool.starmap_async(add, [(1, 2), (3,)], 1).get() == [3, 3]
        assert list(pool.imap(square, range(10))) == [x * x for x in range(10)]
        assert list(pool.imap(square, iter(range(10)), 3)) == [x * x for x in range(10)]
        assert sorted(pool.imap_unordered(square, range(10))) == [x * x for x in range(10)]
        assert sorted(pool.imap_unordered(square, range(10), 4)) == [x * x for x in range(10)]
        with pytest.raises(KeyError, match="7"):
            pool.apply(fail, (7,))


def test_nothing_gives_nothing(quick: Made) -> None:
    with quick(1) as pool:
        assert (pool.map(square, []), pool.starmap(add, ()), pool.map(square, [], 5)) == ([], [], [])
        assert (list(pool.imap(square, [])), list(pool.imap_unordered(square, iter(()), 2))) == ([], [])


def test_many_tasks_come_back_in_order(quick: Made) -> None:
    with quick(2) as pool:
        assert pool.map(identity, range(5000), 1) == list(range(5000))
        assert list(pool.imap(identity, iter(range(5000)))) == list(range(5000))
        results = [pool.apply_async(identity, (n,)) for n in range(5000)]
        assert [result.get() for result in results] == list(range(5000))


@pytest.mark.parametrize(
    "value",
    [
        None,
        1 << 200,
        "ü",
        b"b" * 100_000,
        [1, [2]],
        {"a": (1, 2)},
        (1, (2, [3])),
        {3, 4},
        slice(1, 2),
        print,
        int,
        "x" * (2 << 20),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_all_kinds_go_there_and_back(value: Any, forked: Any) -> None:
    assert forked.apply(identity, (value,)) == value
    assert forked.map(identity, [value, value]) == [value, value]


def change(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array += 1
    return array


def test_arrays_belong_to_who_gets_them(forked: Any) -> None:
    sent = np.zeros(100_000)
    got = forked.apply(change, (sent,))
    assert (sent.sum(), got.sum()) == (0, 100_000)
    got += 1


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _: int) -> int:
        self.calls += 1
        return self.calls


def test_a_callable_with_a_state_is_sent_with_each_task(forked: Any) -> None:
    assert forked.map(Counter(), range(4), 1) == [1, 1, 1, 1]
    assert forked.map(Counter(), range(4), 4) == [1, 2, 3, 4]


def test_methods_and_builtin_functions_can_be_called(forked: Any) -> None:
    assert forked.starmap("a-b".replace, [("-", "+")]) == ["a+b"]
    assert forked.map(int, ["3"]) == [3]
    assert forked.map(os.path.basename, ["/a/b"]) == ["b"]


def test_locks_and_queues_may_be_arguments_of_a_task(make: Made) -> None:
    queue: procession.Queue[str] = procession.Queue()
    with make(1) as pool:
        pool.apply(put_under, (procession.Lock(), queue))
    assert queue.get() == "held"


def put_under(lock: Any, queue: Any) -> None:
    with lock:
        queue.put("held")


# ---- results ---------------------------------------------------------------------------------------


def test_result_says_whether_it_is_there(quick: Made) -> None:
    gate = procession.Event()
    with quick(1) as pool:
        result = pool.apply_async(wait_for, (gate,))
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.01)
        result.wait(-1)
        with thread(result.get) as other:
            gate.set()
            assert (result.get(), other.result(), result.get(timeout=0)) == (None, None, None)
        assert (result.ready(), result.successful()) == (True, True)
        failed = pool.apply_async(fail, (1,))
        failed.wait()
        assert not failed.successful()


def wait_for(event: Any) -> None:
    event.wait()


def test_next_of_an_iterator_may_run_out_of_time(quick: Made) -> None:
    gate = procession.Event()
    with quick(1) as pool:
        results = pool.imap(wait_for, [gate])
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(0.01)
        gate.set()
        assert next(results) is None
        assert list(results) == []
        with pytest.raises(StopIteration):
            results.next(timeout=1)


def test_iterator_goes_on_behind_a_failure(quick: Made) -> None:
    with quick(2) as pool:
        results = pool.imap(fail_at_three, range(6))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError):
            next(results)
        assert list(results) == [4, 5]


def test_map_raises_the_first_failure_when_all_is_done(quick: Made) -> None:
    done: list[Any] = []
    with quick(2) as pool:
        result = pool.map_async(fail_at_three, range(6), 1, done.append, done.append)
        with pytest.raises(KeyError) as raised:
            result.get()
        assert done == [raised.value]


def test_callbacks_are_called_in_one_thread_before_the_result_is_ready(quick: Made) -> None:
    called: list[tuple[Any, int, bool]] = []
    with quick(2) as pool:
        results: list[Any] = []

        def note(value: Any) -> None:
            called.append((value, threading.get_ident(), any(result.ready() for result in results)))

        results.append(pool.apply_async(square, (3,), callback=note, error_callback=fail))
        results[0].wait()
        results[0] = pool.map_async(square, [1, 2], callback=note)
        results[0].wait()
        results[0] = pool.apply_async(fail, (3,), callback=fail, error_callback=note)
        results[0].wait()
    assert [str(value) for value, *_ in called] == ["9", "[1, 4]", "3"]
    callers = {ident for _, ident, _ in called}
    assert len(callers) == 1
    assert threading.get_ident() not in callers
    assert not any(was_ready for *_, was_ready in called)


def test_callback_that_raises_is_said_and_harms_nobody(quick: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    with quick(1) as pool:
        assert pool.apply_async(square, (3,), callback=fail).get() == 9
        assert pool.apply(square, (4,)) == 16
    assert [args.exc_type for args in said] == [KeyError]


def test_callback_may_give_more_work_and_end_the_pool(quick: Made) -> None:
    later: list[Any] = []
    with quick(1) as pool:
        pool.apply_async(square, (2,), callback=lambda four: later.append(pool.apply_async(square, (four,)))).wait()
        assert later[0].get() == 16
        pool.apply_async(square, (2,), callback=lambda _: pool.terminate()).wait()
        pool.join()


def test_classes_are_those_of_multiprocessing(quick: Made) -> None:
    with quick(1) as pool:
        assert isinstance(pool, multiprocessing.pool.Pool)
        assert isinstance(pool.apply_async(square, (1,)), multiprocessing.pool.AsyncResult)
        assert isinstance(pool.map_async(square, [1]), multiprocessing.pool.MapResult)
        assert isinstance(pool.imap(square, [1]), multiprocessing.pool.IMapIterator)
        assert isinstance(pool.imap_unordered(square, [1]), multiprocessing.pool.IMapUnorderedIterator)


@pytest.mark.parametrize(
    "name",
    ["Pool", "ThreadPool", "ApplyResult", "MapResult", "IMapIterator", "IMapUnorderedIterator", "MaybeEncodingError"],
)
def test_no_method_of_theirs_is_left(name: str) -> None:
    private = {"_setup_queues", "_get_sentinels", "_get_worker_sentinels", "_join_exited_workers", "_maintain_pool"}
    private |= {
        "_repopulate_pool_static",
        "_guarded_task_generation",
        "_map_async",
        "_wait_for_updates",
        "_handle_workers",
    }
    private |= {
        "_handle_tasks",
        "_handle_results",
        "_get_tasks",
        "_help_stuff_finish",
        "_terminate_pool",
        "_set",
        "_set_length",
    }
    ours, theirs = getattr(procession.pool, name), getattr(multiprocessing.pool, name)
    inherited = {
        attribute
        for kind in theirs.__mro__
        if kind.__module__ == "multiprocessing.pool"
        for attribute, value in vars(kind).items()
        if callable(getattr(value, "__func__", value)) and getattr(ours, attribute) is getattr(theirs, attribute)
    }
    assert inherited <= private


# ---- what is taken of the input ------------------------------------------------------------------------


def test_an_input_without_end_is_taken_as_far_as_it_is_needed(quick: Made) -> None:
    taken = itertools.count()
    with quick(2) as pool:
        results = pool.imap(square, taken)
        assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]


def test_no_more_than_so_many_tasks_are_under_way() -> None:
    gate = procession.Event()
    taken = []

    def inputs() -> Iterator[Any]:
        for n in range(10 * feeder.MOST):
            taken.append(n)
            yield gate

    with procession.get_context("fork").Pool(1) as pool:
        results = pool.imap(wait_for, inputs())
        until(lambda: len(taken) > feeder.MOST)
        assert pool._engine._feeder.backlog
        assert len(taken) == feeder.MOST + 1
        gate.set()
        assert sum(1 for _ in results) == 10 * feeder.MOST


def test_an_input_may_wait_for_the_results_of_what_came_before(quick: Made) -> None:
    done: procession.Queue[int] = procession.Queue()

    def inputs() -> Iterator[int]:
        yield 2
        for _ in range(3):
            yield done.get()

    with quick(1) as pool:
        for result in pool.imap(square, inputs()):
            done.put(result)
    assert result == 65536


@pytest.mark.parametrize("when", [0, 2])
@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_an_input_that_raises_ends_there(quick: Made, when: int, kind: type[BaseException]) -> None:
    def inputs() -> Iterator[int]:
        yield from range(when)
        raise kind("enough")

    with quick(1) as pool:
        results = pool.imap(identity, inputs())
        assert [next(results) for _ in range(when)] == list(range(when))
        with pytest.raises(kind, match="enough"):
            next(results)
        assert list(results) == []


class Shrinking:
    """Says that it has more than it gives."""

    def __init__(self, said: int, given: int) -> None:
        self.said, self.given = said, given

    def __len__(self) -> int:
        return self.said

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.given))


@pytest.mark.parametrize(("said", "given"), [(5, 3), (3, 5), (0, 2), (2, 0)])
def test_an_input_may_be_wrong_about_its_length(quick: Made, said: int, given: int) -> None:
    with quick(1) as pool:
        assert pool.map(square, Shrinking(said, given)) == [n * n for n in range(given)]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("cannot be sent")


def test_what_does_not_pickle_fails_alone(forked: Any) -> None:
    with pytest.raises(RuntimeError, match="cannot be sent"):
        forked.apply(identity, (Unpicklable(),))
    results = forked.imap(identity, [1, Unpicklable(), 3])
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="cannot be sent"):
        next(results)
    assert list(results) == [3]
    with pytest.raises(RuntimeError, match="cannot be sent"):
        forked.map(identity, [Unpicklable()])
    with pytest.raises(AttributeError, match="local"):
        forked.map(lambda x: x, [1])
    assert forked.apply(square, (3,)) == 9


# ---- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"processes": 0}, ValueError),
        ({"processes": -1}, ValueError),
        ({"processes": "2"}, TypeError),
        ({"initializer": 1}, TypeError),
    ],
)
def test_wrong_arguments_raise_and_start_nothing(quick: Made, given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        quick(**given)


@pytest.mark.parametrize("most", [0, -1, 0.5, "12"])
def test_maxtasksperchild_is_a_number_of_tasks(most: Any) -> None:
    with pytest.raises(ValueError, match="maxtasksperchild must be a positive int or None"):
        procession.Pool(1, maxtasksperchild=most)


def test_chunks_have_one_item_at_least(quick: Made) -> None:
    with quick(1) as pool:
        for method in (pool.map, pool.starmap, pool.imap, pool.imap_unordered):
            with pytest.raises(ValueError, match=r"Chunksize must be 1\+"):
                method(square, [1], 0)


def test_pool_cannot_be_pickled(quick: Made) -> None:
    with quick(1) as pool, pytest.raises(NotImplementedError, match="pool objects cannot be passed between processes"):
        pickle.dumps(pool)


def test_repr_says_state_and_size(quick: Made) -> None:
    pool = quick(2)
    name = f"procession.pool.{type(pool).__name__}"
    assert repr(pool) == f"<{name} state=RUN pool_size=2>"
    pool.close()
    assert f"<{name} state=CLOSE" in repr(pool)
    pool.terminate()
    assert f"<{name} state=TERMINATE" in repr(pool)
    pool.join()


def test_workers_are_daemonic_and_named() -> None:
    with procession.get_context("fork").Pool(2) as pool:
        assert pool.apply(who_am_i)[1:] == (True, "ForkPoolWorker")
        assert {process.daemon for process in pool._pool} == {True}


def who_am_i() -> tuple[int, bool, str]:
    process = multiprocessing.current_process()
    return os.getpid(), process.daemon, process.name.partition("-")[0]


def test_pool_of_a_context_of_multiprocessing_has_processes_of_ours() -> None:
    with procession.pool.Pool(1, context=multiprocessing.get_context("spawn")) as pool:
        assert isinstance(pool._pool[0], procession.Process)
        assert pool.apply(who_am_i)[2] == "SpawnPoolWorker"


def test_subclass_may_make_its_own_processes() -> None:
    class Own(procession.pool.Pool):
        @staticmethod
        def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802
            return ctx.Process(*args, name="Own-1", **kwds)

    with Own(1, context=procession.get_context("fork")) as pool:
        assert pool.apply(who_am_i)[2] == "Own"


def test_pools_of_an_installed_program_are_ours() -> None:
    program = """
import procession
procession.install()
import multiprocessing, multiprocessing.dummy
from multiprocessing.pool import Pool, ThreadPool
made = [multiprocessing.Pool(1), Pool(1), ThreadPool(1), multiprocessing.dummy.Pool(1), multiprocessing.get_context("fork").Pool(1)]
print(*(type(pool).__module__ + "." + type(pool).__name__ for pool in made))
print([pool.map(abs, [-1]) for pool in made], all(isinstance(pool, Pool) for pool in made))
for pool in made:
    pool.terminate()
with multiprocessing.Manager() as manager:
    pool = manager.Pool(1)
    print(pool.map(abs, [-3]))
    pool.terminate()
"""
    names = "procession.pool.Pool procession.pool.Pool procession.pool.ThreadPool procession.pool.ThreadPool procession.pool.Pool"
    assert output_of(program).splitlines() == [names, "[[1], [1], [1], [1], [1]] True", "[3]"]


PATCHED = """
import multiprocessing, os, signal

def work(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        results = pool.imap(work, range(6))
        print([next(results) for _ in range(3)])
        try:
            next(results)
        except Exception as error:
            print(type(error).__name__)
        print(list(results))
"""


@pytest.mark.parametrize("method", METHODS)
def test_an_unmodified_program_survives_a_kill(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PATCHED.replace("multiprocessing.Pool", f"multiprocessing.get_context({method!r}).Pool"))
    run = [sys.executable, "-m", "procession", "run", "--patch", str(program)]
    said = subprocess.run(run, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["[0, 1, 2]", "WorkerDied", "[4, 5]"]
