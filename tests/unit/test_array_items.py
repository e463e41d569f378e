"""Arrays in items of a queue: a copy of what was put, except for shared ones, which are the same memory."""

from __future__ import annotations

import array as plain_array
import pickle
import threading
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

import procession
from procession import shared_array
from tests.helpers import in_thread, memory, output_of

LARGE = 10_000  # elements: 80 kB, so it does not stand in the ring itself

WRAPS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "alone": (lambda item: item, lambda got: got),
    "in a tuple": (lambda item: ("id", item), lambda got: got[1]),
    "in a dict": (lambda item: {"it": [item, 1]}, lambda got: got["it"][0]),
}
each_wrap = pytest.mark.parametrize(("wrap", "unwrap"), WRAPS.values(), ids=WRAPS)


@pytest.fixture
def queue() -> procession.Queue[Any]:
    return procession.Queue()


def there_and_back(queue: procession.Queue[Any], item: Any) -> Any:
    queue.put(item)
    return queue.get()


def ramp(dtype: Any, size: int = LARGE) -> Any:
    return np.arange(size * np.dtype(dtype).itemsize, dtype="u1").view(dtype)


ARRAYS: dict[str, Callable[[], Any]] = {
    **{f"dtype {code}": lambda code=code: ramp(code) for code in "?bBhHiIlLqQefdgFDG"},  # type: ignore[misc]
    "big-endian": lambda: ramp(">f8"),
    "text": lambda: np.array(["a", "bcd"] * LARGE),
    "bytes": lambda: np.array([b"a", b"bcd"] * LARGE * 4),
    "dates": lambda: np.arange(LARGE).astype("M8[s]"),
    "structure": lambda: np.ones(LARGE, [("x", "f8"), ("y", "i2")]),
    "aligned structure": lambda: np.ones(LARGE, np.dtype([("x", "u1"), ("y", "f8")], align=True)),
    "objects": lambda: np.array([1, "a", None, (2,)] * 100, object),
    "unpickled dtype": lambda: pickle.loads(pickle.dumps(ramp("f8"))),
    "dtype with metadata": lambda: ramp(np.dtype("f8", metadata={"unit": "m"})),
    "0 dimensions": lambda: np.array(2.5),
    "empty": lambda: np.zeros((0, 3)),
    "small": lambda: np.arange(5.0),
    "2 dimensions": lambda: ramp("f4").reshape(100, 100),
    "5 dimensions": lambda: ramp("f8").reshape(10, 10, 1, 10, 10),
    "Fortran": lambda: np.asfortranarray(ramp("f8").reshape(100, 100)),
    "transposed": lambda: ramp("f8").reshape(100, 10, 10).T,
    "axes mixed": lambda: ramp("f8").reshape(100, 10, 10).transpose(1, 0, 2),
    "every second": lambda: ramp("f8", 2 * LARGE)[::2],
    "backwards": lambda: ramp("f8")[::-1],
    "a column": lambda: ramp("f8", 3 * LARGE).reshape(LARGE, 3)[:, 1],
    "broadcast": lambda: np.broadcast_to(ramp("f8", 100), (200, 100)),
    "not aligned": lambda: np.zeros(8 * LARGE + 1, "u1")[1:].view("f8"),
    "a field": lambda: np.ones(LARGE, [("x", "f8"), ("y", "i2")])["y"],
    "subclass": lambda: np.ones((100, 100)).view(np.recarray),
    "masked": lambda: np.ma.masked_greater(ramp("i8", LARGE), 77),
    "at the limit": lambda: np.zeros(32 * 1024, "u1"),
    "below the limit": lambda: np.zeros(32 * 1024 - 1, "u1"),
    "NaN and signed zero": lambda: np.array([np.nan, -0.0] * LARGE),
}


