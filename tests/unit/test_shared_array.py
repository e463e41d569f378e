"""shared_array() makes an ordinary array of the shape, dtype and content asked for, or says what is wrong."""

from __future__ import annotations

import copy
import ctypes
import gc
import io
import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core, shared_array
from tests.helpers import domain, error_of, memory

DTYPES: list[Any] = [
    *"?bBhHiIlLqQefdgFDG",
    ">i4",
    "<f8",
    "S3",
    "U5",
    "V7",
    "M8[ns]",
    "m8[s]",
    [("x", "f8"), ("y", "i4", (2, 2)), ("name", "S4")],
    np.dtype([("a", "u1"), ("b", "f8")], align=True),
    float,
    np.int16,
    None,
]
SHAPES: list[Any] = [
    (),
    0,
    1,
    7,
    (3,),
    [2, 3],
    (0, 4),
    (4, 0, 2),
    (1,) * 32,
    np.int64(5),
    (np.uint8(2), 3),
    np.array([2, 3]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zeros_of_each_dtype(dtype: Any) -> None:
    array, expected = shared_array((2, 3), dtype), np.zeros((2, 3), dtype)
    assert type(array) is np.ndarray
    assert array.dtype == expected.dtype
    assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_shape(shape: Any) -> None:
    array, expected = shared_array(shape, "i2"), np.zeros(shape, "i2")
    assert array.shape == expected.shape
    assert array.strides == expected.strides or array.size == 0
    assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["S", "U", "(2,3)f4"])
def test_dtype_that_numpy_completes(dtype: str) -> None:
    array, expected = shared_array(4, dtype), np.zeros(4, dtype)
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    array[...] = 1
    expected[...] = 1
    assert array.tobytes() == expected.tobytes()


def test_it_is_writable_and_aligned() -> None:
    array = shared_array((5, 5), "f8")
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert array.ctypes.data % 64 == 0
    assert not array.flags.owndata


FILLS: dict[str, tuple[Any, Any]] = {
    "a number": ("f8", 2.5),
    "zero of another type": ("f8", -0.0),
    "True": ("i4", True),
    "text": ("U3", "ab"),
    "zero as text": ("U3", "0"),
    "a row": ("i4", [1, 2, 3]),
    "a structure": ([("x", "i4"), ("y", "f8")], (1, 2.0)),
    "NaN": ("f4", float("nan")),
    "a date": ("M8[D]", "2024-02-29"),
}


@pytest.mark.parametrize(("dtype", "fill"), FILLS.values(), ids=FILLS)
def test_fill(dtype: Any, fill: Any) -> None:
    array, expected = shared_array((2, 3), dtype, fill=fill), np.zeros((2, 3), dtype)
    expected[...] = fill
    assert array.tobytes() == expected.tobytes()


def test_fill_with_an_array_makes_a_shared_copy() -> None:
    source = np.arange(12.0).reshape(3, 4)
    array = shared_array(source.shape, source.dtype, fill=source)
    source[0, 0] = 99
    assert array.tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_zeros_where_others_have_written_before() -> None:
    used = shared_array(1 << 16, "u1", fill=255)
    place = used.ctypes.data
    del used
    again = shared_array(1 << 16, "u1")
    assert again.ctypes.data == place  # else the test shows nothing
    assert not again.any()


def test_fill_none_leaves_the_bytes_as_they_are() -> None:
    used = shared_array(1 << 16, "u1", fill=255)
    place = used.ctypes.data
    del used
    again = shared_array(1 << 16, "u1", fill=None)
    assert again.ctypes.data == place
    assert (again == 255).all()


def test_two_arrays_have_nothing_in_common() -> None:
    first, second = shared_array(4), shared_array(4)
    first[:] = 1
    assert not second.any()
    assert not np.shares_memory(first, second)


WRONG: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "objects": (lambda: shared_array(3, object), TypeError, "dtype object holds Python objects, which mean nothing"),
    "objects inside": (lambda: shared_array(3, [("a", "i4"), ("b", "O")]), TypeError, "holds Python objects"),
    "text of any length": (lambda: shared_array(3, np.dtypes.StringDType()), TypeError, "holds Python objects"),
    "no dtype": (lambda: shared_array(3, "numbers"), TypeError, "data type 'numbers' not understood"),
    "negative": (lambda: shared_array(-1), ValueError, "shape must have no negative dimension, as -1 has"),
    "negative inside": (lambda: shared_array((2, -3)), ValueError, r"no negative dimension, as \(2, -3\) has"),
    "no integer": (lambda: shared_array(2.0), TypeError, "shape must be an integer or a sequence of integers, not 2.0"),  # type: ignore[call-overload]
    "no integers": (lambda: shared_array("ab"), TypeError, "a sequence of integers, not 'ab'"),  # type: ignore[arg-type]
    "too many dimensions": (lambda: shared_array((1,) * 65), ValueError, "maximum supported dimension"),
    "fill of another kind": (lambda: shared_array(3, fill="many"), ValueError, "could not convert string to float"),
    "fill of another shape": (lambda: shared_array(3, fill=[1, 2]), ValueError, "could not broadcast"),
    "name": (lambda: shared_array(3, name=5), TypeError, "name must be a str, not int"),  # type: ignore[call-overload]
    "too large": (
        lambda: shared_array(1 << 50, name="big"),
        procession.DomainFull,
        "'big' is larger than the whole domain may be",
    ),
    "larger than any number": (
        lambda: shared_array((1 << 62, 1 << 62)),
        procession.DomainFull,
        "larger than the whole",
    ),
}


