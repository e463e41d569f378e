"""Values, arrays and atomics in arguments of processes: ours and the standard library's, by each start method."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import procession
from procession import Array, Atomic, RawArray, RawValue, Value
from tests.helpers import domain, memory
from tests.interop.test_arrays import each_start


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


def change(value: Any, array: Any, text: Any, point: Any, raw: Any, rows: Any, number: Any, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1
        with value:
            array[0] += 1
            raw.value += 1
            rows[1][2] += 1
        point.x += 1
        number.add()
    text.value = b"changed"


@each_start
def test_each_kind_in_each_start(start: Callable[..., Any]) -> None:
    value, array, text, point = Value("q", 5), Array("d", [1.0, 2.0]), Array("c", 10), Value(Point, 1, 2.0)
    raw, rows, number = RawValue("i", 3), RawArray(ctypes.c_int * 3, 2), Atomic(10)
    objects = value, array, text, point, raw, rows, number
    with start(change, *objects, 500), start(change, *objects, 500):
        change(*objects, 500)
    assert (value.value, array[:], text.value) == (1505, [1501.0, 2.0], b"changed")
    assert (raw.value, list(rows[1]), number.value) == (1503, [0, 0, 1500], 1510)
    assert 501 <= point.x <= 1501  # += on a field is a read and a write


@each_start
def test_nothing_stays_of_them(start: Callable[..., Any]) -> None:
    gc.collect()
    memory()
    before = domain().objects()
    value, number = Value("i", 0), Atomic()
    with start(touch, value, number):
        pass
    assert (value.value, number.value) == (1, 1)
    del value, number
    gc.collect()
    memory()
    assert domain().objects() == before


def touch(value: Any, number: Any) -> None:
    value.value += 1
    number.add()


_shared: Any = None


def remember(value: Any) -> None:
    global _shared
    _shared = value


def use(_: int) -> None:
    with _shared:
        _shared.value += 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_initializer_of_an_executor(method: str) -> None:
    import multiprocessing

    value = Value("i", 0)
    context: Any = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context, initializer=remember, initargs=(value,)) as executor:
        list(executor.map(use, range(100)))
    assert value.value == 100


def test_item_of_a_foreign_queue_is_refused() -> None:
    executor = ProcessPoolExecutor(1)
    with executor, pytest.raises(procession.NotShared):
        executor.submit(touch, Value("i"), Atomic()).result()
