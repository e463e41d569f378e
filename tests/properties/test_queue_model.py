"""A Queue does what a deque with limits does, whatever is done in whatever order."""

from __future__ import annotations

import queue as standard
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import procession

items = (
    st.integers()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=3)
    | st.sampled_from([b"x" * 500, b"x" * 3000, b"x" * 20_000])
)


def weigh(item: Any) -> int:
    """What an item counts for max_bytes: as stored."""
    scale = procession.Queue[Any]()
    scale.put(item)
    return scale.statistics().bytes


class QueueModel(RuleBasedStateMachine):
    """The queue and its model, one step at a time."""

    @initialize(maxsize=st.sampled_from([0, 1, 2, 5, 13]), max_bytes=st.sampled_from([0, 0, 100, 5000, 50_000]))
    def make(self, maxsize: int, max_bytes: int) -> None:
        self.queue = procession.Queue[Any](maxsize, max_bytes=max_bytes)
        self.model: deque[tuple[Any, int]] = deque()
        self.maxsize, self.max_bytes = maxsize, max_bytes
        self.shut = self.given_up = self.closed = False

    def bytes(self) -> int:
        return sum(weight for _, weight in self.model)

    def fits(self, weight: int) -> bool:
        return (not self.maxsize or len(self.model) < self.maxsize) and (
            not self.max_bytes or not self.model or self.bytes() + weight <= self.max_bytes
        )

    def ended(self, putting: bool) -> type[Exception] | None:
        """What every call raises, in this order: closed here, shut down for all."""
        if self.closed:
            return ValueError
        if self.given_up or (self.shut and (putting or not self.model)):
            return procession.ShutDown
        return None

    @rule(item=items, way=st.sampled_from(["nowait", "block=False", "timeout=0"]))
    def put(self, item: Any, way: str) -> None:
        call: dict[str, Callable[[], None]] = {
            "nowait": lambda: self.queue.put_nowait(item),
            "block=False": lambda: self.queue.put(item, False),
            "timeout=0": lambda: self.queue.put(item, timeout=0),
        }
        weight = weigh(item)
        error = self.ended(putting=True) or (None if self.fits(weight) else standard.Full)
        if error is not None:
            with pytest.raises(error):
                call[way]()
        else:
            call[way]()
            self.model.append((item, weight))

    @rule(many=st.lists(items, max_size=20))
    def put_many(self, many: list[Any]) -> None:
        weights = [weigh(item) for item in many]
        error = self.ended(putting=True)
        if error is not None and (many or self.closed):
            with pytest.raises(error):
                self.queue.put_many(many, block=False)
            return
        try:
            self.queue.put_many(many, block=False)
        except standard.Full as full:
            put = getattr(full, "items_put")  # noqa: B009
        else:
            put = len(many)
        # Each commit holds a quarter of the limits at most, so the rest may have been too much for less than the room.
        for item, weight in zip(many[:put], weights, strict=False):
            assert self.fits(weight)
            self.model.append((item, weight))

    @rule(way=st.sampled_from(["nowait", "block=False", "timeout=0"]))
    def get(self, way: str) -> None:
        call: dict[str, Callable[[], Any]] = {
            "nowait": self.queue.get_nowait,
            "block=False": lambda: self.queue.get(False),
            "timeout=0": lambda: self.queue.get(timeout=0),
        }
        error = self.ended(putting=False) or (None if self.model else standard.Empty)
        if error is not None:
            with pytest.raises(error):
                call[way]()
        else:
            assert call[way]() == self.model.popleft()[0]

    @rule(most=st.integers(1, 30))
    def get_many(self, most: int) -> None:
        error = self.ended(putting=False) or (None if self.model else standard.Empty)
        if error is not None:
            with pytest.raises(error):
                self.queue.get_many(most, block=False)
        else:
            got = self.queue.get_many(most, block=False)
            assert 1 <= len(got) <= most
            assert got == [self.model.popleft()[0] for _ in got]

    @precondition(lambda self: len(self.model) > 3)
    @rule(immediate=st.booleans())
    def shutdown(self, immediate: bool) -> None:
        self.queue.shutdown(immediate)
        self.shut = True
        self.given_up = self.given_up or immediate
        if immediate:
            self.model.clear()

    @precondition(lambda self: self.shut)
    @rule()
    def close(self) -> None:
        self.queue.close()
        self.closed = True

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        now = self.queue.statistics()
        assert (now.items, self.queue.qsize()) == (len(self.model), len(self.model))
        assert (now.bytes, now.shut_down, now.closed) == (self.bytes(), self.shut, self.closed)
        assert self.queue.full() == bool(
            (self.maxsize and len(self.model) >= self.maxsize) or (self.max_bytes and self.bytes() >= self.max_bytes)
        )
        if not self.closed:
            assert self.queue.empty() == (not self.model)


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
