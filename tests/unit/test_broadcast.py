"""broadcast(): one read-only copy for all processes, unpickled once in each, freed with the last of them."""

from __future__ import annotations

import copyreg
import gc
import os
import pickle
import signal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import procession
from procession import Broadcast, _core, broadcast
from tests.helpers import METHODS, child, domain, error_of, kill, memory, output_of, thread, until


def left() -> tuple[int, int]:
    gc.collect()
    used = memory()
    return domain().objects(), used["payloads"]


def is_shared(array: Any) -> bool:
    return _core.find_shared(array) is not None


VALUES: list[Any] = [None, 7, "text" * 1000, [1, {"a": (2, 3)}], {1, 2}, 1 << 100, [], range(5)]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_any_object(value: Any) -> None:
    assert broadcast(value).value == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(100_000),
        np.arange(12).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(100)[::3],
        np.arange(12).reshape(3, 4).T[1:, ::2],
        np.zeros(0),
        np.array(3.5),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array(["2026-11-27"], "M8[D]"),
        np.array([("2026-11-27", 1)], [("day", "M8[D]"), ("n", "i4")]),
        np.array("2026-11-27", "M8[D]"),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_arrays_are_read_only_views_of_shared_memory(array: Any) -> None:
    for value in (broadcast(array).value, broadcast(["in a list", array]).value[1]):
        assert value.dtype == array.dtype
        np.testing.assert_array_equal(value, array)
        assert not value.flags.writeable
        assert is_shared(value) or not value.size
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            value.flags.writeable = True


def test_arrays_of_objects_are_pickled() -> None:
    assert broadcast(np.array([[1], None], dtype=object)).value.tolist() == [[1], None]


def test_a_reducer_of_the_program_counts() -> None:
    class Mine(np.ndarray[Any, Any]):
        pass

    def reduce(array: Any) -> Any:
        return str, ("reduced",)

    copyreg.pickle(Mine, reduce)
    try:
        assert broadcast(np.arange(10).view(Mine)).value == "reduced"
    finally:
        del copyreg.dispatch_table[Mine]


@pytest.mark.parametrize(
    "given", [b"abc" * 1000, bytearray(b"abc"), memoryview(bytes(range(6))).cast("B", (2, 3)), b""]
)
def test_bytes_arrive_as_a_read_only_memoryview(given: Any) -> None:
    value: Any = broadcast(given).value
    assert type(value) is memoryview
    assert value.readonly
    assert bytes(value) == bytes(given)


def test_memoryview_that_is_not_contiguous_is_refused() -> None:
    with pytest.raises(BufferError, match="contiguous"):
        broadcast(memoryview(b"abcdef")[::2])


def test_arrow_stands_in_shared_memory() -> None:
    table = pa.table({"n": range(10_000), "s": [str(i) for i in range(10_000)]})
    value = broadcast(table).value
    assert value == table
    assert is_shared(np.frombuffer(value["n"].chunk(0).buffers()[1], "u1"))
    assert not value["n"].chunk(0).buffers()[1].is_mutable


def test_it_is_what_the_object_was() -> None:
    array = np.zeros(10)
    handle = broadcast({"array": array})
    array[0] = 1
    assert handle.value["array"][0] == 0


def test_it_is_unpickled_once() -> None:
    handle = broadcast([1, 2])
    assert handle.value is handle.value
    jobs: procession.Queue[Any] = procession.Queue()
    jobs.put_many([handle, ("again", handle)])
    assert jobs.get() is handle
    assert jobs.get()[1].value is handle.value


def test_threads_get_the_same_object() -> None:
    handle = broadcast(list(range(10_000)))
    with thread(lambda: handle.value) as one, thread(lambda: handle.value) as two:
        assert one.result() is two.result() is handle.value


def test_memory_goes_with_the_last_part_of_it() -> None:
    before = left()
    handle: Any = broadcast([np.arange(100_000), "rest"])
    part = handle.value[0][5:7]
    del handle
    assert left()[1] > before[1]
    assert part.tolist() == [5, 6]
    del part
    assert left() == before


def test_what_does_not_pickle_raises_and_leaves_nothing() -> None:
    before = left()
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"lambda|local"):
        broadcast([np.arange(1000), lambda: 1])
    with pytest.raises(procession.NotShared):
        broadcast([procession.Lock()])
    assert left() == before


class Moody:
    """Unpickles only if the environment says so."""

    def __reduce__(self) -> Any:
        return mood, ()


def mood() -> str:
    return os.environ["MOOD"]


def test_what_does_not_unpickle_raises_at_each_use(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = broadcast(Moody())
    for _ in range(2):
        with pytest.raises(KeyError, match="MOOD"):
            handle.value  # noqa: B018
    monkeypatch.setenv("MOOD", "good")
    assert handle.value == "good"  # type: ignore[comparison-overlap]


def test_name_size_and_repr() -> None:
    handle = broadcast(bytes(1000), name="weights")
    assert repr(handle) == "<Broadcast 'weights' 1088 bytes>"
    assert (handle.name, handle.nbytes) == ("weights", 1088)
    assert broadcast(1).name.startswith("broadcast-")
    with pytest.raises(TypeError, match=r"made by broadcast\(obj\)"):
        Broadcast()


def test_too_large_is_named() -> None:
    line = error_of(
        "import procession\nprocession.broadcast(bytes(1 << 26), name='w')", PROCESSION_MAX_BYTES="33554432"
    )
    assert line.startswith("DomainFull: an object for broadcast 'w' is larger than")


def test_pickled_for_nobody_it_is_refused() -> None:
    with pytest.raises(procession.NotShared):
        pickle.dumps(broadcast(1))


def test_no_numpy_is_imported_for_it() -> None:
    program = "import sys, procession; print(procession.broadcast([1]).value, 'numpy' in sys.modules)"
    assert output_of(program) == "[1] False"


# ---- other processes ------------------------------------------------------------------------------


def tell(handle: Any, answers: Any) -> None:
    array = handle.value["weights"]
    answers.put((array.sum(), array.flags.writeable, is_shared(array), handle.value is handle.value))


@pytest.mark.parametrize("method", METHODS)
def test_children_see_the_same_memory(method: str) -> None:
    answers: procession.Queue[Any] = procession.Queue()
    handle = broadcast({"weights": np.arange(100_000), "name": "first"})
    with child(tell, handle, answers, method=method), child(tell, handle, answers, method=method):
        pass
    assert [answers.get(), answers.get()] == [(4999950000, False, True, True)] * 2


def use(jobs: Any, answers: Any) -> None:
    handle = jobs.get()
    answers.put(int(handle.value[-1]))
    if handle.name == "long":
        while True:
            signal.pause()


def test_in_items_and_the_sender_lets_go() -> None:
    before = left()
    jobs, answers = procession.Queue[Any](), procession.Queue[int]()
    with child(use, jobs, answers):
        jobs.put(broadcast(np.arange(100_000)))
        assert answers.get() == 99_999
    del jobs, answers
    assert left() == before


def test_a_killed_receiver_leaves_nothing() -> None:
    before = left()
    jobs, answers = procession.Queue[Any](), procession.Queue[int]()
    with child(use, jobs, answers) as process:
        jobs.put(broadcast(np.arange(100_000), name="long"))
        assert answers.get() == 99_999
        assert left()[1] > before[1]
        kill(process)
    del jobs, answers
    until(lambda: left() == before)
