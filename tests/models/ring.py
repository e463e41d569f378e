"""The queue of core/ring.c: put, get, wait and commit, with leaders and followers on both sides.

The steps are in `_queue.py`. Here are the runs, and two more kinds of them: a reader who asks for the count without a lock
(read_totals), and a leader who is stopped, as by SIGSTOP, instead of killed.

Held against: an item lost, doubled, or taken before it is whole; a wrong count; somebody who sleeps though he could go on.
"""

from __future__ import annotations

import sys

from tests.models._cell import NONE, Queue, Worker, valid_mark
from tests.models._engine import Run, main
from tests.models._queue import Ring


class Counted(Ring):
    """Somebody looks at the tail's count: pn_ring_count. Safeguard: *same position* (read_totals looks at it again)."""

    consumers = 1
    fine = True

    def start(self) -> Queue:
        world = super().start()
        world.processes.append(Worker("read_position", "read"))
        return world

    def check_end(self, world: Queue) -> str:
        world.processes.pop()
        return super().check_end(world)

    def at_read_position(self, w: Queue, p: Worker) -> None:
        p.seen = w.tail
        p.pc = "read_valid"

    def at_read_valid(self, w: Queue, p: Worker) -> None:
        p.other = valid_mark(w.tail_marks, p.seen)
        p.pc = "read_count"

    def at_read_count(self, w: Queue, p: Worker) -> None:
        p.copy = w.tail_marks[p.other][1]
        p.pc = "read_whole"

    def at_read_whole(self, w: Queue, p: Worker) -> None:
        whole = w.tail_marks[p.other][0] == p.seen
        p.pc = "read_again" if whole or "same position" in self.without else "read_retry"

    def at_read_again(self, w: Queue, p: Worker) -> None:
        if w.tail != p.seen and "same position" not in self.without:
            p.pc = "read_retry"
        elif p.copy != p.seen:
            w.fault = "a reader gets a count that never was"
        else:
            p.seen = p.other = 0
            p.copy = NONE
            p.pc = "done"

    def at_read_retry(self, w: Queue, p: Worker) -> None:
        p.seen = p.other = 0
        p.copy = NONE
        p.pc = "read_position"


class Stopped(Ring):
    """A kill is a stop here, of somebody who holds neither end's lock; slices are the net of those who follow him."""

    with_net = True
    kills = 1

    def may_die(self, process: Worker) -> bool:
        between = {"look_again", "lead_enter", "sleep_seen", "announce", "recheck_head", "recheck_tail"}
        return process.pc in between | {"waitv_sleeper", "waitv_watched", "asleep", "lead_leave"}

    def die(self, world: Queue, process: Worker) -> None:
        process.pc = "stopped"


def small(*without: str) -> Ring:
    return Ring(producers=(2,), consumers=1, kills=1, without=set(without))


RUNS = [
    Run("1 producer of 2, 1 consumer, 2 kills", Ring(producers=(2,), consumers=1, kills=2), quick=True),
    Run(
        "1 producer of 3, 1 consumer, room for 2, 1 kill",
        Ring(producers=(3,), consumers=1, capacity=2, kills=1),
        quick=True,
    ),
    Run("1 producer of 1, 2 consumers, 2 kills", Ring(producers=(1,), consumers=2, kills=2)),
    Run("1 producer of 2, 2 consumers, 2 kills", Ring(producers=(2,), consumers=2, kills=2)),
    Run("2 producers of 1, 1 consumer, 2 kills", Ring(producers=(1, 1), consumers=1, kills=2)),
    Run("a reader beside 1 producer of 2, 1 consumer, 1 kill", Counted(producers=(2,), capacity=2, kills=1)),
    Run("a stopped leader, 1 producer of 1, 2 consumers", Stopped(producers=(1,), consumers=2)),
    Run("a stopped leader, 2 producers of 1, 1 consumer", Stopped(producers=(1, 1), consumers=1)),
    Run("without list_op_pending across the commit", small("pending"), quick=True),
    Run("the leader sleeps on one word", small("waitv"), quick=True),
    Run("no look after announcing oneself", small("recheck"), quick=True),
    Run("the watched word is read last", small("seen first"), quick=True),
    Run("all sleep on one word, without a leader", Ring(producers=(2,), kills=1, without={"leadership"})),
    Run("the count is written after the commit", small("mark first"), quick=True),
    Run("one count in place", small("two marks"), quick=True),
    Run("a record is copied after it was taken", small("copy first"), quick=True),
    Run("a reader who does not look twice", Counted(producers=(2,), capacity=2, without={"same position"}), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
