"""Value, Array, RawValue, RawArray: ctypes objects in shared memory, and what their lock guards."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import multiprocessing.sharedctypes
import pickle
import subprocess
import sys
import threading
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

import procession
from procession import Array, RawArray, RawValue, Value, _core, sharedctypes
from tests.helpers import child, domain, error_of, held_elsewhere, memory, output_of


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


class Named(Point):
    _fields_ = [("name", ctypes.c_char * 8)]


class Either(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("letters", ctypes.c_char * 4)]


EXAMPLES = {
    "c": b"x",
    "u": "ä",
    "b": -100,
    "B": 200,
    "h": -30_000,
    "H": 60_000,
    "i": -(2**31),
    "I": 2**32 - 1,
    "l": -(2**63),
    "L": 2**64 - 1,
    "q": 2**40,
    "Q": 2**63,
    "f": 0.5,
    "d": 0.1,
}


# ---- making --------------------------------------------------------------------------------


def test_letters_are_those_of_multiprocessing() -> None:
    assert sharedctypes.typecode_to_type == multiprocessing.sharedctypes.typecode_to_type  # type: ignore[attr-defined]


@pytest.mark.parametrize(("code", "value"), EXAMPLES.items(), ids=list(EXAMPLES))
def test_value_of_each_letter(code: str, value: object) -> None:
    shared = Value(code, value)
    assert shared.value == value
    assert type(shared) is sharedctypes.Synchronized
    assert type(shared.get_obj()) is sharedctypes.typecode_to_type[code]


@pytest.mark.parametrize(("code", "value"), EXAMPLES.items(), ids=list(EXAMPLES))
def test_array_of_each_letter(code: str, value: object) -> None:
    assert list(Array(code, [value, value])) == [value, value]


def test_without_arguments_it_is_zero() -> None:
    assert Value("d").value == 0.0
    assert RawValue(Point).y == 0.0


def test_array_of_a_size_is_zero_whatever_the_memory_held() -> None:
    for length in (5, 24, 25, 3000):  # inside a cell, and in pages
        for _ in range(3):
            array = Array("q", length)
            assert list(array) == [0] * length
            array[:] = range(length)
            del array


def test_array_of_a_sequence() -> None:
    assert RawArray("i", (3, 4))[:] == [3, 4]
    assert list(Array("h", range(3))) == [0, 1, 2]
    assert [point.x for point in RawArray(Point, [(1, 2.0), (3, 4.0)])] == [1, 3]


def test_size_may_be_an_integer_of_any_type() -> None:
    assert len(RawArray("i", np.int8(3))) == 3  # type: ignore[arg-type]


def test_empty_array() -> None:
    assert list(Array("d", 0)) == []
    assert list(Array("d", [])) == []


@pytest.mark.parametrize("make", [RawValue, Value])
def test_unknown_letter(make: Any) -> None:
    with pytest.raises(TypeError, match="must be a ctypes type or one of c u b B h H i I l L q Q f d, not 'z'"):
        make("z")
    with pytest.raises(TypeError, match="not <class 'int'>"):
        make(int)


def test_wrong_size() -> None:
    with pytest.raises(ValueError, match="0 or more, not -1"):
        Array("i", -1)
    with pytest.raises(TypeError, match="an integer or a sequence, not float"):
        Array("i", 1.5)  # type: ignore[arg-type]


def test_wrong_value_is_refused_and_leaves_nothing() -> None:
    gc.collect()
    before = domain().objects()
    with pytest.raises(TypeError):
        Value("i", "seven")
    gc.collect()
    assert domain().objects() == before


def test_too_large_is_an_error_that_names_it() -> None:
    line = error_of("import procession\nprocession.Array('d', 1 << 24, name='field')", PROCESSION_MAX_BYTES="33554432")
    assert line.startswith("DomainFull: an object for Array 'field' is larger than the whole domain may be")


def test_programs_of_values_import_no_numpy() -> None:
    program = """if 1:
        import sys, procession
        value, array, jobs = procession.Value("i", 1), procession.Array("d", 3), procession.Queue()
        jobs.put((value, array))
        jobs.get()
        print("numpy" in sys.modules)
    """
    assert output_of(program) == "False"


def test_import_alone_imports_no_ctypes() -> None:
    assert output_of("import sys, procession; print('ctypes' in sys.modules)") == "False"


# ---- where it stands -------------------------------------------------------------------------


def test_small_values_share_pages() -> None:
    values = [RawValue("q", i) for i in range(100)]
    assert memory()["payloads"] == 0
    assert [value.value for value in values] == list(range(100))
    assert len({ctypes.addressof(value) for value in values}) == 100
    assert all(ctypes.addressof(value) % 64 == 0 for value in values)


@pytest.mark.parametrize("nbytes", [1, 191, 192, 193, 4096, 4097])
def test_every_byte_is_its_own(nbytes: int) -> None:
    arrays = [RawArray("B", nbytes) for _ in range(3)]
    for number, array in enumerate(arrays):
        array[:] = bytes([number + 1]) * nbytes
    assert [set(array) for array in arrays] == [{1}, {2}, {3}]


def test_it_goes_with_its_last_reference() -> None:
    gc.collect()
    before = domain().objects(), memory()["payloads"]
    value, array = Value("i", 1), Array("d", 1000)
    inner = array.get_obj()
    del value, array
    gc.collect()
    assert domain().objects() == before[0] + 1
    assert memory()["payloads"] > before[1]
    del inner
    gc.collect()
    assert (domain().objects(), memory()["payloads"]) == before


def test_bytes_live_as_long_as_a_view_of_them() -> None:
    array = RawArray("i", [1, 2, 3])
    view = memoryview(array).cast("B").cast("i")
    del array
    gc.collect()
    RawArray("i", 3)[:] = [7, 8, 9]
    assert view.tolist() == [1, 2, 3]


# ---- the lock ----------------------------------------------------------------------------------


def test_default_lock_is_an_rlock_of_ours_with_its_name() -> None:
    value = Value("i", name="stock")
    assert type(value.get_lock()) is procession.RLock
    assert value.get_lock().name == "stock"


@pytest.mark.parametrize("make", [procession.Lock, procession.Mutex, procession.RLock, threading.Lock])
def test_any_lock_will_do(make: Any) -> None:
    lock = make()
    value = Value("i", 5, lock=lock)
    value.value += 1
    assert value.get_lock() is lock
    with value:
        assert lock.acquire(False) is isinstance(lock, procession.RLock)
    assert value.get_obj().value == 6


def test_lock_none_is_the_default() -> None:
    assert type(Value("i", 5, lock=None).get_lock()) is procession.RLock


def test_without_lock_it_is_the_bare_object() -> None:
    assert type(Value("i", 5, lock=False)) is ctypes.c_int
    assert not hasattr(Array("i", 5, lock=False), "get_lock")


def test_a_lock_that_is_none_is_refused_before_anything_is_made() -> None:
    before = domain().objects()
    with pytest.raises(AttributeError, match="'no lock' has not"):
        Value("i", 5, lock="no lock")  # type: ignore[call-overload]
    with pytest.raises(AttributeError):
        Array("i", 5, lock=3)  # type: ignore[arg-type]
    assert domain().objects() == before


class Counting:
    """A lock that notes what is asked of it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def acquire(self) -> bool:
        self.seen.append("acquire")
        return True

    def release(self) -> None:
        self.seen.append("release")


