"""What goes into a queue comes out as pickle would have it: same types, same values, same aliasing."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import pickle
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

import pytest

import procession


class Int(int):
    pass


class Str(str):  # noqa: SLOT000  (it is to have attributes)
    remark: str


class Tuple(tuple[Any, ...]):
    __slots__ = ()


class Dict(dict[Any, Any]):
    pass


class List(list[Any]):
    pass


class Bytes(bytes):
    pass


class Float(float):
    pass


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclass(frozen=True)
class Job:
    path: str
    tries: int = 0


@pytest.fixture
def queue() -> procession.Queue[Any]:
    return procession.Queue()


def deep(levels: int) -> tuple[Any, ...]:
    made: tuple[Any, ...] = ()
    for level in range(levels):
        made = (made, level)
    return made


VALUES: dict[str, Any] = {
    "None": None,
    "booleans": [True, False],
    "integers of 32 bits": [0, 1, -1, 2**31 - 1, -(2**31)],
    "integers of 64 bits": [2**31, -(2**31) - 1, 2**63 - 1, -(2**63)],
    "huge integers": [2**63, -(2**63) - 1, 10**1000],
    "integer alone, 32 bits": -(2**31),
    "integer alone, 64 bits": 2**63 - 1,
    "integer alone, huge": 2**64,
    "floats": [0.0, -0.0, 1e300, 5e-324, math.inf, -math.inf],
    "float alone": -0.0,
    "complex": 1 + 2j,
    "text": ["", "a", "a" * 255, "a" * 256, "é", "€" * 100, "\U0001f600", "nul \0 in it"],
    "text alone": "é€\U0001f600",
    "surrogate": "\ud800",
    "surrogate inside": ["a\udfffb"],
    "bytes": [b"", b"a", b"a" * 255, b"a" * 256, bytes(range(256))],
    "empty bytes alone": b"",
    "at the edge of the ring's own": [b"x" * size for size in (16_300, 16_376, 16_384, 16_400)],
    "tuples": [(), (1,), (1, (2, (3, (4,)))), tuple(range(255)), tuple(range(256))],
    "deep tuple": deep(6),
    "deeper tuple": deep(7),
    "very deep tuple": deep(80),
    "list in a list": [[1], [2]],
    "dict": {"a": 1, 2: None, None: "x", (1, 2): b"y"},
    "dict in its order": dict.fromkeys("zyxabc"),
    "dict in a dict": {"a": {"b": 1}},
    "empty ones": [(), "", b""],
    "empty list": [],
    "empty dict": {},
    "large list": list(range(10_000)),
    "list beyond the codec's limit": ["x" * 1000] * 2000,
    "large dict": {str(number): number for number in range(10_000)},
    "sets": [{1, 2}, frozenset("ab")],
    "bytearray": bytearray(b"abc"),
    "subclasses": [Int(1), Str("a"), Tuple((1,)), Dict(a=1), List([1]), Bytes(b"a"), Float(0.5)],
    "subclass of int alone": Int(5),
    "subclass of str alone": Str("a"),
    "subclass of tuple alone": Tuple((1, 2)),
    "subclass of dict alone": Dict(a=1),
    "named tuple": Point(1, 2),
    "enum": [Colour.RED, Level.LOW],
    "dataclass": Job("a.py", 3),
    "dates": [dt.date(2024, 2, 29), dt.timedelta(1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)],
    "numbers": [decimal.Decimal("1.10"), fractions.Fraction(1, 3)],
    "collections": [collections.deque([1], 3), collections.Counter("aab"), collections.OrderedDict(b=1, a=2)],
    "path and pattern": [pathlib.PurePosixPath("/a"), re.compile("a+")],
    "array": array.array("d", [1.0, 2.0]),
    "functions and classes by name": [len, Job, pickle.dumps],
    "ellipsis": [..., NotImplemented],
}


def by_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_value_comes_out_as_pickle_has_it(queue: procession.Queue[Any], value: Any) -> None:
    queue.put(value)
    got, expected = queue.get(), by_pickle(value)
    assert got == expected
    assert repr(got) == repr(expected)
    assert type(got) is type(expected)


def test_types_inside_are_kept(queue: procession.Queue[Any]) -> None:
    queue.put(VALUES["subclasses"])
    assert [type(item) for item in queue.get()] == [Int, Str, Tuple, Dict, List, Bytes, Float]


def test_nan_keeps_its_bits(queue: procession.Queue[float]) -> None:
    [nan] = struct.unpack("<d", bytes.fromhex("0100000000f4f87f"))
    queue.put(nan)
    assert struct.pack("<d", queue.get()).hex() == "0100000000f4f87f"


def test_attributes_of_a_subclass_of_str_are_kept(queue: procession.Queue[Str]) -> None:
    text = Str("a")
    text.remark = "mine"
    queue.put(text)
    assert queue.get().remark == "mine"


def test_singletons_are_the_same(queue: procession.Queue[Any]) -> None:
    queue.put([None, True, False, ..., Colour.RED])
    assert all(got is one for got, one in zip(queue.get(), [None, True, False, ..., Colour.RED], strict=True))


def test_same_mutable_twice_is_the_same_twice(queue: procession.Queue[Any]) -> None:
    inner: list[int] = []
    queue.put((inner, inner))
    first, second = queue.get()
    assert first is second


def test_equal_mutables_stay_two(queue: procession.Queue[Any]) -> None:
    queue.put(([], []))
    first, second = queue.get()
    assert first is not second


def test_recursive_list(queue: procession.Queue[Any]) -> None:
    item: list[Any] = [1]
    item.append(item)
    queue.put(item)
    got = queue.get()
    assert got[1] is got


def test_recursive_dict(queue: procession.Queue[Any]) -> None:
    item: dict[str, Any] = {}
    item["itself"] = (item,)
    queue.put(item)
    got = queue.get()
    assert got["itself"][0] is got


def test_item_taken_is_a_copy(queue: procession.Queue[list[int]]) -> None:
    item = [1]
    queue.put(item)
    item.append(2)
    assert queue.get() == [1]


class Measured:
    """Of a class that the standard library's pickler was taught, and plain pickle was not."""

    def __init__(self, length: float) -> None:
        self.length = length
        self.useless: Iterator[int] = iter(lambda: 0, 1)  # does not pickle


