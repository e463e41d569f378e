"""SharedDict: what a dict does, in every process; what is in it lives and goes as it should; nobody is hurt by a death."""

from __future__ import annotations

import gc
import math
import os
import pickle
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import procession
from procession import SharedDict
from tests.helpers import METHODS, child, domain, error_of, kill, memory, output_of, send, thread, unmade, until

core = pytest.mark.core


@pytest.fixture
def shared() -> SharedDict[Any, Any]:
    return SharedDict(name="stock")


def in_use() -> tuple[int, int]:
    """Bytes of tables and other segments, and of buffers."""
    gc.collect()
    now = memory()
    return now["segments"], now["payloads"]


# ---- a dict


def test_is_a_mutable_mapping(shared: SharedDict[Any, Any]) -> None:
    assert isinstance(shared, MutableMapping)


SAME: dict[str, Callable[[Any], object]] = {
    "getitem": lambda d: d["a"],
    "getitem missing": lambda d: d["no"],
    "getitem missing tuple": lambda d: d["no", 1],
    "get": lambda d: (d.get("a"), d.get("no"), d.get("no", 7)),
    "setitem": lambda d: d.__setitem__("a", 9),
    "setitem new": lambda d: d.__setitem__("new", 9),
    "delitem": lambda d: d.__delitem__("b"),
    "delitem missing": lambda d: d.__delitem__("no"),
    "in": lambda d: ("a" in d, "no" in d, 1.0 in d, None in d),
    "len": len,
    "bool": bool,
    "iter": list,
    "reversed": lambda d: list(reversed(d)),
    "keys": lambda d: (list(d.keys()), len(d.keys()), "a" in d.keys(), list(reversed(d.keys()))),  # noqa: SIM118
    "values": lambda d: (list(d.values()), len(d.values()), 2 in d.values(), list(reversed(d.values()))),
    "items": lambda d: (list(d.items()), len(d.items()), ("b", 2) in d.items(), list(reversed(d.items()))),
    "keys as a set": lambda d: (d.keys() & {"a", 5}, d.keys() == {"a", "b", 1}, d.items() - {("a", 1)}),
    "pop": lambda d: d.pop("a"),
    "pop missing": lambda d: d.pop("no"),
    "pop default": lambda d: d.pop("no", None),
    "popitem": lambda d: (d.popitem(), d.popitem()),
    "popitem of none": lambda d: (d.clear(), d.popitem()),
    "setdefault": lambda d: (d.setdefault("a", 5), d.setdefault("new", 5), d.setdefault("none")),
    "update": lambda d: d.update({"a": 5}, new=3),
    "update with pairs": lambda d: d.update([("x", 5), ("a", 4)]),
    "clear": lambda d: d.clear(),
    "copy": lambda d: d.copy(),
    "or": lambda d: d | {"a": 7, "z": 1},
    "ror": lambda d: {"a": 7, "z": 1} | d,
    "or a list": lambda d: d | [("a", 1)],
    "eq": lambda d: (d == {1: 3, "b": 2, "a": 1}, d == {"a": 1}, d != {"a": 1}, d == 5),
    "hash": hash,
    "overwrite keeps the order": lambda d: d.__setitem__("a", "longer than before"),
    "removed and put again comes last": lambda d: (d.pop("a"), d.__setitem__("a", 1)),
    "list as a key": lambda d: d[[]],
}


def outcome(call: Callable[[Any], object], on: Any) -> tuple[object, list[Any]]:
    """What it returns, or which exception it raises (with its key), and what is there then."""
    result: object
    try:
        result = call(on)
    except KeyError as error:
        result = KeyError, error.args if "empty" not in str(error) else ()
    except Exception as error:
        result = type(error)
    return result, list(on.items())


@pytest.mark.parametrize("call", SAME.values(), ids=SAME)
def test_does_what_a_dict_does(call: Callable[[Any], object]) -> None:
    items: dict[Any, Any] = {"a": 1, "b": 2, 1: 3}
    assert outcome(call, SharedDict(items)) == outcome(call, dict(items))


def test_ior_updates_in_place(shared: SharedDict[Any, Any]) -> None:
    before = shared
    shared |= {"a": 1}
    shared |= [("b", 2)]
    assert shared is before
    assert shared.copy() == {"a": 1, "b": 2}


