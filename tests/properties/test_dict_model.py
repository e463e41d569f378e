"""A SharedDict does what a dict does, whatever is done in whatever order."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import procession
from tests.helpers import memory

plain = (
    st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, -0.0, 2.5, True, False, None, 2**63, float(2**63), -(2**70)])
    | st.text("aä\ud800\U0001f600", max_size=2)
    | st.binary(max_size=1)
)
keys = plain | st.tuples(plain) | st.tuples(plain, st.tuples(plain, plain))
values = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.none()
    | st.booleans()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=3)
    | st.sampled_from(["x" * 300, b"x" * 3000, b"x" * 20_000, ("a", ("b", None)), {"a": {1, 2}}])
)
numbers = st.integers() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.booleans()


class DictModel(RuleBasedStateMachine):
    """The shared one and a plain one, one step at a time."""

    @initialize(initial=st.dictionaries(keys, values, max_size=5))
    def make(self, initial: dict[Any, Any]) -> None:
        self.shared = procession.SharedDict[Any, Any](initial)
        self.model = dict(initial)
        self.lock = procession.Lock()

    def same(self, call: Any) -> None:
        """Both return the same, or raise a KeyError for the same key."""
        error: Exception | None = None
        expected = None
        try:
            expected = call(self.model)
        except (KeyError, TypeError) as raised_here:
            error = raised_here
        if error is not None:
            with pytest.raises(type(error)) as raised:
                call(self.shared)
            assert type(error) is TypeError or not self.model or raised.value.args == error.args
            return
        found = call(self.shared)
        assert (type(found), repr(found)) == (type(expected), repr(expected))

    @rule(key=keys, value=values)
    def set(self, key: Any, value: Any) -> None:
        self.same(lambda d: d.__setitem__(key, value))

    @rule(many=st.lists(st.tuples(keys, values), min_size=20, max_size=200))
    def set_many(self, many: list[tuple[Any, Any]]) -> None:
        self.same(lambda d: d.update(many))

    @rule(first=st.integers(0, 1000), count=st.integers(100, 300), value=values)
    def grow(self, first: int, count: int, value: Any) -> None:
        self.same(lambda d: d.update((("many", i), value) for i in range(first, first + count)))

    @rule(key=keys)
    def set_object(self, key: Any) -> None:
        """It has the same repr in both."""
        self.same(lambda d: d.__setitem__(key, [self.lock]))

    @rule(key=keys)
    def get(self, key: Any) -> None:
        self.same(lambda d: d[key])
        self.same(lambda d: d.get(key))
        self.same(lambda d: key in d)

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        self.same(lambda d: d.__delitem__(key))

    @rule(key=keys, value=values)
    def pop(self, key: Any, value: Any) -> None:
        self.same(lambda d: d.pop(key, value))

    @rule(times=st.integers(1, 150))
    def popitems(self, times: int) -> None:
        for _ in range(times):
            self.same(lambda d: d.popitem())

    @rule(key=keys, value=values)
    def setdefault(self, key: Any, value: Any) -> None:
        self.same(lambda d: d.setdefault(key, value))

    @rule(key=keys, number=numbers)
    def add(self, key: Any, number: Any) -> None:
        def add(d: Any) -> Any:
            if d is self.shared:
                return d.add(key, number)
            if isinstance(d.get(key), str | bytes | list | tuple | dict):
                raise TypeError
            d[key] = sum_ = d.get(key, 0) + number
            return sum_

        if self.model.get(key, 0) is None:
            self.model[key] = self.shared[key] = 0
        self.same(add)

    @rule(key=keys, old=values, new=values, knows=st.booleans())
    def compare_and_set(self, key: Any, old: Any, new: Any, knows: bool) -> None:
        if knows and key in self.model:
            old = self.model[key]
        if isinstance(old, list) and self.lock in old:
            return  # the copy of a lock is not equal to it
        expected = key in self.model and self.model[key] == old
        assert self.shared.compare_and_set(key, old, new) is expected
        if expected:
            self.model[key] = new

    @rule()
    def clear(self) -> None:
        self.same(lambda d: d.clear())

    @invariant()
    def is_the_same(self) -> None:
        assert len(self.shared) == len(self.model)
        assert repr(list(self.shared)) == repr(list(self.model))
        assert repr(list(self.shared.items())) == repr(list(self.model.items()))
        assert repr(self.shared.copy()) == repr(self.model)

    def teardown(self) -> None:
        if not hasattr(self, "shared"):
            return
        del self.shared
        self.model.clear()
        gc.collect()
        assert memory()["payloads"] == 0


DictModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDictModel = DictModel.TestCase
