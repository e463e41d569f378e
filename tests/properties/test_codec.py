"""Whatever plain value goes into a queue comes out as pickle would have it."""

from __future__ import annotations

import pickle
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import procession

# Numbers at the edges of the codec's forms, text with surrogates, lengths on both sides of 255.
edges = st.sampled_from(
    [sign * (2**power + off) for sign in (1, -1) for power in (31, 32, 63, 64) for off in (-1, 0, 1)]
)
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | edges
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary(max_size=300)
    | st.sampled_from([b"x" * 16_376, "x" * 16_377, "é" * 9000])
)
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=5)
        | st.frozensets(st.integers() | st.text(max_size=2), max_size=3)
        | inner.map(lambda value: (value, value))
        | inner.map(lambda value: [value, [value]])
    ),
    max_leaves=20,
)


def trace(value: Any, seen: dict[int, int] | None = None) -> Any:
    """A value with the types of all in it, and which mutable ones are the same one."""
    seen = {} if seen is None else seen
    if isinstance(value, list | dict):
        if id(value) in seen:
            return ("again", seen[id(value)])
        seen[id(value)] = len(seen)
    if isinstance(value, list | tuple):
        return (type(value), [trace(item, seen) for item in value])
    if isinstance(value, dict):
        return (dict, [(trace(key, seen), trace(item, seen)) for key, item in value.items()])
    return (type(value), value.hex() if isinstance(value, float) else value)


@settings(max_examples=300, deadline=None)
@given(st.lists(values, min_size=1, max_size=4))
def test_values_come_out_as_pickle_has_them(items: list[Any]) -> None:
    queue = procession.Queue[Any]()
    expected = [trace(pickle.loads(pickle.dumps(item))) for item in items]
    for item in items:
        queue.put(item)
    queue.put_many(items)
    one_by_one = [queue.get() for _ in items]
    assert [trace(item) for item in one_by_one] == expected
    assert [trace(item) for item in queue.get_many(len(items))] == expected
