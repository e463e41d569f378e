"""The queue of core/ring.c without segments: putting, taking, sleeping, shutting; for the models of both.

The robust locks are one step here: taken when free, freed at the owner's death. That they may be taken so is what `lock.py`
shows. Every record has size 1, so a position is the number of records before it; the place of a record in memory is its
position modulo the capacity. A label is a place in the C code; the function it stands in is named at each group.

Safeguards that can be taken out: *pending* (list_op_pending aimed at the sleeper across a commit), *waitv* (the leader also
sleeps on the watched word), *third word* (and on `shut`), *recheck* (he looks once more after he has announced himself), *seen first* (the watched word is read before
that), *leadership* (one sleeper for each side), *mark first* (the count is written before the commit), *two marks*, *copy first*
(a record is copied before it is taken), *cleared word* (a waker clears the sleeper's word: no run needs it, since the leader
sleeps on two words; it spares the next committer a system call).
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.models._cell import LOCKS, NONE, NOW, SIDES, Queue, Worker, valid_mark
from tests.models._engine import Model


class Ring(Model[Queue, Worker]):
    """Producers put all they have, consumers take for ever."""

    producers: tuple[int, ...] = (2,)  # how many items each puts
    consumers = 2
    capacity = 1  # max_items, and the room
    shuts = 0  # what pn_ring_shut writes: 0 it is not called, 1, NOW
    fine = False  # both stores of a mark apart; only a reader without a lock can tell

    def start(self) -> Queue:
        workers = [
            Worker("enter", "put", tuple(range(10 * i, 10 * i + count))) for i, count in enumerate(self.producers)
        ]
        workers += [Worker("enter", "get") for _ in range(self.consumers)]
        return Queue(workers, self.kills, cells=(NONE,) * self.capacity)

    def check(self, world: Queue) -> str:
        w = world
        if w.fault:
            return w.fault
        for name, marks, position in (("put", w.tail_marks, w.tail), ("taken", w.head_marks, w.head)):
            if marks[valid_mark(marks, position)] != (position, position):
                return f"the count of what was {name} is wrong"
        return ""

    def check_end(self, world: Queue) -> str:
        w = world
        alive = {p.side for p in w.processes if p.pc not in {"dead", "done", "stopped"}}
        if w.shut and alive:
            return "the queue is shut, and somebody sleeps"
        if "get" in alive and w.head != w.tail:
            return "an item lies in the queue, and the consumers sleep"
        if "put" in alive and w.tail - w.head < self.capacity:
            return "there is room in the queue, and the producers sleep"
        held = [lock for lock in ("tail_lock", "head_lock") if getattr(w, lock)]
        return f"{held[0]} stays held" if held else ""

    def canonical(self, world: Queue) -> None:
        """Consumers are alike: sort them."""
        old = world.processes
        getters = iter(sorted((p for p in old if p.side == "get"), key=self.own))
        world.processes = [next(getters) if p.side == "get" else p for p in old]
        for name in LOCKS:
            if owner := getattr(world, name):
                setattr(world, name, self.me(world, old[owner - 1]))

    def me(self, w: Queue, p: Worker) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def lock(self, w: Queue, p: Worker, name: str, then: str) -> Iterable[Queue] | None:
        """Take a robust lock, or wait for it: no move."""
        if getattr(w, name):
            return ()
        setattr(w, name, self.me(w, p))
        p.pc = then
        return None

    # attempt

    def at_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        return self.lock(w, p, SIDES[p.side].lock, p.side)

    def at_leave(self, w: Queue, p: Worker) -> None:
        """It is done."""
        setattr(w, SIDES[p.side].lock, 0)
        p.pc = "lead_leave" if p.phase == 2 else "call_end"

    def at_leave_wanting(self, w: Queue, p: Worker) -> None:
        """PN_EMPTY, PN_FULL."""
        setattr(w, SIDES[p.side].lock, 0)
        p.pc = ("look_again", "lead_enter", "sleep_seen")[p.phase]

    def at_leave_shut(self, w: Queue, p: Worker) -> None:
        """PN_SHUT_DOWN."""
        setattr(w, SIDES[p.side].lock, 0)
        p.items, p.over = (), True
        p.pc = "lead_leave" if p.phase == 2 else "call_end"

    # put_locked

    def at_put(self, w: Queue, p: Worker) -> None:
        """The tail stands still under its lock, so that only the load of head matters."""
        if w.shut:
            p.pc = "leave_shut"
        elif w.tail - w.head + 1 > self.capacity:
            p.pc = "leave_wanting"
        else:
            p.pc = "put_write"

    def at_put_write(self, w: Queue, p: Worker) -> None:
        cells = list(w.cells)
        cells[w.tail % self.capacity] = p.items[0]
        w.cells = tuple(cells)
        p.pc = "mark_position"

    # get_locked

    def at_get(self, w: Queue, p: Worker) -> None:
        """`shut` is read before the end: what was put before it was shut is seen."""
        p.other = w.shut
        p.pc = "leave_shut" if w.shut == NOW else "get_end"

    def at_get_end(self, w: Queue, p: Worker) -> None:
        is_shut = p.other != 0
        p.other = 0
        if w.head != w.tail:
            p.pc = "mark_position" if "copy first" in self.without else "get_copy"
        elif "shut first" in self.without:
            p.pc = "get_shut"
        else:
            p.pc = "leave_shut" if is_shut else "leave_wanting"

    def at_get_shut(self, w: Queue, p: Worker) -> None:
        """Only where the order of the two is taken out."""
        p.pc = "leave_shut" if w.shut else "leave_wanting"

    def at_get_copy(self, w: Queue, p: Worker) -> None:
        at = w.head if "copy first" not in self.without else w.head - 1
        p.copy = w.cells[at % self.capacity]
        if "copy first" in self.without:
            self.receive(w, p)
            self.wake_leaders(p, "pending_clear", SIDES[p.side].wakes)
        else:
            p.pc = "mark_position"

    def receive(self, w: Queue, p: Worker) -> None:
        """Compare what was taken with what was put."""
        if len(w.taken) >= len(w.committed) or w.committed[len(w.taken)] != p.copy:
            w.fault = "the record that was taken is not the one that was put"
        w.taken = (*w.taken, p.copy)
        p.copy = NONE

    # write_mark

    def at_mark_position(self, w: Queue, p: Worker) -> None:
        if "mark first" in self.without:
            p.pc = "pending"
            return
        self.write_mark(w, p, position=True)
        if self.fine:
            p.pc = "mark_count"
        else:
            self.at_mark_count(w, p)

    def at_mark_count(self, w: Queue, p: Worker) -> None:
        self.write_mark(w, p, position=False)
        if "mark first" in self.without:
            self.wake_leaders(p, "pending_clear", SIDES[p.side].wakes)
        else:
            p.pc = "pending"

    def write_mark(self, w: Queue, p: Worker, position: bool) -> None:
        side = SIDES[p.side]
        now = getattr(w, side.moves) - ("mark first" in self.without)
        marks = list(getattr(w, side.marks))
        old = valid_mark(getattr(w, side.marks), now)
        new = old if "two marks" in self.without else 1 - old
        marks[new] = (now + 1, marks[new][1]) if position else (marks[new][0], marks[old][1] + 1)
        setattr(w, side.marks, tuple(marks))

    # commit

    def at_pending(self, w: Queue, p: Worker) -> None:
        p.pending = SIDES[p.side].wakes if "pending" not in self.without else ""
        p.pc = "commit"

    def at_commit(self, w: Queue, p: Worker) -> None:
        self.wake_leaders(p, "pending_clear", SIDES[p.side].wakes)
        if p.side == "put":
            w.tail += 1
            w.committed = (*w.committed, p.items[0])
            p.items = p.items[1:]
        elif "copy first" in self.without:
            w.head += 1
            p.pc = "get_copy"
            return
        else:
            w.head += 1
            self.receive(w, p)
        if "mark first" in self.without:
            p.pc = "mark_count"

    # wake_leader

    def wake_leaders(self, p: Worker, then: str, *words: str) -> None:
        """Go and wake who sleeps on these words, and go on at `then`."""
        p.words, p.then = words, then
        p.pc = "look"

    def at_look(self, w: Queue, p: Worker) -> None:
        if getattr(w, p.words[0]):
            p.pc = "clear"
        else:
            self.next_word(p)

    def at_clear(self, w: Queue, p: Worker) -> None:
        setattr(w, p.words[0], "cleared word" in self.without)
        p.pc = "wake"

    def at_wake(self, w: Queue, p: Worker) -> Iterable[Queue]:
        for now, me, _ in self.wake_word(w, p, p.words[0]):
            self.next_word(me)
            yield now

    def next_word(self, p: Worker) -> None:
        p.words = p.words[1:]
        p.pc = "look" if p.words else p.then
        p.then = p.then if p.words else ""

    def wake_word(self, w: Queue, p: Worker, word: str) -> Iterable[tuple[Queue, Worker, bool]]:
        def queued(q: Worker) -> bool:
            if word == "shut":  # the last word of the three
                return q.pc == "asleep" and "third word" not in self.without
            return (
                q.side in SIDES and word == SIDES[q.side].sleeper and q.pc in {"waitv_watched", "waitv_shut", "asleep"}
            )

        return self.wake_one(w, p, queued, wake_up)

    def at_pending_clear(self, w: Queue, p: Worker) -> None:
        p.pending = ""
        p.pc = "leave"

    # wait_side, lead

    def at_look_again(self, w: Queue, p: Worker) -> None:
        """may_go, some times over; its two loads are apart in sleep_once, where it matters."""
        p.phase = int(w.shut != 0 or self.has(w, p.side, w.head))
        p.pc = "enter" if p.phase else "lead_enter"

    def has(self, w: Queue, side: str, head: int) -> bool:
        """Return whether a side finds what it wants, having read head before tail."""
        return head != w.tail if side == "get" else w.tail - head + 1 <= self.capacity

    def at_lead_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        p.phase = 2
        if "leadership" in self.without:
            p.pc = "enter"
            return None
        return self.lock(w, p, SIDES[p.side].lead, "enter")

    def at_lead_leave(self, w: Queue, p: Worker) -> None:
        if "leadership" not in self.without:
            setattr(w, SIDES[p.side].lead, 0)
        p.pc = "call_end"

    def at_call_end(self, w: Queue, p: Worker) -> None:
        p.phase = p.seen = p.other = 0
        p.pc = "done" if p.over or (p.side == "put" and not p.items) else "enter"

    # sleep_once

    def at_sleep_seen(self, w: Queue, p: Worker) -> None:
        p.seen = getattr(w, SIDES[p.side].watched)
        p.pc = "announce"

    def at_announce(self, w: Queue, p: Worker) -> None:
        setattr(w, SIDES[p.side].sleeper, True)
        p.pc = "recheck_head" if "recheck" not in self.without else "waitv_sleeper"

    def at_recheck_head(self, w: Queue, p: Worker) -> None:
        p.other = w.head
        p.pc = "enter" if w.shut else "recheck_tail"

    def at_recheck_tail(self, w: Queue, p: Worker) -> None:
        found = self.has(w, p.side, p.other)
        p.other = 0
        p.pc = "enter" if found else "waitv_sleeper"
        if not found and "seen first" in self.without:
            p.seen = getattr(w, SIDES[p.side].watched)

    def at_waitv_sleeper(self, w: Queue, p: Worker) -> None:
        """futex_waitv queues at one word after the other; a wake at one of them counts at once."""
        if getattr(w, SIDES[p.side].sleeper):
            p.pc = "waitv_watched"
        else:
            wake_up(p)

    def at_waitv_watched(self, w: Queue, p: Worker) -> None:
        if getattr(w, SIDES[p.side].watched) == p.seen or "waitv" in self.without:
            p.pc = "waitv_shut" if self.shuts else "asleep"
        else:
            wake_up(p)

    def at_waitv_shut(self, w: Queue, p: Worker) -> None:
        if w.shut and "third word" not in self.without:
            wake_up(p)
        else:
            p.pc = "asleep"

    def end_slice(self, world: Queue, process: Worker) -> bool:
        """PN_INTERRUPTED: the caller has a last look and calls again. Followers wait in slices as well."""
        p = process
        if p.pc == "asleep":
            setattr(world, SIDES[p.side].lead, 0)
        elif p.pc != "lead_enter":
            return False
        p.phase = p.seen = 0
        p.pc = "enter"
        return True

    # the kernel

    def die(self, world: Queue, process: Worker) -> None:
        w, p = world, process
        for name in LOCKS:
            if getattr(w, name) == self.me(w, p):
                setattr(w, name, 0)
        p.items = p.words = ()
        p.then = ""
        p.phase = p.seen = p.other = 0
        p.copy = NONE
        p.pc = "exit_wake" if p.pending else "dead"

    def at_exit_wake(self, w: Queue, p: Worker) -> Iterable[Queue]:
        """handle_futex_death: a pending word without an owner."""
        for now, me, _ in self.wake_word(w, p, p.pending):
            me.pending = ""
            me.pc = "dead"
            yield now


def wake_up(p: Worker) -> None:
    """Let futex_waitv return."""
    p.seen = 0
    p.pc = "enter"