@pytest.mark.parametrize(("call", "error", "text"), WRONG.values(), ids=WRONG)
def test_wrong_use(call: Callable[[], Any], error: type[BaseException], text: str) -> None:
    gc.collect()
    before = memory()["payloads"]
    with pytest.raises(error, match=text):
        call()
    gc.collect()  # the traceback's frames
    assert memory()["payloads"] == before


def test_without_numpy_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['numpy'] = None; import procession; procession.shared_array(3)"
    assert "numpy cannot be imported: pip install numpy" in error_of(program)


def test_import_does_not_import_numpy() -> None:
    program = "import sys, procession; q = procession.Queue(); q.put({1}); q.get(); sys.exit('numpy' in sys.modules)"
    assert "1" not in error_of(
        program.replace("sys.exit('numpy' in sys.modules)", "raise SystemError('numpy' in sys.modules)")
    )


def test_memory_comes_back_with_the_last_view() -> None:
    gc.collect()
    before = memory()["payloads"]
    array = shared_array(1 << 20)
    assert memory()["payloads"] == before + (8 << 20)
    view = array[5:10]
    del array
    assert memory()["payloads"] == before + (8 << 20)
    assert view.tolist() == [0.0] * 5
    del view
    assert memory()["payloads"] == before


# ---- found by address ------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda array: array,
    "a slice": lambda array: array[1:3],
    "every second": lambda array: array[::2],
    "backwards": lambda array: array[::-1, ::-1],
    "transposed": lambda array: array.T,
    "one row": lambda array: array[2],
    "one element": lambda array: array[2, 1:2],
    "another shape": lambda array: array.reshape(-1),
    "another dtype": lambda array: array.view("u1"),
    "memoryview": memoryview,
    "array of a memoryview": lambda array: np.asarray(memoryview(array)),
    "frombuffer": lambda array: np.frombuffer(array, "i2"),
    "PickleBuffer": pickle.PickleBuffer,
    "0 dimensions": lambda array: array[1, 1, ...],
    "broadcast": lambda array: np.broadcast_to(array[0], (7, 6)),
    "read-only": lambda array: np.broadcast_to(array, array.shape),
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_view_is_found(make: Callable[[Any], Any]) -> None:
    others = [shared_array(100) for _ in range(5)]
    array: Any = shared_array((5, 6), "i4")
    others += [shared_array(100) for _ in range(5)]
    view = make(array)
    found = _core.find_shared(view)
    assert found is not None
    first = np.asarray(view).ctypes.data
    assert found[0] is array.base
    assert found[1] == first - array.ctypes.data
    assert others


@pytest.mark.parametrize(
    "make", [np.copy, lambda array: array + 1, lambda array: array[[1, 2]], bytes, lambda array: array[:0]]
)
def test_copy_is_not_found(make: Callable[[Any], Any]) -> None:
    array = shared_array((5, 6), "i4")
    assert _core.find_shared(make(array)) is None


def test_what_has_no_bytes_is_not_found() -> None:
    array = shared_array(1)
    assert _core.find_shared(np.array([object()], object)) is None
    with pytest.raises(TypeError, match="bytes-like"):
        _core.find_shared(5)
    assert array is not None


def test_it_is_not_found_after_its_end() -> None:
    array = shared_array(1000)
    kept = shared_array(10)
    memory_of_it: Any = (ctypes.c_char * 8000).from_address(array.ctypes.data)
    stale = np.ndarray(1000, buffer=memory_of_it)
    assert _core.find_shared(stale) is not None
    del array
    assert _core.find_shared(stale) is None
    assert _core.find_shared(kept) is not None


# ---- pickled elsewhere: its content ------------------------------------------------------

COPIERS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda array: pickle.loads(pickle.dumps(array)),
    "pickle 0": lambda array: pickle.loads(pickle.dumps(array, 0)),
    "pickle 5": lambda array: pickle.loads(pickle.dumps(array, 5)),
    "multiprocessing's": lambda array: pickle.loads(ForkingPickler.dumps(array)),
    "multiprocessing's, protocol 0": lambda array: pickle.loads(ForkingPickler.dumps(array, 0)),
    "multiprocessing's, protocol 5": lambda array: pickle.loads(ForkingPickler.dumps(array, 5)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
def test_pickled_elsewhere_it_is_a_copy(copier: Callable[[Any], Any], make: Callable[[Any], Any]) -> None:
    array = shared_array((5, 6), "i4", fill=np.arange(30).reshape(5, 6))
    view = make(array)
    if type(view) is not np.ndarray:
        view = np.asarray(view)
    got = copier(view)
    assert (got.dtype, got.shape, got.tolist()) == (view.dtype, view.shape, view.tolist())
    if view.flags.forc:
        expected = copier(view.copy("K"))
        assert got.flags.f_contiguous == expected.flags.f_contiguous
    assert not np.shares_memory(got, array)


def test_other_arrays_pickle_as_before() -> None:
    kept = shared_array(1)
    for array in (np.arange(5), np.array([1, "a", None], object), np.zeros((0, 3)), np.arange(9).reshape(3, 3)[:, 1]):
        file = io.BytesIO()
        ForkingPickler(file).dump([array, array])
        first, second = pickle.loads(file.getvalue())
        assert first is second
        assert (first.dtype, first.tolist()) == (array.dtype, array.tolist())
    assert kept is not None


def test_receiver_of_a_copy_needs_no_procession() -> None:
    kept = shared_array(3)
    assert b"procession" not in bytes(ForkingPickler.dumps([kept, np.arange(3)]))


def test_buffer_alone_is_refused_elsewhere() -> None:
    buffer = shared_array(100, name="stock").base
    with pytest.raises(procession.NotShared, match="can be sent to another process only as an argument"):
        ForkingPickler.dumps(buffer)
    assert domain().used()["payloads"] > 0
