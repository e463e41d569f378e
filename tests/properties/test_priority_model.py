"""PriorityQueue beside a sorted list, for any keys and any order of calls."""

from __future__ import annotations

import queue as standard
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from procession import PriorityQueue

numbers = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.booleans(),
    st.integers(-1100, 1100).map(lambda exponent: 2.0 ** max(-1074, min(exponent, 1023))),
    st.integers(0, 300).map(lambda exponent: 2**exponent - 1),
)
texts = st.text(st.characters(), max_size=30)  # with NULs and lone surrogates


def tuples_of(element: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(element, max_size=4).map(tuple)


# Each is of values that Python can compare with each other.
kinds: list[st.SearchStrategy[Any]] = [
    numbers,
    texts,
    st.binary(max_size=30),
    tuples_of(numbers),
    tuples_of(texts),
    st.lists(numbers, max_size=4),
    st.tuples(numbers, texts, st.binary(max_size=5)),
    st.tuples(tuples_of(numbers), numbers),
]


@settings(deadline=None)
@given(st.one_of([st.lists(kind, max_size=40) for kind in kinds]))
def test_order_is_that_of_a_stable_sort(items: list[Any]) -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    for number, item in enumerate(items):
        queue.put((item, {"number": number}))
    got = [queue.get() for _ in items]
    expected = sorted(enumerate(items), key=lambda pair: pair[1])
    assert [(item["number"], key) for key, item in got] == expected


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=60), st.integers(0, 5))
def test_any_order_of_calls(calls: list[int | None], maxsize: int) -> None:
    queue: PriorityQueue[Any] = PriorityQueue(maxsize)
    model: list[tuple[int, int]] = []
    for number, key in enumerate(calls):
        if key is not None:
            try:
                queue.put((key, number), block=False)
            except standard.Full:
                assert maxsize
                assert len(model) == maxsize
            else:
                model = sorted([*model, (key, number)])
        else:
            try:
                got = queue.get(block=False)
            except standard.Empty:
                assert not model
            else:
                assert got == model.pop(0)
        assert (queue.qsize(), queue.empty()) == (len(model), not model)
        assert queue.full() == (0 < maxsize <= len(model))
