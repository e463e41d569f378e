"""Event, Condition and Barrier do what a flag, a queue and a count do, whatever is done in whatever order."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BrokenBarrierError
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import procession
from tests.helpers import until

MOST = 6  # that wait at once


class EventModel(RuleBasedStateMachine):
    """A flag, and those that wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.event = procession.Event()
        self.threads = ThreadPoolExecutor(MOST)
        self.waiting: list[Future[bool]] = []
        self.is_set, self.sets = False, 0

    @rule()
    def set(self) -> None:
        self.event.set()
        self.sets += not self.is_set
        self.is_set = True
        assert all(future.result() for future in self.waiting)
        self.waiting.clear()

    @rule()
    def pulse(self) -> None:
        self.set()
        self.clear()

    @rule()
    def clear(self) -> None:
        self.event.clear()
        self.is_set = False

    @precondition(lambda self: not self.is_set and len(self.waiting) < MOST)
    @rule()
    def come(self) -> None:
        self.waiting.append(self.threads.submit(self.event.wait))
        until(lambda: self.event.statistics().waiting == len(self.waiting))

    @rule(timeout=st.sampled_from([0, -1, 0.0]))
    def look(self, timeout: float) -> None:
        assert self.event.wait(timeout) is self.is_set

    @invariant()
    def agree(self) -> None:
        assert self.event.is_set() is self.is_set
        assert self.event.statistics().sets == self.sets
        assert not any(future.done() for future in self.waiting)

    def teardown(self) -> None:
        self.event.set()
        self.threads.shutdown()


class ConditionModel(RuleBasedStateMachine):
    """A queue: the oldest are notified first."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = ThreadPoolExecutor(MOST)
        self.queue: list[Future[bool]] = []

    @initialize(kind=st.sampled_from([procession.Lock, procession.RLock, procession.Mutex]))
    def make(self, kind: Any) -> None:
        self.condition = procession.Condition(kind())

    def wait(self) -> bool:
        with self.condition:
            return self.condition.wait()

    @precondition(lambda self: len(self.queue) < MOST)
    @rule()
    def come(self) -> None:
        self.queue.append(self.threads.submit(self.wait))
        until(lambda: self.condition.statistics().waiting == len(self.queue))

    @rule(n=st.integers(-1, MOST + 2))
    def notify(self, n: int) -> None:
        with self.condition:
            self.condition.notify(n)
        woken, self.queue = self.queue[: max(n, 0)], self.queue[max(n, 0) :]
        assert all(future.result() for future in woken)

    @rule()
    def notify_all(self) -> None:
        with self.condition:
            self.condition.notify_all()
        self.notify(0)
        assert all(future.result() for future in self.queue)
        self.queue.clear()

    @rule()
    def time_out(self) -> None:
        with self.condition:
            assert self.condition.wait(0) is False

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "condition"):
            assert self.condition.statistics()[1:] == (len(self.queue), 0)
            assert not any(future.done() for future in self.queue)

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError), self.condition:
            self.condition.notify_all()
        self.threads.shutdown()


class BarrierModel(RuleBasedStateMachine):
    """A count, a flag that it is broken, and the number of rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = ThreadPoolExecutor(MOST)
        self.there: list[Future[int]] = []
        self.broken, self.rounds = False, 0

    @initialize(parties=st.integers(1, 4), acts=st.booleans())
    def make(self, parties: int, acts: bool) -> None:
        self.parties = parties
        self.actions = 0
        self.barrier = procession.Barrier(parties, self.act if acts else None)
        self.acts = acts

    def act(self) -> None:
        self.actions += 1

    @rule()
    def come(self) -> None:
        future = self.threads.submit(self.barrier.wait)
        if self.broken:
            assert isinstance(future.exception(), BrokenBarrierError)
            return
        self.there.append(future)
        if len(self.there) < self.parties:
            until(lambda: self.barrier.n_waiting == len(self.there))
            return
        assert sorted(future.result() for future in self.there) == list(range(self.parties))
        self.there.clear()
        self.rounds += 1
        assert self.actions == (self.rounds_passed() if self.acts else 0)

    passed = 0

    def rounds_passed(self) -> int:
        self.passed += 1
        return self.passed

    def all_are_told(self) -> None:
        for future in self.there:
            assert isinstance(future.exception(), BrokenBarrierError)
        self.there.clear()

    @rule()
    def abort(self) -> None:
        self.barrier.abort()
        self.broken = True
        self.all_are_told()

    @rule()
    def reset(self) -> None:
        self.barrier.reset()
        self.rounds += self.broken or bool(self.there)
        self.broken = False
        self.all_are_told()

    @precondition(lambda self: not self.broken and len(self.there) + 1 < self.parties)
    @rule()
    def time_out(self) -> None:
        with contextlib.suppress(BrokenBarrierError):
            self.barrier.wait(0)
            raise AssertionError("it passed alone")
        self.broken = True
        self.all_are_told()

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "barrier"):
            now = self.barrier.statistics()
            assert (now.waiting, now.broken, now.rounds) == (len(self.there), self.broken, self.rounds)

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError):
            self.barrier.abort()
        self.threads.shutdown()


TestEvent, TestCondition, TestBarrier = EventModel.TestCase, ConditionModel.TestCase, BarrierModel.TestCase
for case in (TestEvent, TestCondition, TestBarrier):
    case.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
del case  # or it would be collected once more