@each_wrap
@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_it_arrives_as_pickle_has_it(
    queue: procession.Queue[Any], make: Callable[[], Any], wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    array = make()
    got, expected = unwrap(there_and_back(queue, wrap(array))), pickle.loads(pickle.dumps(array, 5))
    assert type(got) is type(expected)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert got.dtype.metadata == expected.dtype.metadata
    assert got.tobytes() == expected.tobytes() if not array.dtype.hasobject else got.tolist() == expected.tolist()
    if (
        type(array) is np.ndarray and array.flags.forc
    ):  # other strides are not kept, and numpy's versions differ in that
        assert (got.flags.c_contiguous, got.flags.f_contiguous) == (array.flags.c_contiguous, array.flags.f_contiguous)


@each_wrap
@pytest.mark.parametrize("size", [5, LARGE])
def test_what_is_put_is_a_snapshot(
    queue: procession.Queue[Any], size: int, wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    array = np.ones(size)
    queue.put(wrap(array))
    array[:] = 2
    got = unwrap(queue.get())
    assert (got == 1).all()
    got[:] = 3  # and it is the receiver's own
    assert (array == 2).all()


@each_wrap
@pytest.mark.parametrize("size", [5, LARGE])
def test_who_may_write_may_write(
    queue: procession.Queue[Any], size: int, wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    array = np.ones(size)
    assert unwrap(there_and_back(queue, wrap(array))).flags.writeable
    array.flags.writeable = False
    if size == LARGE:  # in a small pickle numpy forgets it
        got = unwrap(there_and_back(queue, wrap(array)))
        assert not got.flags.writeable


@each_wrap
def test_received_array_that_is_put_again_is_a_copy(
    queue: procession.Queue[Any], wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    first = unwrap(there_and_back(queue, wrap(np.ones(LARGE))))
    second = unwrap(there_and_back(queue, wrap(first)))
    assert not np.shares_memory(first, second)
    second[:] = 5
    assert (first == 1).all()


def test_large_arrays_are_received_without_a_copy(queue: procession.Queue[Any]) -> None:
    used = memory()["payloads"]
    got = there_and_back(queue, np.ones(1 << 20))
    assert memory()["payloads"] >= used + (8 << 20)
    del got
    assert memory()["payloads"] == used


def test_same_array_twice_is_the_same_twice(queue: procession.Queue[Any]) -> None:
    array = np.ones(LARGE)
    first, second = there_and_back(queue, (array, array))
    assert first is second


def test_several_arrays_in_one_item(queue: procession.Queue[Any]) -> None:
    arrays = [np.full(LARGE + n, n, "i4") for n in range(20)]
    got = there_and_back(queue, {"all": arrays})["all"]
    assert all((one == other).all() and one.shape == other.shape for one, other in zip(got, arrays, strict=True))
    assert all(one.ctypes.data % 64 == 0 for one in got)
    assert not any(np.shares_memory(one, other) for one in got for other in got if one is not other)


def test_one_view_keeps_the_item_s_memory(queue: procession.Queue[Any]) -> None:
    used = memory()["payloads"]
    first, _ = there_and_back(queue, (np.ones(LARGE), np.ones(LARGE)))
    view = first[5:6]
    del first
    assert memory()["payloads"] > used
    assert view[0] == 1
    del view, _
    assert memory()["payloads"] == used


def test_view_outlives_the_queue() -> None:
    queue = procession.Queue[Any]()
    queue.put(np.ones(LARGE))
    got = queue.get()
    queue.close()
    del queue
    kept = [procession.Queue[Any]() for _ in range(3)]
    for other in kept:
        other.put(np.zeros(LARGE))
    assert (got == 1).all()


# ---- shared ----------------------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda array: array,
    "a slice": lambda array: array[1:3],
    "every second": lambda array: array[::2],
    "backwards": lambda array: array[::-1, ::-1],
    "transposed": lambda array: array.T,
    "one row": lambda array: array[2],
    "another shape": lambda array: array.reshape(-1),
    "another dtype": lambda array: array.view("u1"),
    "big-endian": lambda array: array.view(">i4"),
    "a structure": lambda array: array.view([("x", "i2"), ("y", "u2")]),
    "a field": lambda array: array.view([("x", "i2"), ("y", "u2")])["y"],
    "array of a memoryview": lambda array: np.asarray(memoryview(array)),
    "0 dimensions": lambda array: array[1, 1, ...],
    "Fortran": lambda array: array.reshape(-1).reshape(array.shape[::-1], order="F"),
}
SIZES = {"small": (5, 6), "large": (500, 60)}


@each_wrap
@pytest.mark.parametrize("shape", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_shared_array_is_the_same_memory(
    queue: procession.Queue[Any],
    make: Callable[[Any], Any],
    shape: tuple[int, int],
    wrap: Callable[[Any], Any],
    unwrap: Callable[[Any], Any],
) -> None:
    size = shape[0] * shape[1]
    array = shared_array(shape, "i4", fill=np.arange(size).reshape(shape))
    view = make(array)
    got = unwrap(there_and_back(queue, wrap(view)))
    assert type(got) is np.ndarray
    assert (got.dtype, got.shape, got.strides) == (view.dtype, view.shape, view.strides)
    assert got.ctypes.data == view.ctypes.data
    array.reshape(-1).view("u1")[:] = 7
    assert got.tobytes() == view.tobytes() == b"\7" * view.nbytes


@each_wrap
def test_read_only_view_stays_read_only(
    queue: procession.Queue[Any], wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    array = shared_array(5)
    view = array[:]
    view.flags.writeable = False
    assert not unwrap(there_and_back(queue, wrap(view))).flags.writeable
    assert unwrap(there_and_back(queue, wrap(array))).flags.writeable


def test_shared_and_copied_in_one_item(queue: procession.Queue[Any]) -> None:
    shared, other = shared_array(LARGE), np.zeros(LARGE)
    got_shared, got_other = there_and_back(queue, [shared, other])
    shared[0] = other[0] = 1
    assert (got_shared[0], got_other[0]) == (1, 0)


def test_two_views_of_one_array_stay_over_each_other(queue: procession.Queue[Any]) -> None:
    array = shared_array(10, "i4", fill=range(10))
    low, high = there_and_back(queue, (array[:6], array[4:]))
    low[5] = 77
    assert high[1] == array[5] == 77


def test_waiting_item_keeps_a_shared_array(queue: procession.Queue[Any]) -> None:
    used = memory()["payloads"]
    queue.put(shared_array(LARGE, fill=3))
    kept = shared_array(LARGE, fill=4)
    assert memory()["payloads"] > used
    got = queue.get()
    assert (got == 3).all()
    del got, kept
    assert memory()["payloads"] == used


def test_empty_view_of_a_shared_array(queue: procession.Queue[Any]) -> None:
    got = there_and_back(queue, shared_array((3, 4))[1:1])
    assert (got.shape, got.dtype) == ((0, 4), np.dtype(float))


def test_many_shared_arrays_in_one_item(queue: procession.Queue[Any]) -> None:
    arrays = [shared_array(3, fill=n) for n in range(200)]
    got = there_and_back(queue, arrays)
    for array in arrays:
        array[1] = -1
    assert [one.tolist() for one in got] == [[n, -1, n] for n in range(200)]


def test_memory_in_use_of_a_shared_item_is_its_record(queue: procession.Queue[Any]) -> None:
    queue.put(shared_array(1 << 20))
    assert queue.statistics().bytes < 1000
    queue.put(np.zeros(1 << 20))
    assert queue.statistics().bytes > 8 << 20


def test_max_bytes_counts_copied_arrays() -> None:
    queue = procession.Queue[Any](max_bytes=1 << 20)
    queue.put(np.zeros(1 << 16))
    with pytest.raises(Exception, match="had no room"):
        queue.put(np.zeros(1 << 17), timeout=0)
    queue.put(shared_array(1 << 17))


def test_put_many_and_get_many(queue: procession.Queue[Any]) -> None:
    shared = shared_array(LARGE)
    items = [np.full(LARGE, 1.0), shared, ("x", np.full(LARGE, 2.0)), 5, np.arange(3)]
    queue.put_many(items)
    one, two, (_, three), five, small = queue.get_many(10)
    shared[0] = 9
    assert (one[0], two[0], three[0], five, small.tolist()) == (1, 9, 2, 5, [0, 1, 2])


@pytest.mark.parametrize("make", [lambda: np.zeros(LARGE), lambda: shared_array(LARGE), lambda: [np.zeros(LARGE)]])
def test_put_that_fails_leaves_nothing(make: Callable[[], Any]) -> None:
    queue = procession.Queue[Any](maxsize=1)
    queue.put(1)
    item = make()
    used = memory()
    for _ in range(3):
        with pytest.raises(Exception, match="had no room"):
            queue.put(item, timeout=0)
    assert memory() == used


def test_too_large_for_the_domain_is_refused(queue: procession.Queue[Any]) -> None:
    huge = np.broadcast_to(np.zeros(1), (1 << 45,))
    used = memory()
    with pytest.raises(MemoryError):
        queue.put(huge)
    assert memory() == used
    assert queue.qsize() == 0


def test_threads_put_and_get_arrays(queue: procession.Queue[Any]) -> None:
    used = memory()["payloads"]

    def produce(number: int) -> None:
        for n in range(50):
            queue.put(np.full(LARGE, number * 1000 + n))

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    seen = []
    for _ in range(200):
        got = queue.get()
        assert (got == got[0]).all()
        seen.append(int(got[0]))
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(number * 1000 + n for number in range(4) for n in range(50))
    del got
    assert memory()["payloads"] == used


def test_array_received_in_one_thread_dies_in_another(queue: procession.Queue[Any]) -> None:
    used = memory()["payloads"]
    queue.put(np.ones(LARGE))
    box = [queue.get()]
    in_thread(box.clear)
    assert memory()["payloads"] == used


# ---- what a program does by itself ---------------------------------------------------------------


@pytest.fixture
def own_reducer() -> Iterator[None]:
    known = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    former = known.get(np.ndarray)
    ForkingPickler.register(np.ndarray, lambda array: (len, (array.tolist(),)))
    yield
    del known[np.ndarray]
    if former:
        known[np.ndarray] = former


@each_wrap
@pytest.mark.parametrize("size", [5, LARGE])
@pytest.mark.usefixtures("own_reducer")
def test_own_reducer_for_arrays_counts(
    queue: procession.Queue[Any], size: int, wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    assert unwrap(there_and_back(queue, wrap(np.zeros(size)))) == size


OWN_BEFORE = """
import copyreg, numpy, procession
from multiprocessing.reduction import ForkingPickler
{register}(numpy.ndarray, lambda array: (len, (array.tolist(),)))
queue = procession.Queue()
shared = procession.shared_array(5)
for item in (numpy.zeros(9), numpy.zeros(9999), (numpy.zeros(9999),)):
    queue.put(item)
    print(queue.get(), end=" ")
queue.put(shared)
queue.get()[0] = 3
print(shared[0])
"""


@pytest.mark.parametrize("register", ["copyreg.pickle", "ForkingPickler.register"])
def test_own_reducer_from_before_counts_for_what_is_not_shared(register: str) -> None:
    assert output_of(OWN_BEFORE.format(register=register)) == "9 9999 (9999,) 3.0"


class Stack:
    """An object that pickles its arrays itself."""

    def __init__(self, top: Any) -> None:
        self.top = top

    def __reduce__(self) -> Any:
        return pickle.loads, (bytes(ForkingPickler.dumps(self.top)),)


@pytest.mark.parametrize("size", [5, LARGE])
def test_pickle_inside_of_a_pickle(queue: procession.Queue[Any], size: int) -> None:
    kept = shared_array(1)  # from now on the reducer is there
    assert there_and_back(queue, Stack(np.arange(size))).tolist() == [*range(size)]
    there_and_back(queue, Stack(kept))[0] = 5
    assert kept[0] == 5


# ---- other things with bytes in them ------------------------------------------------------------

BYTES = bytes(range(256)) * 1000


@each_wrap
@pytest.mark.parametrize("make", [bytes, bytearray], ids=["bytes", "bytearray"])
def test_bytes_arrive_as_such(
    queue: procession.Queue[Any], make: Callable[[Any], Any], wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    got = unwrap(there_and_back(queue, wrap(make(BYTES))))
    assert type(got) is make
    assert got == BYTES


def test_array_of_the_standard_library(queue: procession.Queue[Any]) -> None:
    numbers = plain_array.array("d", [1.5] * LARGE)
    assert there_and_back(queue, numbers) == numbers


@each_wrap
@pytest.mark.parametrize("make", [bytes, bytearray], ids=["read-only", "writable"])
def test_pickle_buffer_arrives_as_a_memoryview(
    queue: procession.Queue[Any], make: Callable[[Any], Any], wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]
) -> None:
    got = unwrap(there_and_back(queue, wrap(pickle.PickleBuffer(make(BYTES)))))
    assert type(got) is memoryview
    assert got == BYTES
    assert got.readonly == (make is bytes)


def test_memoryview_does_not_pickle(queue: procession.Queue[Any]) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        queue.put(memoryview(BYTES))


def test_pickle_buffer_of_a_shared_array_is_the_same_memory(queue: procession.Queue[Any]) -> None:
    array: Any = shared_array(10, "u1")
    got = there_and_back(queue, pickle.PickleBuffer(array[2:5]))
    array[2] = 7
    assert got.tolist() == [7, 0, 0]


def test_arrow_table(queue: procession.Queue[Any]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    used = memory()["payloads"]
    table = pyarrow.table({"number": np.arange(LARGE), "text": ["a", None] * (LARGE // 2)})
    got = there_and_back(queue, {"it": table})["it"]
    assert got.equals(table)
    assert memory()["payloads"] >= used + 8 * LARGE
    del got
    assert memory()["payloads"] == used


def test_arrow_array_over_a_shared_array_is_the_same_memory(queue: procession.Queue[Any]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    array = shared_array(LARGE, "i8", fill=1)
    got = there_and_back(queue, pyarrow.array(array))
    array[5] = 77
    assert got[5].as_py() == 77
