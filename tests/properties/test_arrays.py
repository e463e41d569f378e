"""Whatever array goes into a queue comes out with the same values; whatever view of a shared one, as the same memory."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import procession
from procession import shared_array

dtypes = (
    arrays.scalar_dtypes() | arrays.array_dtypes(max_size=3) | arrays.nested_dtypes(max_itemsize=64, max_leaves=4)
).filter(lambda dtype: not dtype.hasobject and dtype.itemsize > 0)
shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=40)
wraps = st.sampled_from([lambda item: item, lambda item: ("id", item), lambda item: [item, item]])


def bare(item: Any) -> Any:
    """The array in what the wraps make."""
    while isinstance(item, list | tuple):
        item = item[-1]
    return item


@st.composite
def views(draw: st.DrawFn, array: Any) -> Any:
    """A slice of it, in another order of axes, perhaps on every second element and backwards."""
    index = draw(arrays.basic_indices(array.shape, allow_newaxis=True, allow_ellipsis=False))
    view = array[(*index, ...) if isinstance(index, tuple) else (index, ...)]
    return view.transpose(draw(st.permutations(range(view.ndim))))


def same(one: Any, other: Any) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def native(array: Any) -> Any:
    """In the machine's order of bytes: numpy's older form of pickles brings every array into it."""
    return array.astype(array.dtype.newbyteorder("="))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_copied_arrays_arrive_with_their_values(data: st.DataObject) -> None:
    dtype, shape, wrap = data.draw(dtypes), data.draw(shapes), data.draw(wraps)
    array = np.zeros(shape, dtype)
    array.reshape(-1).view("u1")[:] = np.arange(array.nbytes) if array.size else 0
    view = data.draw(views(array))
    queue = procession.Queue[Any]()
    queue.put(wrap(view))
    expected = pickle.loads(pickle.dumps(view, 5))
    array.reshape(-1).view("u1")[:] = 0
    got = bare(queue.get())
    if view.flags.forc:
        assert same(got, expected)
    else:  # such an array is copied first, and not in all numpy's versions by the same of its functions
        assert same(native(got), native(expected))
    assert got.flags.fnc == expected.flags.fnc or not view.flags.forc
    assert got.flags.writeable


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_views_of_shared_arrays_arrive_as_the_same_memory(data: st.DataObject) -> None:
    dtype, shape, wrap = data.draw(dtypes), data.draw(shapes), data.draw(wraps)
    array = shared_array(shape, dtype)
    view = data.draw(views(array))
    queue = procession.Queue[Any]()
    queue.put(wrap(view))
    got = bare(queue.get())
    array.reshape(-1).view("u1")[:] = np.arange(array.nbytes) if array.size else 0
    assert same(got, view) or view.size == 0
    assert got.shape == view.shape
    assert (
        all(
            one == other for one, other, length in zip(got.strides, view.strides, view.shape, strict=True) if length > 1
        )
        or view.size == 0
    )
    assert got.ctypes.data == view.ctypes.data or view.size == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_shared_array_is_as_numpy_s_own(data: st.DataObject) -> None:
    dtype, shape = data.draw(dtypes), data.draw(shapes)
    made = shared_array(shape, dtype)
    assert same(made, np.zeros(shape, dtype))
    assert made.flags.carray == np.zeros(shape, dtype).flags.carray