def test_each_access_is_under_the_lock() -> None:
    lock = Counting()
    value, point = Value("i", 1, lock=lock), Value(Point, 1, 2.0, lock=lock)
    array, text = Array("i", 3, lock=lock), Array("c", 8, lock=lock)
    for access in (
        lambda: value.value,
        lambda: setattr(value, "value", 2),
        lambda: point.x,
        lambda: setattr(point, "y", 0.5),
        lambda: array[1],
        lambda: array[0:2],
        lambda: array.__setitem__(0, 7),
        lambda: text.value,
        lambda: text.raw,
        lambda: setattr(text, "value", b"abc"),
    ):
        lock.seen.clear()
        access()
        assert lock.seen == ["acquire", "release"]


def test_lock_is_given_back_after_an_error() -> None:
    lock = Counting()
    value, array = Value("i", 1, lock=lock), Array("i", 3, lock=lock)
    for access in (
        lambda: setattr(value, "value", "x"),
        lambda: array[3],
        lambda: array.__setitem__(3, 1),
        lambda: delattr(value, "value"),
    ):
        lock.seen.clear()
        with pytest.raises((TypeError, IndexError)):
            access()
        assert lock.seen == ["acquire", "release"]


def test_error_of_the_lock_itself_is_raised() -> None:
    class Broken(Counting):
        def acquire(self) -> bool:
            raise OSError("no lock today")

    with pytest.raises(OSError, match="today"):
        Value("i", 1, lock=Broken()).value  # noqa: B018


