"""Lock, RLock and Mutex do what a counter with an owner does, whatever is done by whichever thread."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import procession

HERE, THERE = 0, 1  # this thread, another one

who = st.sampled_from([HERE, THERE])
without_waiting: dict[str, dict[str, Any]] = {
    "block": {"block": False},
    "0": {"timeout": 0},
    "below 0": {"timeout": -1},
}


class LockModel(RuleBasedStateMachine):
    """The lock and its model: how often it is held, and by whom."""

    kind: ClassVar[Any]
    recursive: ClassVar[bool] = False
    owned: ClassVar[bool] = True  # by a thread
    refusal: ClassVar[type[Exception]]

    def __init__(self) -> None:
        super().__init__()
        self.lock = self.kind()
        self.other = ThreadPoolExecutor(1)
        self.owner: int | None = None
        self.depth = 0

    def call(self, thread: int, name: str, **arguments: Any) -> Any:
        method = getattr(self.lock, name)
        return method(**arguments) if thread == HERE else self.other.submit(method, **arguments).result()

    @rule(thread=who, way=st.sampled_from(list(without_waiting)))
    def acquire(self, thread: int, way: str) -> None:
        free = self.depth == 0 or (self.recursive and self.owner == thread)
        assert self.call(thread, "acquire", **without_waiting[way]) is free
        if free:
            self.owner, self.depth = thread, self.depth + 1

    @rule(thread=who)
    def release(self, thread: int) -> None:
        allowed = self.depth > 0 and (not self.owned or self.owner == thread)
        if not allowed:
            with pytest.raises(self.refusal):
                self.call(thread, "release")
        else:
            self.call(thread, "release")
            self.depth -= 1

    @invariant()
    def agree(self) -> None:
        now = self.lock.statistics()
        assert self.lock.locked() == (self.depth > 0)
        assert (now.depth, now.recoveries, now.waiters) == (self.depth, 0, 0)
        assert now.owner_pid == (os.getpid() if self.depth else None)

    def teardown(self) -> None:
        for _ in range(self.depth):
            self.call(self.owner or HERE, "release")
        self.other.shutdown()


class Lock(LockModel):
    kind, owned, refusal = procession.Lock, False, ValueError


class RLock(LockModel):
    kind, recursive, refusal = procession.RLock, True, AssertionError


class Mutex(LockModel):
    kind, refusal = procession.Mutex, procession.NotOwner


TestLock, TestRLock, TestMutex = Lock.TestCase, RLock.TestCase, Mutex.TestCase
TestLock.settings = TestRLock.settings = TestMutex.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None
)
