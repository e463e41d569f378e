"""A pool gives what the plain loop gives, whatever the input, the chunks and the order of calls."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import procession
import procession.pool

# Of another type than what may be equal to it: True is not 1.
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
)
CHUNKS = st.none() | st.integers(1, 9)

quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=["fork", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = procession.pool.ThreadPool(2) if request.param == "threads" else procession.get_context("fork").Pool(2)
    yield made
    made.close()
    made.join()


def pair(value: Any) -> Any:
    return type(value).__name__, value


def pair_both(a: Any, b: Any) -> Any:
    return a, b


def with_kinds(values: Any) -> Any:
    return [(type(value).__name__, value) for value in values]


@quick
@given(st.lists(VALUES), CHUNKS)
def test_map_is_map(pool: Any, values: list[Any], chunksize: int | None) -> None:
    expected = with_kinds(values)
    assert pool.map(pair, values, chunksize) == expected
    assert list(pool.imap(pair, iter(values), chunksize)) == expected
    assert Counter(map(repr, pool.imap_unordered(pair, values, chunksize))) == Counter(map(repr, expected))


@quick
@given(st.lists(st.tuples(VALUES, VALUES)), CHUNKS)
def test_starmap_is_starmap(pool: Any, values: list[tuple[Any, Any]], chunksize: int | None) -> None:
    assert with_kinds(pool.starmap(pair_both, values, chunksize)) == with_kinds(values)


@quick
@given(
    st.lists(VALUES, max_size=4), st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1), VALUES, max_size=3)
)
def test_apply_is_a_call(pool: Any, args: list[Any], kwds: dict[str, Any]) -> None:
    assert pool.apply(everything, args, kwds) == everything(*args, **kwds)


def everything(*args: Any, **kwds: Any) -> Any:
    return args, kwds


def square_or_end(n: int) -> int:
    if n < 0:
        os._exit(-n % 3)
    return n * n


class Work(RuleBasedStateMachine):
    """Tasks of all kinds in any order, some of which end their worker; the books beside them are plain Python."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = procession.get_context("fork").Pool(2)
        self.waiting: list[tuple[Any, int]] = []

    @rule(numbers=st.lists(st.integers(-3, 1000), max_size=4))
    def begin(self, numbers: list[int]) -> None:
        self.waiting += [(self.pool.apply_async(square_or_end, (number,)), number) for number in numbers]

    @rule(numbers=st.lists(st.integers(-3, 1000), max_size=6))
    def iterate(self, numbers: list[int]) -> None:
        results = self.pool.imap(square_or_end, numbers)
        for number in numbers:
            self.judge(results.__next__, number)
        assert list(results) == []

    @rule(numbers=st.lists(st.integers(0, 1000)), chunksize=CHUNKS)
    def map(self, numbers: list[int], chunksize: int | None) -> None:
        assert self.pool.map(square_or_end, numbers, chunksize) == [number * number for number in numbers]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        result, number = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.judge(result.get, number)

    @staticmethod
    def judge(get: Any, number: int) -> None:
        if number >= 0:
            assert get() == number * number
        else:
            with pytest.raises(procession.WorkerDied) as raised:
                get()
            assert raised.value.exitcode == -number % 3

    def teardown(self) -> None:
        self.pool.close()
        self.pool.join()
        for result, number in self.waiting:
            assert result.ready()
            self.judge(result.get, number)


TestWork = Work.TestCase
TestWork.settings = settings(deadline=None, max_examples=15, stateful_step_count=20)