def test_subclass_of_rlock_with_its_own_acquire_is_asked() -> None:
    class Noting(procession.RLock):
        taken = 0

        def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
            self.taken += 1
            return super().acquire(block, timeout)

    lock = Noting()
    value = Value("i", 1, lock=lock)
    assert value.value == lock.taken == 1


def test_it_waits_for_a_holder_and_takes_from_a_dead_one() -> None:
    value = Value("i", 1)
    with held_elsewhere(value.get_lock()):
        assert not value.acquire(timeout=0.01)
    assert value.value == 1


def test_with_gives_what_acquire_gives() -> None:
    value = Value("i", 1)
    with value as taken, value.get_lock():
        assert taken is True
        assert value.get_lock().statistics().depth == 2


def test_a_base_that_was_not_made_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"__init__\(\) was not called"):
        sharedctypes.Synchronized.__new__(sharedctypes.Synchronized).value  # noqa: B018


def test_attribute_of_another_class_is_refused() -> None:
    with pytest.raises(TypeError, match="an attribute of Guarded, not of int"):
        _core.GuardedAttribute("real").__get__(1, int)


# ---- structures, text, copies ----------------------------------------------------------------------


def test_fields_of_a_structure_its_base_and_a_union() -> None:
    named = Value(Named, 1, 2.0, b"one")
    assert (named.x, named.y, named.name) == (1, 2.0, b"one")
    either = Value(Either, 65)
    assert either.letters == b"A"
    assert type(named).__name__ == "SynchronizedNamed"
    assert type(Value(Named)) is type(named)


def test_text() -> None:
    text = Array("c", 8)
    text.value = b"hello"
    assert (text.value, text.raw, text[1:3], len(text)) == (b"hello", b"hello\0\0\0", b"el", 8)
    with pytest.raises(ValueError, match="too long"):
        text.value = b"hello, world"


def test_copy_is_in_shared_memory_and_its_own() -> None:
    point = Point(1, 2.0)
    twin = sharedctypes.copy(point)
    point.x = 5
    assert (twin.x, twin.y) == (1, 2.0)
    assert _core.find_shared(twin) is not None
    assert list(sharedctypes.copy(RawArray("i", [1, 2]))) == [1, 2]
    with pytest.raises(TypeError):
        sharedctypes.copy(1)


def test_synchronized_takes_any_ctypes_object_once() -> None:
    value = sharedctypes.synchronized(RawValue("i", 3))
    assert value.value == 3
    with pytest.raises(AssertionError, match="synchronized already"):
        sharedctypes.synchronized(value)
    with pytest.raises(TypeError, match="takes a ctypes number, array, structure or union, not int"):
        sharedctypes.synchronized(1)


def test_lock_of_a_context() -> None:
    value = sharedctypes.Value("i", 1, ctx=multiprocessing.get_context("fork"))
    assert type(value.get_lock()) is type(multiprocessing.RLock())
    assert value.value == 1


def test_repr_tells_what_is_in_it() -> None:
    assert repr(Value("i", 5)) == "<Synchronized wrapper for c_int(5)>"


# ---- how it travels ------------------------------------------------------------------------------


def there_and_back(*items: Any) -> Any:
    jobs: procession.Queue[Any] = procession.Queue()
    jobs.put(items)
    return jobs.get()


def test_what_arrives_is_the_same_memory_and_lock() -> None:
    value, array, raw = Value("i", 1), Array("d", [1, 2]), RawValue(Point, 1, 2.0)
    value2, array2, raw2 = there_and_back(value, array, raw)
    value2.value, array2[1], raw2.x = 7, 0.5, 9
    assert (value.value, array[:], raw.x) == (7, [1.0, 0.5], 9)
    with value:
        assert value2.get_lock().statistics().depth == 1


