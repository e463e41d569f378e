"""pn_ring_shut of core/ring.c with sleepers on both sides, killed at each of its steps.

The queue is that of `_queue.py`. One more process shuts it, gently or at once, and may die while it does. Held against: somebody who
sleeps although the queue is shut; an item put with success that no consumer sees although one of them meets the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tests.models._cell import NOW, Queue, Worker
from tests.models._engine import Run, main
from tests.models._queue import Ring, wake_up


class Shutdown(Ring):
    """Somebody shuts the queue. Safeguards: *tail lock*, *shut first*, *third word*, *pending in shut*."""

    shuts = 1

    def start(self) -> Queue:
        world = super().start()
        world.processes.append(Worker("shut_enter", "shut"))
        return world

    def check_end(self, world: Queue) -> str:
        ended = any(p.side == "get" and p.over and p.pc == "done" for p in world.processes)
        if ended and world.shut != NOW and world.head != world.tail:
            return "a consumer met the end, and an item came after it"
        return super().check_end(world)

    # pn_ring_shut

    def at_shut_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        """At once it takes no lock: what comes after the end is given up anyway."""
        if "tail lock" not in self.without and self.shuts != NOW:
            return self.lock(w, p, "tail_lock", "shut_pending")
        p.pc = "shut_pending"
        return None

    def at_shut_pending(self, w: Queue, p: Worker) -> None:
        p.pending = "shut" if "pending in shut" not in self.without else ""
        p.pc = "shut_store"

    def at_shut_store(self, w: Queue, p: Worker) -> None:
        w.shut = self.shuts
        p.pc = "shut_wake"

    def at_shut_wake(self, w: Queue, p: Worker) -> None:
        self.wake_all(w)
        p.pc = "shut_clear"

    def at_shut_clear(self, w: Queue, p: Worker) -> None:
        p.pending = ""
        p.pc = "shut_leave"

    def at_shut_leave(self, w: Queue, p: Worker) -> None:
        if w.tail_lock == self.me(w, p):
            w.tail_lock = 0
        p.pc = "done"

    def wake_all(self, w: Queue) -> None:
        """FUTEX_WAKE of all who sleep on `shut`: one step of the kernel."""
        for q in w.processes:
            if q.pc == "asleep" and "third word" not in self.without:
                wake_up(q)

    # lead: who meets the end as a leader passes it on, as whoever shut the queue may have died

    def at_leave_shut(self, w: Queue, p: Worker) -> None:
        is_leader = p.phase == 2
        super().at_leave_shut(w, p)
        if is_leader:
            p.pc = "pass_on"

    def at_pass_on(self, w: Queue, p: Worker) -> None:
        self.wake_all(w)
        p.pc = "lead_leave"


def put_only(*without: str) -> Shutdown:
    return Shutdown(producers=(1, 1), consumers=0, kills=1, without=set(without))


def both(*without: str, shuts: int = 1) -> Shutdown:
    return Shutdown(producers=(2,), consumers=1, kills=1, shuts=shuts, without=set(without))


RUNS = [
    Run("2 producers of a full queue, 2 kills", Shutdown(producers=(1, 1), consumers=0, kills=2), quick=True),
    Run("2 consumers of an empty queue, 2 kills", Shutdown(producers=(), consumers=2, kills=2), quick=True),
    Run("1 producer of 2, 1 consumer, 1 kill", both()),
    Run("1 producer of 2, 1 consumer, at once, 1 kill", both(shuts=NOW)),
    Run("1 producer of 1, 2 consumers, 1 kill", Shutdown(producers=(1,), consumers=2, kills=1)),
    Run("without list_op_pending", put_only("pending in shut"), quick=True),
    Run("the leader does not sleep on `shut`", put_only("third word"), quick=True),
    Run("shut without the tail's lock", both("tail lock"), quick=True),
    Run("`shut` is read after the end", both("shut first"), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