def test_equals_another_one(shared: SharedDict[Any, Any]) -> None:
    shared["a"] = 1
    assert shared == SharedDict({"a": 1})
    assert shared != SharedDict({"a": 2})


def test_fromkeys() -> None:
    made = SharedDict.fromkeys("ab", 0, name="counts")
    assert (made.name, made.copy()) == ("counts", {"a": 0, "b": 0})


def test_takes_type_arguments() -> None:
    assert SharedDict[str, int]({"a": 1})["a"] == 1


def test_values_are_copies(shared: SharedDict[Any, Any]) -> None:
    shared["list"] = [1]
    shared["list"].append(2)
    assert shared["list"] == [1]


def test_grows_and_shrinks(shared: SharedDict[Any, Any]) -> None:
    empty = shared.statistics().table_bytes
    for i in range(20_000):
        shared[i] = str(i)
    assert shared.statistics().table_bytes > 20_000 * 48
    assert shared.copy() == {i: str(i) for i in range(20_000)}
    for i in range(20_000):
        del shared[i]
    assert shared.statistics().table_bytes == empty


def test_clear_gives_memory_back(shared: SharedDict[Any, Any]) -> None:
    before = in_use()
    shared.update((i, "x" * 50) for i in range(10_000))
    shared.clear()
    assert in_use() == before


def test_overwriting_takes_no_more_memory(shared: SharedDict[Any, Any]) -> None:
    for i in range(20_000):
        shared["same"] = f"another text {i}"
    assert shared.statistics().table_bytes == SharedDict().statistics().table_bytes


def test_removing_the_first_again_and_again_takes_no_more_memory(shared: SharedDict[Any, Any]) -> None:
    for i in range(20_000):
        shared[i] = i
        shared.pop(i - 10, None)
    assert len(shared) == 10
    assert shared.statistics().table_bytes == SharedDict().statistics().table_bytes


# ---- keys

EQUAL: list[tuple[Any, ...]] = [
    (1, 1.0, True),
    (0, 0.0, -0.0, False),
    (2**53, float(2**53)),
    (2**70, float(2**70)),
    (-(2**63), float(-(2**63))),
    (int(1e300), 1e300),
    ((1, (0, "a")), (True, (0.0, "a")), (1.0, (False, "a"))),
]
DIFFERENT: list[Any] = [
    *(None, "", b"", (), "None", "1", b"1", 1, -1, 1.5, -1.5, 2**63, -(2**63), 2**64, -(2**64), (1,), ((1,),), (1, 1)),
    *("a", b"a", "ä", "ä".encode(), "\ud800", "\U0001f600", "\ud83d\ude00", "a\0", "a\0b", "x" * 5000, b"x" * 5000),
    *(math.inf, -math.inf, 5e-324, 0.1, ("a", "b"), ("ab",), ("a", ("b",)), (None,), (None, None), 2**1000),
    (1,) * 300,
]


@pytest.mark.parametrize("keys", EQUAL, ids=str)
def test_equal_keys_are_one_and_the_first_is_shown(keys: tuple[Any, ...]) -> None:
    for first in keys:
        shared = SharedDict({first: 0})
        for i, key in enumerate(keys):
            shared[key] = i
            assert shared[first] == i
        assert [(type(key), repr(key)) for key in shared] == [(type(first), repr(first))]
        del shared[keys[-1]]
        assert len(shared) == 0


def test_different_keys_are_different_and_come_back_as_they_were(shared: SharedDict[Any, Any]) -> None:
    for i, key in enumerate(DIFFERENT):
        shared[key] = i
    assert [repr(key) for key in shared] == [repr(key) for key in DIFFERENT]
    assert [shared[key] for key in DIFFERENT] == list(range(len(DIFFERENT)))


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (math.nan, ValueError, "NaN"),
    ((1, math.nan), ValueError, "NaN"),
    ([], TypeError, "not list"),
    (bytearray(b"a"), TypeError, "not bytearray"),
    (Text("a"), TypeError, "not Text"),
    (Number.ONE, TypeError, "not Number"),
    (frozenset([1]), TypeError, "not frozenset"),
    (1j, TypeError, "not complex"),
    (object(), TypeError, "not object"),
    ((1, [2]), TypeError, "not list"),
    (np.int64(1), TypeError, r"not numpy\.int64"),
]


