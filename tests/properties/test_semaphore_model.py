"""Semaphore and BoundedSemaphore do what a number does, whatever is done by whichever process, and however that ends."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import procession
from procession import _core
from procession._memory.domain import domains

FORK = multiprocessing.get_context("fork")


def obey(semaphore: Any, orders: Any, answers: Any) -> None:
    """Do as one is told, until one is told how to end."""
    answers.put("here")
    while True:
        order = orders.get()
        if order == "acquire":
            answers.put(semaphore.acquire(False))
        elif order == "release":
            try:
                answers.put(semaphore.release())
            except ValueError:
                answers.put(False)
        elif order == "end well":
            return
        else:
            os._exit(3)


class Helper:
    """Another process."""

    def __init__(self, semaphore: Any) -> None:
        self.orders: Any = procession.SimpleQueue()
        self.answers: Any = procession.SimpleQueue()
        self.process = FORK.Process(target=obey, args=(semaphore, self.orders, self.answers))
        self.process.start()
        assert self.answers.get() == "here"

    def ask(self, order: str) -> Any:
        self.orders.put(order)
        return self.answers.get()

    def end(self, how: str) -> None:
        if how == "kill":
            self.process.kill()
        else:
            self.orders.put(how)
        self.process.join()
        self.process.close()
        domain: _core.Domain = domains.current()
        domain.sweep()


class SemaphoreModel(RuleBasedStateMachine):
    """The semaphore, its model, and two other processes."""

    kind: ClassVar[Any]
    bounded: ClassVar[bool] = False

    @initialize(value=st.integers(0, 3), keep=st.booleans())
    def make(self, value: int, keep: bool) -> None:
        self.keep = keep
        self.semaphore = self.kind(value, on_death="keep" if keep else "release")
        self.total = value
        self.left = 0
        self.held = [0, 0, 0]  # of this process and the others
        self.others = [Helper(self.semaphore), Helper(self.semaphore)]

    @property
    def free(self) -> int:
        return self.total - self.left - sum(self.held)

    @rule(who=st.integers(0, 2))
    def acquire(self, who: int) -> None:
        taken = self.semaphore.acquire(False) if who == 0 else self.others[who - 1].ask("acquire")
        assert taken is (self.free > 0)
        self.held[who] += taken

    @rule(who=st.integers(0, 2))
    def release(self, who: int) -> None:
        refused = self.bounded and self.free == self.total
        if who == 0 and refused:
            with pytest.raises(ValueError, match="released too many times"):
                self.semaphore.release()
        elif who == 0:
            self.semaphore.release()
        else:
            assert self.others[who - 1].ask("release") is (False if refused else None)
        if self.held[who]:
            self.held[who] -= 1
        elif self.left:
            self.left -= 1
        elif sum(self.held):
            holders = {holder.pid: holder.permits for holder in self.semaphore.statistics().holders}
            pids = [os.getpid(), *(other.process.pid for other in self.others)]
            now = [holders.get(pid, 0) for pid in pids]
            assert sum(now) == sum(self.held) - 1  # whose it is, is not promised
            assert all(after <= before for after, before in zip(now, self.held, strict=True))
            self.held = now
        elif not refused:
            self.total += 1

    @rule(who=st.integers(1, 2), how=st.sampled_from(["kill", "end well", "fail"]))
    def end(self, who: int, how: str) -> None:
        self.others[who - 1].end(how)
        if self.keep or how == "end well":
            self.left += self.held[who]
        self.held[who] = 0
        self.others[who - 1] = Helper(self.semaphore)

    @precondition(lambda self: hasattr(self, "semaphore"))
    @invariant()
    def agree(self) -> None:
        now = self.semaphore.statistics()
        assert (now.value, now.permits, now.left) == (self.free, self.total, self.left)
        assert sum(holder.permits for holder in now.holders) == sum(self.held)
        assert (self.semaphore.get_value(), self.semaphore.locked()) == (self.free, self.free == 0)

    def teardown(self) -> None:
        for other in getattr(self, "others", []):
            other.end("end well")


class Semaphore(SemaphoreModel):
    kind = procession.Semaphore


class Bounded(SemaphoreModel):
    kind, bounded = procession.BoundedSemaphore, True


TestSemaphore, TestBounded = Semaphore.TestCase, Bounded.TestCase
TestSemaphore.settings = TestBounded.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
