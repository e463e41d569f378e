"""wait(), doorbells and the objects themselves agree on what is ready, whatever is done in whatever order."""

from __future__ import annotations

import queue
import select
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import procession

QUEUES = st.integers(0, 2)


class Waiting(RuleBasedStateMachine):
    """Three queues, one of them bounded, and a lock; the books beside them are plain Python."""

    def __init__(self) -> None:
        super().__init__()
        self.queues = [procession.Queue[int](), procession.Queue[int](2), procession.JoinableQueue[int]()]
        self.lock = procession.Lock()
        self.items: list[list[int]] = [[], [], []]
        self.shut = [False, False, False]
        self.bells: dict[int, Any] = {}
        self.number = 0

    def room(self, at: int) -> bool:
        return at != 1 or len(self.items[1]) < 2

    @rule(at=QUEUES, count=st.integers(1, 3))
    def put(self, at: int, count: int) -> None:
        for _ in range(count):
            self.number += 1
            try:
                self.queues[at].put(self.number, False)
            except procession.ShutDown:
                assert self.shut[at]
            except queue.Full:
                assert not self.room(at)
            else:
                assert self.room(at)
                self.items[at].append(self.number)

    @rule(at=QUEUES)
    def get(self, at: int) -> None:
        try:
            item = self.queues[at].get(False)
        except procession.ShutDown:
            assert self.shut[at]
            assert not self.items[at]
        except queue.Empty:
            assert not self.items[at]
        else:
            assert item == self.items[at].pop(0)
            if at == 2:
                self.queues[2].task_done()  # type: ignore[attr-defined]

    @rule(at=QUEUES, most=st.integers(1, 4))
    def get_many(self, at: int, most: int) -> None:
        if self.items[at]:
            got = self.queues[at].get_many(most, False)
            assert got == self.items[at][: len(got)]
            del self.items[at][: len(got)]

    @rule()
    def turn_the_lock(self) -> None:
        if self.lock.locked():
            self.lock.release()
        else:
            assert self.lock.acquire(False)

    @rule(at=QUEUES)
    def shutdown(self, at: int) -> None:
        self.queues[at].shutdown()
        self.shut[at] = True

    @precondition(lambda self: len(self.bells) < 6)
    @rule(at=QUEUES, room=st.booleans())
    def listen(self, at: int, room: bool) -> None:
        key = at + 3 * room
        if key not in self.bells:
            self.bells[key] = procession.Doorbell(self.queues[at], "put" if room else "get")
            self.bells[key].fileno()

    @precondition(lambda self: self.bells)
    @rule(which=st.randoms(use_true_random=False), pause=st.booleans())
    def listen_no_more(self, which: Any, pause: bool) -> None:
        key = which.choice(sorted(self.bells))
        if pause:
            self.bells[key].pause()
            assert self.bells[key].fileno() >= 0
        else:
            self.bells.pop(key).close()

    @invariant()
    def wait_says_what_is_ready(self) -> None:
        ready = [q for q, items, shut in zip(self.queues, self.items, self.shut, strict=True) if items or shut]
        wanted = [*ready, *([] if self.lock.locked() else [self.lock])]
        assert procession.wait([*self.queues, self.lock], 0) == wanted

    @invariant()
    def bells_ring_for_what_is_ready_and_for_nothing_else(self) -> None:
        for key, bell in self.bells.items():
            at = key % 3
            ready = self.shut[at] or (self.room(at) if key >= 3 else bool(self.items[at]))
            # It rings as soon as the thread has heard of it; it is silent at once, for this process itself took.
            assert bool(select.select([bell], [], [], None if ready else 0)[0]) == ready

    def teardown(self) -> None:
        for bell in self.bells.values():
            bell.close()
        if self.lock.locked():
            self.lock.release()


Waiting.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWaiting = Waiting.TestCase