@pytest.mark.parametrize(("key", "error", "words"), REFUSED, ids=lambda value: repr(value)[:20])
def test_other_keys_are_refused(shared: SharedDict[Any, Any], key: Any, error: type[Exception], words: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: shared[key],
        lambda: shared.__setitem__(key, 1),
        lambda: key in shared,
        lambda: shared.get(key),
        lambda: shared.pop(key, 1),
        lambda: shared.setdefault(key, 1),
        lambda: shared.add(key, 1),
        lambda: shared.compare_and_set(key, 1, 2),
    ]
    for call in calls:
        with pytest.raises(error, match=words):
            call()
    assert len(shared) == 0


def test_key_that_is_nested_too_deeply_is_refused(shared: SharedDict[Any, Any]) -> None:
    key: Any = ()
    for _ in range(100_000):
        key = (key,)
    with pytest.raises(RecursionError):
        shared[key] = 1


def tell_keys(shared: SharedDict[Any, Any], answers: procession.Queue[Any]) -> None:
    answers.put([shared[key] for key in DIFFERENT[:30]])


@pytest.mark.parametrize("method", METHODS)
def test_keys_are_found_in_every_process(shared: SharedDict[Any, Any], method: str) -> None:
    for i, key in enumerate(DIFFERENT):
        shared[key] = i
    answers = procession.Queue[Any]()
    with child(tell_keys, shared, answers, method=method):
        assert answers.get() == list(range(30))


# ---- values

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 2**31, 2**63, 2**100, 0.5, "", "a", "ä", "x" * 100_000, b"", b"x" * 100_000),
    *((1, ("a", None)), [1, [2]], {"a": {1: 2}}, {1, 2}, Decimal("1.5"), Fraction(1, 3), range(5), "x" * 16_000),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_come_back(shared: SharedDict[Any, Any], value: Any) -> None:
    shared["new"] = value
    shared["word"] = 1
    shared["word"] = value
    shared["large"] = b"x" * 50_000
    shared["large"] = value
    assert list(shared.values()) == [value] * 3
    assert [type(found) for found in shared.values()] == [type(value)] * 3
    assert [shared.pop(key) for key in ("new", "word")] == [value] * 2
    assert shared.popitem() == ("large", value)
    assert shared.setdefault("again", value) is value
    assert shared.setdefault("again", None) == value


def test_array_is_a_copy_of_its_own_for_each_reader(shared: SharedDict[Any, Any]) -> None:
    shared["array"] = np.arange(50_000)
    mine, other = shared["array"], shared["array"]
    mine[0] = 7
    assert (other[0], shared["array"][0]) == (0, 0)
    shared["array"] = None
    gc.collect()
    assert (mine[0], mine[-1], other[-1]) == (7, 49_999, 49_999)


def test_shared_array_is_the_same_memory(shared: SharedDict[Any, Any]) -> None:
    array = procession.shared_array(10, "i8")
    shared["array"] = array
    shared["array"][0] = 7
    assert array[0] == 7


def test_value_that_does_not_pickle_changes_nothing(shared: SharedDict[Any, Any]) -> None:
    shared["a"] = 1
    for change in (shared.__setitem__, shared.setdefault):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            change("a", lambda: None)
    assert shared.copy() == {"a": 1}


def explode() -> None:
    raise ValueError("not to be unpickled")


class Explosive:
    def __reduce__(self) -> Any:
        return explode, ()


def test_value_that_does_not_unpickle_raises_and_leaves_nothing(shared: SharedDict[Any, Any]) -> None:
    before = in_use()
    for i in range(5):
        shared[i] = [Explosive() if i == 2 else i, procession.Lock(), b"x" * 50_000]
    for call in (lambda: shared[2], lambda: list(shared.items()), shared.copy, lambda: shared.pop(2)):
        with pytest.raises(ValueError, match="not to be unpickled"):
            call()
    assert list(shared) == [0, 1, 3, 4]
    shared.clear()
    assert in_use() == before


