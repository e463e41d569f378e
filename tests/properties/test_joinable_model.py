"""A JoinableQueue does what a simple list of items and their states does, whoever takes them and however it ends."""

from __future__ import annotations

import contextlib
import os
import queue as standard
import signal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import procession
from tests.helpers import domain

items = st.integers() | st.text(max_size=5) | st.sampled_from([b"x" * 500, b"x" * 3000, b"x" * 12_000, b"x" * 50_000])
ends = st.sampled_from(["done 0", "0", "3", "killed", "done killed"])  # the last word: how it ends

WAITS, AGAIN, MINE, LEFT, LETTER, DONE, PAID = range(7)


class Entry:
    """One item of the model."""

    def __init__(self, item: Any) -> None:
        self.item = item
        self.deliveries = 0
        self.state = WAITS


class JoinableModel(RuleBasedStateMachine):
    """The queue and its model. The machine is one consumer; others are forked, take one item, and end."""

    @initialize(most=st.sampled_from([None, None, 1, 3]))
    def make(self, most: int | None) -> None:
        self.queue = procession.JoinableQueue[Any](max_deliveries=most)
        self.most = most
        self.entries: list[Entry] = []
        self.taken = 0  # ordinals below it were taken from the ring
        self.paid = 0  # ordinals below it are done, taken or not
        self.mine: list[Entry] = []  # in order of delivery
        self.busy: list[Entry] = []  # mine and LEFT, the same

    # ---- the model ----------------------------------------------------------------

    def next_entry(self) -> Entry | None:
        again = [entry for entry in self.entries if entry.state == AGAIN]
        if again:
            return again[0]
        return self.entries[self.taken] if self.taken < len(self.entries) else None

    def deliver(self) -> Entry:
        entry = self.next_entry()
        assert entry is not None
        if entry.state == WAITS:
            entry.state = PAID if self.taken < self.paid else MINE
            self.taken += 1
        else:
            entry.state = MINE
        entry.deliveries += 1
        if entry.state == MINE:
            self.busy.append(entry)
        return entry

    def ended(self, entry: Entry) -> None:
        entry.state = DONE
        self.busy.remove(entry)
        if entry in self.mine:
            self.mine.remove(entry)

    def done(self, own: list[Entry]) -> bool:
        """What task_done() does for a consumer that has these in hand; False: too many times."""
        again = [entry for entry in self.entries if entry.state == AGAIN]
        if own:
            self.ended(own[0])
        elif self.busy:
            self.ended(self.busy[0])
        elif again:
            again[0].state = DONE
        elif max(self.taken, self.paid) < len(self.entries):
            self.paid = max(self.taken, self.paid) + 1
        else:
            return False
        return True

    def unfinished(self) -> int:
        open_ones = sum(entry.state in {AGAIN, MINE, LEFT} for entry in self.entries)
        return len(self.entries) - max(self.taken, self.paid) + open_ones

    # ---- what is done ------------------------------------------------------------------

    @rule(item=items)
    def put(self, item: Any) -> None:
        self.queue.put(item)
        self.entries.append(Entry(item))

    @rule()
    def get(self) -> None:
        if self.next_entry() is None:
            with pytest.raises(standard.Empty):
                self.queue.get_item(block=False)
            return
        got = self.queue.get_item(block=False)
        entry = self.deliver()
        assert (got.item, got.id, got.deliveries) == (entry.item, self.entries.index(entry), entry.deliveries)
        if entry.state == MINE:
            self.mine.append(entry)

    @rule(most=st.integers(1, 5))
    def get_many(self, most: int) -> None:
        if self.next_entry() is None:
            with pytest.raises(standard.Empty):
                self.queue.get_many(most, block=False)
            return
        for item in self.queue.get_many(most, block=False):
            entry = self.deliver()
            assert item == entry.item
            if entry.state == MINE:
                self.mine.append(entry)

    @rule()
    def task_done(self) -> None:
        if self.done(self.mine):
            self.queue.task_done()
        else:
            with pytest.raises(ValueError):
                self.queue.task_done()

    def consume(self, end: str) -> None:
        self.queue.get(block=False)
        if end.startswith("done"):
            with contextlib.suppress(ValueError):  # the item was done before it was taken, and so was everything
                self.queue.task_done()
        if end.endswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        domain().judge(end.endswith("0"))
        os._exit(int(end[-1]))

    @precondition(lambda self: self.next_entry() is not None)
    @rule(end=ends)
    def another_consumer(self, end: str) -> None:
        """Forked, and reaped by somebody who tells nobody how it ended: it says so itself, or not."""
        pid = os.fork()
        if pid == 0:
            try:
                self.consume(end)
            finally:
                os._exit(99)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == (-signal.SIGKILL if end.endswith("killed") else int(end[-1]))
        domain().sweep()
        entry = self.deliver()
        own = [entry] if entry.state == MINE else []
        if end.startswith("done"):
            assert self.done(own) or not own
        if entry.state != MINE:
            return
        if end == "0":
            entry.state = LEFT
            return
        self.busy.remove(entry)
        entry.state = LETTER if self.most and entry.deliveries >= self.most else AGAIN

    @precondition(lambda self: any(entry.state == LETTER for entry in self.entries))
    @rule()
    def clear_letters(self) -> None:
        letters = self.queue.dead_letters(clear=True)
        expected = [entry for entry in self.entries if entry.state == LETTER]
        assert [(letter.item, letter.deliveries) for letter in letters] == [
            (entry.item, entry.deliveries) for entry in expected
        ]
        for entry in expected:
            entry.state = DONE

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "queue"):
            return
        now = self.queue.statistics()
        states = [entry.state for entry in self.entries]
        waiting = len(self.entries) - self.taken + states.count(AGAIN)
        assert (now.items, self.queue.qsize(), self.queue.empty()) == (waiting, waiting, waiting == 0)
        assert now.unfinished == self.unfinished()
        assert now.leased == len(self.busy) == states.count(MINE) + states.count(LEFT)
        assert sorted(left.id for left in now.left) == [id_ for id_, state in enumerate(states) if state == LEFT]
        assert now.dead_letters == states.count(LETTER)
        assert self.queue.join(0) == (self.unfinished() == 0)


TestJoinableModel = JoinableModel.TestCase
TestJoinableModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
