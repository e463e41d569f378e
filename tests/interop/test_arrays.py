"""Shared arrays in arguments of processes: ours and the standard library's, by each start method, and in queues between them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import procession
from procession import shared_array
from tests.helpers import METHODS, child, kill, memory, until

OURS = ["fork", "spawn", "forkserver"]


@contextmanager
def our_child(target: Callable[..., object], *args: Any, method: str) -> Iterator[procession.Process]:
    process = procession.Process(target=target, args=args, start_method=method)
    process.start()
    try:
        yield process
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}, process.outcome
    finally:
        process.kill()
        process.join()
        process.close()


STARTS: dict[str, Callable[..., Any]] = {
    **{f"multiprocessing {method}": lambda *a, method=method: child(*a, method=method) for method in METHODS},
    **{f"ours {method}": lambda *a, method=method: our_child(*a, method=method) for method in OURS},
}
each_start = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


def double(array: Any, answers: Any = None) -> None:
    array *= 2
    if answers is not None:
        answers.put("done")
        assert answers.get() == "seen"
        array += 1


@each_start
def test_child_and_parent_see_what_the_other_writes(start: Callable[..., Any]) -> None:
    array, answers, orders = shared_array((3, 4), "i4", fill=21), procession.Queue[str](), procession.Queue[str]()
    with start(ping, array, orders, answers):
        for number in range(5):
            array[0, 0] = number
            orders.put("look")
            assert answers.get() == str(number)
            assert array[2, 3] == number + 100
        orders.put("end")


def ping(array: Any, orders: Any, answers: Any) -> None:
    while orders.get() == "look":
        array[2, 3] = array[0, 0] + 100
        answers.put(str(array[0, 0]))


VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda array: array,
    "a slice": lambda array: array[1:3],
    "every second": lambda array: array[::2],
    "backwards": lambda array: array[::-1, ::-1],
    "transposed": lambda array: array.T,
    "another dtype": lambda array: array.view("u1"),
    "a field": lambda array: array.view([("x", "i2"), ("y", "u2")])["y"],
}


def add_to_each(views: dict[str, Any]) -> None:
    for view in views.values():
        view += 1


@each_start
def test_views_are_views_of_the_same_memory(start: Callable[..., Any]) -> None:
    arrays = {name: shared_array((4, 6), "i4") for name in VIEWS}
    expected = {name: np.zeros((4, 6), "i4") for name in VIEWS}
    for name, make in VIEWS.items():
        view = make(expected[name])
        view += 1
    with start(add_to_each, {name: make(arrays[name]) for name, make in VIEWS.items()}):
        pass
    for name in VIEWS:
        assert arrays[name].tolist() == expected[name].tolist(), name


def is_read_only(array: Any) -> None:
    assert not array.flags.writeable


@each_start
def test_read_only_view_stays_read_only(start: Callable[..., Any]) -> None:
    view = shared_array(5)[:]
    view.flags.writeable = False
    with start(is_read_only, view):
        pass


def add_one_to(shared: Any, other: Any) -> None:
    shared += 1
    other += 1


@each_start
def test_other_arrays_are_copied(start: Callable[..., Any]) -> None:
    shared, other = shared_array(3), np.zeros(3)
    with start(add_one_to, shared, other):
        pass
    assert (shared.tolist(), other.tolist()) == ([1, 1, 1], [0, 0, 0])


def give(queue: Any, count: int) -> None:
    made = shared_array(count, fill=1)
    queue.put(("made", made))
    queue.put(made)
    queue.put(np.full(count, 2.0))
    queue.put([np.full(count, 3.0)])


@each_start
@pytest.mark.parametrize("count", [5, 100_000])
def test_arrays_outlive_who_made_them(start: Callable[..., Any], count: int) -> None:
    before = memory()["payloads"]
    queue = procession.Queue[Any]()
    with start(give, queue, count):
        pass
    (_, first), second, third, [fourth] = (queue.get() for _ in range(4))
    first[0] = 9
    assert second[0] == 9
    assert [array[-1] for array in (first, second, third, fourth)] == [1, 1, 2, 3]
    del first, second, third, fourth
    assert memory()["payloads"] == before


def pass_on(source: Any, target: Any, times: int) -> None:
    for _ in range(times):
        target.put(source.get())


@each_start
def test_shared_array_through_a_chain_of_processes(start: Callable[..., Any]) -> None:
    first, last = procession.Queue[Any](), procession.Queue[Any]()
    array = shared_array(1000, "i4")
    with start(pass_on, first, last, 3):
        for item in (array, ("in a tuple", array[5:]), array[::2]):
            first.put(item)
        whole, (_, rest), second = (last.get() for _ in range(3))
    array[6] = 77
    assert (whole[6], rest[1], second[3]) == (77, 77, 77)
    assert whole.ctypes.data == array.ctypes.data  # the same object came home


def total(array: Any) -> float:
    array[0] += 1
    return float(array.sum())


@pytest.mark.parametrize("method", METHODS)
def test_tasks_of_an_executor_get_a_copy(method: str) -> None:
    array = shared_array(10, fill=1)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        assert pool.submit(total, array).result() == 11
    assert array[0] == 1


kept: Any = None


def initialise(array: Any) -> None:
    global kept
    kept = array


def total_of_kept(_: object) -> float:
    return float(kept.sum())


@pytest.mark.parametrize("method", METHODS)
def test_initializer_of_a_pool_gets_the_same_memory(method: str) -> None:
    array = shared_array(10, fill=1)
    with multiprocessing.get_context(method).Pool(1, initialise, (array,)) as pool:
        assert pool.map(total_of_kept, [None]) == [10]
        array[0] = 11
        assert pool.map(total_of_kept, [None]) == [20]
        pool.close()
        pool.join()


# ---- ends of processes ---------------------------------------------------------------------------


def take_and_stay(queue: Any, ready: Any) -> None:
    kept = [queue.get() for _ in range(3)]
    ready.put(len(kept))
    while True:
        signal.pause()


@each_start
def test_killed_receiver_leaves_nothing(start: Callable[..., Any]) -> None:
    before = memory()["payloads"]
    queue, ready = procession.Queue[Any](), procession.Queue[int]()
    with start(take_and_stay, queue, ready) as process:
        for item in (np.ones(100_000), shared_array(100_000), [np.ones(100_000)]):
            queue.put(item)
        del item
        assert ready.get() == 3
        assert memory()["payloads"] > before
        kill(process)
    until(lambda: memory()["payloads"] == before)


def put_and_stay(queue: Any, ready: Any) -> None:
    kept = shared_array(100_000, fill=4)
    queue.put(np.full(100_000, 5.0))
    queue.put(kept)
    mine = shared_array(100_000)
    ready.put(len(mine))
    while True:
        signal.pause()


@each_start
def test_killed_sender_leaves_what_it_had_put(start: Callable[..., Any]) -> None:
    before = memory()["payloads"]
    queue, ready = procession.Queue[Any](), procession.Queue[int]()
    with start(put_and_stay, queue, ready) as process:
        ready.get()
        kill(process)
    until(lambda: memory()["payloads"] < before + 3 * 800_000)  # its own third array went
    copied, shared = queue.get(), queue.get()
    assert (copied == 5).all()
    assert (shared == 4).all()
    del copied, shared
    until(lambda: memory()["payloads"] == before)


def check(array: Any, value: float) -> None:
    for _ in range(200):
        assert (array == value).all()


@pytest.mark.parametrize("kind", ["received", "shared"])
def test_forked_child_keeps_its_views(kind: str) -> None:
    before = memory()["payloads"]
    queue, go, gone = procession.Queue[Any](), procession.Queue[int](), procession.Queue[int]()
    queue.put(np.full(100_000, 6.0) if kind == "received" else shared_array(100_000, fill=6))
    array = queue.get()

    def wait_and_check(array: Any) -> None:
        go.get()
        assert (array == 6).all()
        gone.put(os.getpid())

    with child(wait_and_check, array):
        del array
        others = [shared_array(100_000, fill=n) for n in range(5)]  # would stand where the child looks
        go.put(1)
        gone.get()
        assert memory()["payloads"] >= before + 6 * 800_000
    del others
    until(lambda: memory()["payloads"] == before)


# ---- killed at any time ----------------------------------------------------------------------------


def made(number: int) -> Any:
    """An item of each kind; every element of its arrays is the number."""
    kinds: list[Callable[[], Any]] = [
        lambda: np.full(20_000, number),
        lambda: shared_array(20_000, "i8", fill=number),
        lambda: (number, np.full(20_000, number), shared_array(100, "i8", fill=number)[::2]),
        lambda: {"a": np.full(30, number), "b": [np.full(9_000, number)] * 2},
    ]
    return kinds[number % 4]()


def arrays_in(item: Any) -> list[Any]:
    if isinstance(item, np.ndarray):
        return [item]
    if isinstance(item, dict | list | tuple):
        return [array for one in (item.values() if isinstance(item, dict) else item) for array in arrays_in(one)]
    return []


def is_whole(item: Any) -> bool:
    arrays = arrays_in(item)
    return bool(arrays) and all((array == arrays[0].flat[0]).all() for array in arrays)


def produce_for_ever(queue: Any) -> None:
    number = 0
    while True:
        queue.put(made(number))
        number += 1


def consume_for_ever(queue: Any, torn: Any) -> None:
    kept: list[Any] = []
    while True:
        item = queue.get()
        if not is_whole(item):
            torn.put(repr(item))
        kept = [*kept[-3:], item]
        if hasattr(queue, "task_done"):
            for array in arrays_in(item):
                array *= 1
            queue.task_done()


def member(place: int, queue: Any, torn: Any) -> procession.Process:
    target, args = ((produce_for_ever, (queue,)), (consume_for_ever, (queue, torn)))[place % 2]
    process = procession.Process(target=target, args=args, start_method="fork")
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("kind", [procession.Queue, procession.JoinableQueue])
def test_random_kills_leave_whole_arrays_and_no_memory(kind: Callable[..., Any]) -> None:
    before = memory()
    queue, torn = kind(maxsize=8), procession.Queue[str]()
    chance = random.Random(5)
    crew = [member(place, queue, torn) for place in range(4)]
    for _ in range(60):
        time.sleep(chance.random() / 50)
        place = chance.randrange(4)
        kill(crew[place])
        crew[place].close()
        crew[place] = member(place, queue, torn)
    for process in crew:
        kill(process)
        process.close()
    assert torn.empty(), torn.get()
    for _ in range(queue.qsize()):
        assert is_whole(queue.get())
    queue.shutdown(immediate=True)
    del queue
    gc.collect()
    until(lambda: memory()["payloads"] == before["payloads"])