def test_value_with_a_descriptor_is_refused(shared: SharedDict[Any, Any]) -> None:
    with socket.socket() as one, pytest.raises(TypeError, match="'stock' cannot carry a file descriptor"):
        shared["socket"] = one
    assert len(shared) == 0
    from multiprocessing import resource_sharer

    resource_sharer.stop()


# ---- shared objects as values


def is_there(offset: int, generation: int) -> bool:
    try:
        procession.Lock._attach(domain(), offset, generation)
    except procession.StaleHandle:
        return False
    return True


def test_value_keeps_a_shared_object_alive(shared: SharedDict[Any, Any]) -> None:
    shared["lock"] = procession.Lock(name="inside")
    assert shared["lock"].name == "inside"
    assert shared["lock"]._handle == shared["lock"]._handle


WAYS_OUT: dict[str, Callable[[SharedDict[Any, Any]], object]] = {
    "overwritten": lambda d: d.__setitem__("lock", 1),
    "removed": lambda d: d.__delitem__("lock"),
    "popped": lambda d: d.pop("lock"),
    "popped as an item": lambda d: d.popitem(),
    "cleared": lambda d: d.clear(),
    "compared and set": lambda d: d.compare_and_set("lock", _Anything(), 1),
}


class _Anything:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT)
def test_shared_object_goes_with_its_value(
    shared: SharedDict[Any, Any], way: Callable[[SharedDict[Any, Any]], object]
) -> None:
    shared["lock"] = ("beside", procession.Lock())
    handle = shared["lock"][1]._handle
    assert is_there(*handle)
    way(shared)
    assert not is_there(*handle)


def test_shared_objects_go_with_the_dict() -> None:
    shared = SharedDict({i: procession.Lock() for i in range(100)})
    handles = [lock._handle for lock in shared.values()]
    assert all(is_there(*handle) for handle in handles)
    del shared
    assert not any(is_there(*handle) for handle in handles)


def test_dict_in_itself_goes_with_its_last_holder() -> None:
    before = in_use()
    shared = SharedDict[Any, Any]()
    shared["me"] = shared
    shared["beside"] = [shared, b"x" * 50_000]
    assert shared["me"]["me"] == shared
    del shared
    assert in_use() == before


def test_circle_of_dicts_and_queues_goes_with_its_last_holder() -> None:
    before = in_use()
    one, two, queue = SharedDict[str, Any](), SharedDict[str, Any](), procession.Queue[Any]()
    one["two"], two["queue"] = two, queue
    queue.put([one, b"x" * 50_000])
    del two, queue
    assert in_use() > before
    assert one["two"]["queue"].get()[0] == one
    one["two"]["queue"].put([one, b"x" * 50_000])
    del one
    assert in_use() == before


def test_dict_in_a_queue_in_a_dict() -> None:
    before = in_use()
    outer, queue = SharedDict[str, Any](), procession.Queue[Any]()
    queue.put(SharedDict({"a": 1}))
    outer["queue"] = queue
    del queue
    assert outer["queue"].get()["a"] == 1
    del outer
    assert in_use() == before


def fill_and_die(shared: SharedDict[Any, Any]) -> None:
    for i in range(100):
        shared[i] = [procession.Lock(), b"x" * 20_000]
    os.kill(os.getpid(), signal.SIGKILL)


@core
def test_what_a_dead_process_has_put_stays_and_goes_with_the_dict() -> None:
    before = in_use()
    shared = SharedDict[Any, Any]()
    with child(fill_and_die, shared):
        pass
    memory()
    assert len(shared) == 100
    assert all(value[0].acquire(timeout=0) for value in shared.values())
    del shared
    assert in_use() == before


# ---- iteration while others change it


def test_iteration_sees_what_stays_exactly_once(shared: SharedDict[Any, Any]) -> None:
    shared.update((i, i) for i in range(3000))
    seen = []
    for key, value in shared.items():
        assert key == value
        seen.append(key)
        if type(key) is int and key % 10 == 0:
            for i in range(20):  # rebuilds, and rows that move
                shared["other", key, i] = ("other", key, i)
            shared.pop(key, None)
            shared.pop(key + 5, None)
    stays = [i for i in range(3000) if i % 5]
    assert [key for key in seen if type(key) is int and key % 5] == stays
    assert len(seen) == len(set(seen))