def test_nested_arrays_and_parts_of_an_array_arrive_in_their_place() -> None:
    grid = RawArray(ctypes.c_int * 3, 2)
    points = RawArray(Point, [(1, 1.0), (2, 2.0)])
    grid2, row, point = there_and_back(grid, grid[1], points[1])
    grid2[1][2], row[0], point.x = 5, 4, 3
    assert list(grid[1]) == [4, 0, 5]
    assert points[1].x == 3


def test_empty_array_arrives() -> None:
    (array,) = there_and_back(RawArray("i", 0))
    assert len(array) == 0


def test_numpy_over_an_array_arrives_as_the_same_memory() -> None:
    array = Array("d", 4)
    (view,) = there_and_back(np.frombuffer(array.get_obj()))
    view[2] = 1.5
    assert array[2] == 1.5


def test_numpy_that_was_imported_later_is_noticed() -> None:
    program = """if 1:
        import procession
        array, jobs = procession.RawArray("d", 4), procession.Queue()
        import numpy as np
        view = np.frombuffer(array)
        jobs.put((view[1:3], "and more"))
        jobs.get()[0][0] = 2.5
        print(array[1])
    """
    assert output_of(program) == "2.5"


@pytest.mark.parametrize("make", [lambda: Value("i", 1), lambda: Array("d", 3), lambda: Value(Point)])
def test_pickled_for_nobody_it_is_refused(make: Any) -> None:
    with pytest.raises(procession.NotShared, match="can be sent to another process only"):
        pickle.dumps(make())


def test_bare_object_pickled_by_multiprocessing_for_nobody_is_refused() -> None:
    with pytest.raises(procession.NotShared, match="c_int"):
        ForkingPickler.dumps(RawValue("i", 1))


def test_other_objects_of_the_type_are_pickled_as_before() -> None:
    RawValue(ctypes.c_longlong, 1)  # of which multiprocessing, beside which other tests run, has made none
    point = RawArray(Point, 1)
    del point
    assert pickle.loads(ForkingPickler.dumps(ctypes.c_longlong(5))).value == 5
    assert pickle.loads(ForkingPickler.dumps(Point(1, 2.0))).y == 2.0


def take_both(ours: Any, theirs: Any) -> None:
    ours.value += 1
    theirs.value += 1


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_beside_multiprocessing_values_of_the_same_type(first: str) -> None:
    if first == "ours":
        ours = RawValue("l", 1)
    theirs = multiprocessing.RawValue("l", 10)
    if first == "theirs":
        ours = RawValue("l", 1)
    with child(take_both, ours, theirs, method="spawn"):
        pass
    assert (ours.value, theirs.value) == (2, 11)
    if first == "theirs":
        (twin,) = there_and_back(ours)
        twin.value = 5
        assert ours.value == 5


@pytest.mark.parametrize(
    "make", ["Value('i', 1)", "sharedctypes.RawValue('i', 1)", "shared_memory.SharedMemory('n', True, 8)"]
)
def test_a_program_that_uses_nothing_else_of_procession(make: str) -> None:
    program = f"""if 1:
        import procession, procession.sharedctypes as sharedctypes, procession.shared_memory as shared_memory
        from procession import Value
        made = {make}
        process = procession.Process(target=print, args=(made,), start_method="spawn")
        process.start(); process.join()
        print(made)
    """
    first, second = output_of(program).splitlines()
    assert first == second


def test_nothing_is_left_behind_by_a_program_of_values() -> None:
    program = """if 1:
        import os, procession
        from multiprocessing import resource_tracker
        value, array = procession.Value("i", 1), procession.Array("d", 100_000)
        process = procession.Process(target=print, args=("child", value.value), start_method="spawn")
        process.start(); process.join()
        # As the standard library's heap would call their files; other programs of the machine have theirs.
        names = tuple(f"pym-{pid}-" for pid in (os.getpid(), process.pid))
        print(resource_tracker._resource_tracker._fd, [name for name in os.listdir("/dev/shm") if name.startswith(names)])
    """
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "child 1\nNone []\n"
