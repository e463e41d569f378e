"""Arrays in items of a JoinableQueue: the receiver's own to change, and as they were put when they come again."""

from __future__ import annotations

import gc
import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import procession
from procession import shared_array
from tests.helpers import child, kill, memory, until

LARGE = 10_000

MAKES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "alone": (lambda: np.ones(LARGE), lambda got: got),
    "Fortran": (lambda: np.ones((100, 100), order="F"), lambda got: got),
    "in a tuple": (lambda: ("id", np.ones(LARGE)), lambda got: got[1]),
    "second in a list": (lambda: [np.zeros(LARGE), np.ones(LARGE)], lambda got: got[1]),
    "beside a large pickle": (lambda: ("x" * 100_000, np.ones(LARGE)), lambda got: got[1]),
    "small": (lambda: np.ones(5), lambda got: got),
}
each_make = pytest.mark.parametrize(("make", "unwrap"), MAKES.values(), ids=MAKES)


def change_and_stay(queue: Any, unwrap: Callable[[Any], Any], seen: Any) -> None:
    array = unwrap(queue.get())
    seen.put(array.tolist() == np.ones(array.shape).tolist())
    array[...] = 7
    seen.put(True)
    while True:
        signal.pause()


@each_make
def test_it_comes_again_as_it_was_put(make: Callable[[], Any], unwrap: Callable[[Any], Any]) -> None:
    before = memory()["payloads"]
    queue, seen = procession.JoinableQueue[Any](), procession.Queue[bool]()
    queue.put(make())
    for _ in range(3):
        with child(change_and_stay, queue, unwrap, seen) as process:
            assert seen.get()
            assert seen.get()
            kill(process)
    item, _, deliveries = queue.get_item()
    array = unwrap(item)
    assert deliveries == 4
    assert (array == 1).all()
    array[...] = 5  # writable, as the one that was put
    queue.task_done()
    assert queue.join(timeout=0)
    del array, item
    gc.collect()
    until(lambda: memory()["payloads"] == before)


@each_make
def test_array_outlives_task_done(make: Callable[[], Any], unwrap: Callable[[Any], Any]) -> None:
    queue = procession.JoinableQueue[Any]()
    queue.put(make())
    array = unwrap(queue.get())
    array.flat[3] = 5
    queue.task_done()
    others = [shared_array(LARGE, fill=9) for _ in range(5)]
    queue.close()
    del queue
    gc.collect()
    assert array.sum() == array.size + 4
    assert others


def test_untouched_pages_stay_as_they_were_too() -> None:
    queue = procession.JoinableQueue[Any]()
    source = np.arange(100_000)
    queue.put(source)
    first = queue.get()
    source[:] = 0
    first[::1000] = -1
    expected = np.arange(100_000)
    expected[::1000] = -1
    assert (first == expected).all()


def test_memory_is_kept_as_long_as_the_lease_or_the_array() -> None:
    before = memory()["payloads"]
    queue = procession.JoinableQueue[Any]()
    queue.put(np.ones(LARGE))
    array = queue.get()
    del array
    assert memory()["payloads"] > before  # it may come again
    queue.task_done()
    assert memory()["payloads"] == before
    queue.put(np.ones(LARGE))
    array = queue.get()
    queue.task_done()
    assert memory()["payloads"] > before
    del array
    assert memory()["payloads"] == before


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: ("id", item)])
def test_shared_array_stays_the_same_memory(wrap: Callable[[Any], Any]) -> None:
    queue = procession.JoinableQueue[Any]()
    array = shared_array(LARGE)
    queue.put(wrap(array))
    got = queue.get()
    got = got[1] if isinstance(got, tuple) else got
    got[5] = 77
    assert array[5] == 77
    queue.task_done()


def test_read_only_stays_read_only() -> None:
    queue = procession.JoinableQueue[Any]()
    array = np.ones(LARGE)
    array.flags.writeable = False
    queue.put(array)
    queue.put(pickle.PickleBuffer(bytes(100_000)))
    assert not queue.get().flags.writeable
    assert queue.get().readonly


def test_array_put_again_is_as_it_is_now() -> None:
    queue, other = procession.JoinableQueue[Any](), procession.Queue[Any]()
    queue.put(np.ones(LARGE))
    array = queue.get()
    array[0] = 5
    other.put(array)
    other.put(("id", array))
    array[0] = 6
    assert other.get()[0] == 5
    assert other.get()[1][0] == 5
    queue.task_done()


def test_forked_child_and_parent_have_each_their_own() -> None:
    queue, seen = procession.JoinableQueue[Any](), procession.Queue[float]()
    queue.put(np.ones(LARGE))
    array = queue.get()
    array[0] = 2

    def look() -> None:
        array[1] = 3
        seen.put(float(array.sum()))

    with child(look):
        assert seen.get() == LARGE + 3
    assert array[1] == 1
    queue.task_done()


def test_many_arrays_are_let_go() -> None:
    queue = procession.JoinableQueue[Any]()

    def mappings() -> int:
        with open(f"/proc/{os.getpid()}/maps", encoding="utf-8") as file:
            return sum("memfd:procession" in line for line in file)

    before = mappings()
    for _ in range(50):
        queue.put(np.ones(LARGE))
    arrays = [queue.get() for _ in range(50)]
    assert mappings() >= before + 50
    del arrays
    assert mappings() == before
    for _ in range(50):
        queue.task_done()


def test_dead_letter_is_as_it_was_put() -> None:
    queue, seen = procession.JoinableQueue[Any](max_deliveries=1), procession.Queue[bool]()
    queue.put(np.ones(LARGE))
    with child(change_and_stay, queue, lambda got: got, seen) as process:
        assert seen.get()
        assert seen.get()
        kill(process)
    memory()  # sweeps
    for _ in range(2):  # nobody's changes are seen by the next one who looks
        array: Any = queue.dead_letters()[0].item
        assert (array == 1).all()
        array[...] = 5