def test_iteration_over_what_is_cleared_meanwhile_ends(shared: SharedDict[Any, Any]) -> None:
    shared.update((i, i) for i in range(3000))
    keys = iter(shared)
    assert next(keys) == 0
    shared.clear()
    assert len(list(keys)) < 3000
    assert list(shared) == []


# ---- one step


def test_add_counts_from_nothing(shared: SharedDict[Any, Any]) -> None:
    assert [shared.add("n", 1), shared.add("n", 2), shared.add("n", -4)] == [1, 3, -1]


def test_add_to_nothing_is_a_sum_with_zero(shared: SharedDict[Any, Any]) -> None:
    assert repr(shared.add("n", -0.0)) == repr(shared["n"]) == repr(0 + -0.0)


SUMS: list[tuple[Any, Any]] = [
    (1, 1),
    (2**31 - 1, 1),
    (2**62, 2**62),
    (-(2**63), -1),
    (2**100, 2**100),
    (1, 0.5),
    (0.5, 1),
    (0.1, 0.2),
    (2**53 + 1, 0.0),
    (True, True),
    (1, True),
    (math.inf, -math.inf),
    (1, Fraction(1, 3)),
    (Decimal("0.1"), Decimal("0.2")),
    (1, 2j),
    (2**31 - 1, 2**31),
]


@pytest.mark.parametrize(("first", "second"), SUMS, ids=repr)
def test_add_makes_python_s_sum(shared: SharedDict[Any, Any], first: Any, second: Any) -> None:
    shared["n"] = first
    expected = first + second
    got, kept = shared.add("n", second), shared["n"]
    assert [type(got), repr(got)] == [type(expected), repr(expected)] == [type(kept), repr(kept)]


@pytest.mark.parametrize(("value", "more"), [("text", 1), (None, 1), ([1], 1), (1, "1"), (1, None), ("a", 0.5)])
def test_add_to_what_is_no_number_changes_nothing(shared: SharedDict[Any, Any], value: Any, more: Any) -> None:
    shared["n"] = value
    with pytest.raises(TypeError):
        shared.add("n", more)
    assert shared.copy() == {"n": value}


def test_compare_and_set(shared: SharedDict[Any, Any]) -> None:
    assert shared.compare_and_set("a", None, 1) is False
    shared["a"] = [1, 2]
    assert shared.compare_and_set("a", [1], 0) is False
    assert shared.compare_and_set("a", [1, 2], "new") is True
    assert shared.copy() == {"a": "new"}


def test_compare_and_set_compares_as_python_does(shared: SharedDict[Any, Any]) -> None:
    shared["a"] = 1
    assert shared.compare_and_set("a", 1.0, math.nan)
    assert not shared.compare_and_set("a", math.nan, 2)


def test_comparison_that_raises_changes_nothing(shared: SharedDict[Any, Any]) -> None:
    shared["a"] = np.arange(3)
    with pytest.raises(ValueError, match="ambiguous"):
        shared.compare_and_set("a", np.arange(3), 1)
    assert shared["a"].tolist() == [0, 1, 2]


def test_compare_and_set_sees_a_change_in_between(shared: SharedDict[Any, Any]) -> None:
    class Meddler:
        def __init__(self) -> None:
            self.calls = 0

        def __eq__(self, other: object) -> bool:
            self.calls += 1
            if self.calls < 4:
                shared["a"] = f"changed {self.calls}"
            return True

        __hash__ = None  # type: ignore[assignment]

    shared["a"] = "old"
    meddler = Meddler()
    assert shared.compare_and_set("a", meddler, "new")
    assert (meddler.calls, shared["a"]) == (4, "new")


def count_up(shared: SharedDict[Any, Any], times: int) -> None:
    for i in range(times):
        shared.add("int", 1)
        shared.add("float", 0.5)
        shared.add("large", 2**70)
        while not shared.compare_and_set("pair", (n := shared["pair"][0], n), (n + 1, n + 1)):
            pass
        shared.setdefault(("winner", i), os.getpid())