@pytest.fixture
def taught() -> Iterator[None]:
    ForkingPickler.register(Measured, lambda measured: (Measured, (measured.length,)))
    yield
    del ForkingPickler._extra_reducers[Measured]  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: (1, item), lambda item: {"it": [item]}])
@pytest.mark.usefixtures("taught")
def test_reducers_of_multiprocessing_count(queue: procession.Queue[Any], wrap: Callable[[Any], Any]) -> None:
    queue.put(wrap(Measured(2.5)))
    assert "Measured" in repr(queue.get())


@pytest.mark.parametrize("wrap", [lambda item: item, lambda item: (1, item)])
def test_without_its_reducer_it_does_not_pickle(queue: procession.Queue[Any], wrap: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        queue.put(wrap(Measured(2.5)))


class Clears:
    """Empties the list that it stands in while it is pickled."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.items += [1, self, *range(1000)]

    def __reduce__(self) -> Any:
        self.items.clear()
        return int, ()


def test_changing_a_list_while_it_is_pickled_does_no_harm(queue: procession.Queue[Any]) -> None:
    queue.put(Clears([]).items)
    assert queue.get()[:2] == [1, 0]


def test_changing_the_items_of_put_many_while_they_are_pickled_does_no_harm(queue: procession.Queue[Any]) -> None:
    queue.put_many(Clears([]).items)
    assert queue.get_many(10) == [1, 0]