@core
def test_processes_lose_no_update(shared: SharedDict[Any, Any]) -> None:
    shared["pair"] = (0, 0)
    with child(count_up, shared, 300), child(count_up, shared, 300), child(count_up, shared, 300):
        pass
    assert [shared[key] for key in ("int", "float", "large", "pair")] == [900, 450.0, 900 * 2**70, (900, 900)]
    assert len(shared) == 304


def take_all(shared: SharedDict[Any, Any], taken: procession.Queue[Any], by_item: bool) -> None:
    for i in range(1000):
        try:
            taken.put(shared.popitem()[0] if by_item else shared.pop(i))
        except KeyError:
            continue
    taken.put(None)


@pytest.mark.parametrize("by_item", [True, False])
def test_each_item_is_popped_once(shared: SharedDict[Any, Any], by_item: bool) -> None:
    shared.update((i, i) for i in range(1000))
    taken = procession.Queue[Any]()
    with child(take_all, shared, taken, by_item), child(take_all, shared, taken, by_item):
        pass
    got = [taken.get() for _ in range(taken.qsize())]
    assert sorted(key for key in got if key is not None) == list(range(1000))
    assert len(shared) == 0


# ---- deaths


def churn(shared: SharedDict[Any, Any]) -> None:
    numbers = random.Random(os.getpid())
    while True:
        key = numbers.randrange(300)
        shared[key] = (key, "x" * numbers.randrange(200))
        shared.pop(numbers.randrange(300), None)
        shared.add(("turns of", os.getpid()), 1)


def kill_two_at_work(shared: SharedDict[Any, Any]) -> None:
    with child(churn, shared) as one, child(churn, shared) as two:
        until(lambda: min(shared.get(("turns of", process.pid), 0) for process in (one, two)) > 20)
        kill(one)
        kill(two)


@core
def test_killed_writers_leave_a_whole_dict() -> None:
    before = in_use()
    shared = SharedDict[Any, Any]()
    for _ in range(10):
        kill_two_at_work(shared)
        assert all(value[0] == key for key, value in shared.items() if type(key) is int)
        assert len(shared) == len(list(shared)) == len(shared.copy())
    del shared
    assert in_use() == before


def stopped_inside(shared: SharedDict[Any, Any], process: Any) -> bool:
    """Stop the process; is it inside of a call? If not, it goes on."""
    send(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    if shared.statistics().busy_pid == process.pid:
        return True
    send(process, signal.SIGCONT)
    return False


@core
def test_who_waits_for_a_stopped_process_is_seen_and_goes_on_when_it_is_killed(shared: SharedDict[Any, Any]) -> None:
    with child(churn, shared) as process:
        until(lambda: stopped_inside(shared, process))
        with thread(len, shared) as length:
            # It sleeps in slices (pn_dict_enter), and between two of them it does not wait.
            until(lambda: f"1 waiting, pid {process.pid} inside of a call" in repr(shared))
            kill(process)
            assert length.result() == len(shared)
    assert shared.statistics().recoveries == 1


class Alarm(Exception):
    pass


def raise_alarm(*_: object) -> None:
    raise Alarm


def test_signal_ends_a_wait_and_nothing_was_changed(shared: SharedDict[Any, Any]) -> None:
    shared["mine"] = [procession.Lock()]
    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        with child(churn, shared) as process:
            until(lambda: stopped_inside(shared, process))
            calls: list[Callable[[], object]] = [
                lambda: shared["mine"],
                lambda: shared.__setitem__("mine", b"x" * 50_000),
                shared.clear,
                lambda: list(shared.items()),
            ]
            for call in calls:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with pytest.raises(Alarm):
                    call()
            kill(process)
        assert shared["mine"][0].acquire(timeout=0)
    finally:
        signal.signal(signal.SIGALRM, before)


# ---- limits

FULL = """
import procession, os
shared = procession.SharedDict(name="stock")
try:
    for i in range(10**9):
        shared[i] = "x" * 1000
except procession.DomainFull as error:
    print(error)
count = len(shared)
assert shared.copy() == {i: "x" * 1000 for i in range(count)}
for key, value in ("large", "x" * 100_000), ("large", b"x" * 10**9), (b"x" * 20_000_000, [procession.Lock()]):
    try:
        shared[key] = value
    except procession.DomainFull:
        pass
shared.pop("large", None)
assert len(shared) == count > 3000, count
for i in range(count):
    del shared[i]
assert not shared
shared["again"] = "x" * 100_000
print(len(shared))
"""


def test_full_domain_harms_nothing() -> None:
    said = output_of(FULL, PROCESSION_MAX_BYTES=str(16 << 20)).splitlines()
    assert said[0].startswith(
        "no memory for SharedDict 'stock'; the limit that bound: max_bytes of the domain, 16777216"
    )
    assert "Remove items" in said[0]
    assert said[1] == "1"


def test_uncaught_error_names_it() -> None:
    program = "import procession; d = procession.SharedDict(name='stock'); d['x'] = bytes(1 << 40)"
    assert "SharedDict 'stock'" in error_of(program.replace("1 << 40", "200 << 20"), PROCESSION_MAX_BYTES=str(16 << 20))


WRONG: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "name a number": (
        lambda _: SharedDict(name=5),  # type: ignore[arg-type]
        TypeError,
        "name must be a str, not int",
    ),
    "a number": (
        lambda _: SharedDict(5),  # type: ignore[arg-type]
        TypeError,
        "not iterable",
    ),
    "no pairs": (
        lambda _: SharedDict([1]),  # type: ignore[arg-type]
        TypeError,
        "unpack",
    ),
    "get nothing": (lambda d: d.get(), TypeError, r"get\(\) takes a key and a default"),
    "get unknown": (lambda d: d.get(1, other=1), TypeError, r"get\(\) takes a key and a default"),
    "pop three": (lambda d: d.pop(1, 2, 3), TypeError, r"pop\(\) takes a key and a default"),
    "add one": (lambda d: d.add(1), TypeError, r"add\(\) takes a key and a number"),
    "add text": (lambda d: d.add(1, "1"), TypeError, r"add\(\) adds a number, not str"),
    "compare two": (lambda d: d.compare_and_set(1, 2), TypeError, "takes a key, the old and the new value"),
    "made twice": (lambda d: d.__init__(), RuntimeError, "made already"),
    "never made": (lambda d: unmade(d)["a"], RuntimeError, r"__init__\(\) was not called"),
    "never made: len": (lambda d: len(unmade(d)), RuntimeError, r"__init__\(\) was not called"),
    "never made: set": (lambda d: unmade(d).__setitem__(1, 1), RuntimeError, r"__init__\(\) was not called"),
    "never made: clear": (lambda d: unmade(d).clear(), RuntimeError, r"__init__\(\) was not called"),
    "never made: popitem": (lambda d: unmade(d).popitem(), RuntimeError, r"__init__\(\) was not called"),
    "never made: list": (lambda d: list(unmade(d)), RuntimeError, r"__init__\(\) was not called"),
    "never made: repr": (lambda d: repr(unmade(d)), RuntimeError, r"__init__\(\) was not called"),
}


@pytest.mark.parametrize(("call", "error", "words"), WRONG.values(), ids=WRONG)
def test_wrong_use_raises(
    shared: SharedDict[Any, Any], call: Callable[[Any], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call(shared)
    assert len(shared) == 0


# ---- what it tells of itself


def test_repr_and_statistics(shared: SharedDict[Any, Any]) -> None:
    shared["a"] = 1
    assert repr(shared) == "<SharedDict 'stock' 1 items>"
    now = shared.statistics()
    assert (now.name, now.items, now.rebuilds, now.waiting, now.recoveries, now.busy_pid) == ("stock", 1, 0, 0, 0, None)
    assert 0 < now.bytes < now.table_bytes


def fork_and_use(shared: SharedDict[Any, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        shared["grandchild"] = 1
        os._exit(0)
    os.waitpid(pid, 0)
    sys.exit(shared["grandchild"] - 1)


def test_plain_fork_uses_it(shared: SharedDict[Any, Any]) -> None:
    with child(fork_and_use, shared):
        pass
    assert shared.copy() == {"grandchild": 1}


def test_mapping_protocol_is_whole() -> None:
    assert {name for name in dir(dict) if not name.startswith("__")} <= set(dir(SharedDict))
    assert {name for name in dir(Mapping) if not name.startswith("_")} <= set(dir(SharedDict))
