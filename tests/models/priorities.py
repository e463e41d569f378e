"""The queue of core/priority*.c that gives the smallest first: putting, taking, the repair of its index, sleeping, shutting.

Putters and takers, any of them killed anywhere; a sweeper, who is not killed, frees entries that nobody holds or keeps. An entry is
(alive, kept, named, sequence, holders), and its number says who put it; `index` is the heap, one store a step, with whatever a death left
in it. Locks are taken as sound here, `lock.py` shows that: who wants one waits until it is free, and a dead owner frees it. `truth` is a ghost:
what must be in the queue, in the order of the commits; it changes in the two steps that commit and in no other. That an index is replaced
by a larger one goes as in `dictionary.py`, and is not here.

Held against: an item taken that is not in the queue, or is not the smallest, equal ones in the order of their puts; whenever the lock is free
and nobody died in a change, entries and index that say another thing than `truth`; an entry of the queue that is freed; one
that is left over; who sleeps though there is an item, there is room, or it was shut.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.models._engine import Model, Process, Run, World, main

NONE = -1
NEVER = -1  # taking_number of a new queue: UINT64_MAX


class Entry(NamedTuple):
    """An object of its own; its key never changes."""

    alive: bool = False
    kept: bool = False
    named: bool = False  # it names the queue
    sequence: int = 0
    holders: frozenset[int] = frozenset()


@dataclass(slots=True)
class Actor(Process):
    """role: put, get, shut, sweep; items: entries that it is still to put; wants: items that it is still to take."""

    role: str
    items: tuple[int, ...] = ()
    wants: int = 0
    entry: int = NONE
    at: int = 0
    leads: bool = False
    waits: bool = False  # it came in vain
    seen: int = 0
    pending: str = ""


@dataclass(slots=True)
class Queue(World[Actor]):
    """The cell, the entries, the domain's lock. Owners are indices plus 1."""

    lock: int = 0
    domain: int = 0
    leaders: tuple[int, int] = (0, 0)  # lead_get, lead_put
    marks: tuple[bool, bool] = (False, False)  # not_empty, not_full
    shut: bool = False
    changing: bool = False
    puts: int = 0
    takes: int = 0
    taking_number: int = NEVER
    taking_sequence: int = 0
    index: tuple[int, ...] = ()
    entries: tuple[Entry, ...] = ()
    truth: tuple[int, ...] = ()


GET, PUT = 0, 1


def put_in(words: tuple[int, ...], at: int, word: int) -> tuple[int, ...]:
    """Store a word; places that were never written hold entry 0."""
    words += (0,) * (at + 1 - len(words))
    return (*words[:at], word, *words[at + 1 :])


class Priority(Model[Queue, Actor]):
    """Safeguards: *repair*, *sort first*, *number first*, *sequence*, *was taken*, *unkept late*, *changing first*, *pending*, *watched*, *leader*."""

    puts: tuple[tuple[int, ...], ...] = ()  # the keys that each putter puts
    gets: tuple[int, ...] = ()
    bound = 0
    closers = 0

    def start(self) -> Queue:
        self.keys = tuple(key for keys in self.puts for key in keys)
        numbers = iter(range(len(self.keys)))
        putters = [Actor("begin", "put", items=tuple(next(numbers) for _ in keys)) for keys in self.puts]
        takers = [Actor("begin", "get", wants=count) for count in self.gets]
        closers = [Actor("enter", "shut") for _ in range(self.closers)]
        return Queue(
            [*putters, *takers, *closers, Actor("sweep", "sweep")], self.kills, entries=(Entry(),) * len(self.keys)
        )

    # helpers

    def me(self, w: Queue, p: Actor) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def side(self, p: Actor) -> int:
        return GET if p.role == "get" else PUT

    def edit(self, w: Queue, at: int, **words: Any) -> None:
        w.entries = (*w.entries[:at], w.entries[at]._replace(**words), *w.entries[at + 1 :])

    def order(self, w: Queue, entry: int) -> tuple[int, int]:
        return self.keys[entry], w.entries[entry].sequence

    def is_full(self, w: Queue) -> bool:
        return self.bound != 0 and w.puts - w.takes >= self.bound

    def may_go(self, w: Queue, p: Actor) -> bool:
        return w.shut or (not self.is_full(w) if p.role == "put" else w.puts != w.takes)

    def is_sorted(self, w: Queue) -> bool:
        heap = w.index[: w.puts - w.takes]
        return all(self.order(w, heap[(i - 1) // 2]) <= self.order(w, heap[i]) for i in range(1, len(heap)))

    def free_if_unused(self, w: Queue, at: int) -> None:
        entry = w.entries[at]
        if entry.alive and not entry.kept and not entry.holders:
            self.edit(w, at, alive=False, named=False)
            if at in w.truth:
                w.fault = "an entry of the queue is freed"

    # making an entry, taking the lock

    def at_begin(self, w: Queue, p: Actor) -> Iterable[Queue]:
        if p.role == "put" and p.items:
            if w.domain:
                return ()
            self.edit(w, p.items[0], alive=True, holders=frozenset({self.me(w, p)}))
            p.entry, p.pc = p.items[0], "enter"
        else:
            p.pc = "enter" if p.wants else "done"
        return (w,)

    def at_enter(self, w: Queue, p: Actor) -> Iterable[Queue]:
        if w.lock:
            return ()
        w.lock = self.me(w, p)
        if w.changing and "repair" not in self.without:
            p.pc = "step_back"
        else:
            p.pc = {"put": "look_put", "get": "look_get", "shut": "shut_pending"}[p.role]
        return (w,)

    # pn_index_rebuild

    def at_step_back(self, w: Queue, p: Actor) -> None:
        w.lock = 0
        p.pc = "repair_domain"

    def at_repair_domain(self, w: Queue, p: Actor) -> Iterable[Queue]:
        if w.domain:
            return ()
        w.domain = self.me(w, p)
        p.pc = "repair_lock"
        return (w,)

    def at_repair_lock(self, w: Queue, p: Actor) -> Iterable[Queue]:
        if w.lock:
            return ()
        w.lock = self.me(w, p)
        p.at = p.seen = 0
        p.pc = "sort_out" if w.changing else "repaired"
        if w.changing and "sort first" in self.without:
            w.changing = False
        return (w,)

    def at_sort_out(self, w: Queue, p: Actor) -> None:
        """One entry after the other; `seen` counts those that are in it."""
        if p.at == len(w.entries):
            p.pc = "sorted"
            return
        entry, at = w.entries[p.at], p.at
        p.at += 1
        if not (entry.alive and entry.named and entry.kept):
            return
        was_taken = (
            w.taking_number == w.takes and w.taking_sequence == entry.sequence and "was taken" not in self.without
        )
        if was_taken or (entry.sequence >= w.puts and "sequence" not in self.without):
            self.edit(w, at, kept=False)
            return
        heap = sorted([*w.index[: p.seen], at], key=lambda number: self.order(w, number))
        w.index = (*heap, *w.index[p.seen + 1 :])
        p.seen += 1

    def at_sorted(self, w: Queue, p: Actor) -> None:
        w.changing = False
        p.pc = "repaired"

    def at_repaired(self, w: Queue, p: Actor) -> None:
        w.lock = 0
        p.at = p.seen = 0
        p.pc = "repair_left"

    def at_repair_left(self, w: Queue, p: Actor) -> None:
        w.domain = 0
        p.pc = "enter"

    # put

    def at_look_put(self, w: Queue, p: Actor) -> None:
        p.waits = not w.shut and self.is_full(w)
        p.pc = "unlock" if p.waits or w.shut else "changing"

    def at_changing(self, w: Queue, p: Actor) -> None:
        if "changing first" not in self.without:
            w.changing = True
        p.pc = "number" if p.role == "get" else "sequence"

    def at_sequence(self, w: Queue, p: Actor) -> None:
        self.edit(w, p.entry, sequence=w.puts)
        p.pc = "name"

    def at_name(self, w: Queue, p: Actor) -> None:
        self.edit(w, p.entry, named=True)
        p.pc = "keep"

    def at_keep(self, w: Queue, p: Actor) -> None:
        self.edit(w, p.entry, kept=True)
        p.at = w.puts - w.takes
        p.pc = "rise"

    def at_rise(self, w: Queue, p: Actor) -> None:
        above = (p.at - 1) // 2
        if p.at > 0 and self.order(w, p.entry) < self.order(w, w.index[above]):
            w.index = put_in(w.index, p.at, w.index[above])
            p.at = above
        else:
            w.index = put_in(w.index, p.at, p.entry)
            p.at = 0
            p.pc = "pending"

    def at_pending(self, w: Queue, p: Actor) -> None:
        p.pending = "" if "pending" in self.without else "put" if p.role == "get" else "get"
        p.pc = "commit"

    def at_commit(self, w: Queue, p: Actor) -> None:
        if p.role == "put":
            w.puts += 1
            w.truth = (*w.truth, p.entry)
        else:
            if p.entry not in w.truth:
                w.fault = "an item is taken that is not in the queue"
            elif p.entry != min(w.truth, key=lambda number: (self.keys[number], w.truth.index(number))):
                w.fault = "an item is taken that is not the first"
            w.takes += 1
            w.truth = tuple(number for number in w.truth if number != p.entry)
        p.pc = "wake"

    def at_wake(self, w: Queue, p: Actor) -> None:
        other = GET if p.role == "put" else PUT
        p.pc = "wake_futex" if w.marks[other] else "clear"
        w.marks = (w.marks[GET] and other != GET, w.marks[PUT] and other != PUT)

    def at_wake_futex(self, w: Queue, p: Actor) -> Iterable[Queue]:
        other = "get" if p.role == "put" else "put"
        for now, me, _ in self.wake_one(w, p, lambda q: q.pc == "asleep" and q.role == other, self.wake_up):
            me.pc = "clear"
            yield now

    def wake_up(self, p: Actor) -> None:
        p.pc, p.seen = "enter", 0

    def at_clear(self, w: Queue, p: Actor) -> None:
        p.pending = ""
        p.pc = "changed" if p.role == "put" else "remove" if "unkept late" in self.without else "unkeep"

    def at_changed(self, w: Queue, p: Actor) -> None:
        w.changing = False
        p.pc = "unlock"

    def at_unlock(self, w: Queue, p: Actor) -> None:
        w.lock = 0
        p.pc = "mark" if p.waits and p.leads else "follow" if p.waits else "drop"

    def at_drop(self, w: Queue, p: Actor) -> None:
        """Of what was put, or taken; or, where it was shut, was not."""
        if p.entry != NONE:
            self.edit(w, p.entry, holders=w.entries[p.entry].holders - {self.me(w, p)})
            self.free_if_unused(w, p.entry)
        p.pc = "unlead" if p.leads else "next"

    def at_next(self, w: Queue, p: Actor) -> None:
        p.items, p.wants, p.entry = p.items[1:], max(0, p.wants - 1), NONE
        p.pc = "begin"

    # get

    def at_look_get(self, w: Queue, p: Actor) -> None:
        if w.puts == w.takes:
            p.waits = not w.shut
            p.wants = p.wants if p.waits else 1
            p.pc = "unlock"
            return
        p.waits = False
        p.entry = w.index[0]
        self.edit(w, p.entry, holders=w.entries[p.entry].holders | {self.me(w, p)})
        if not w.entries[p.entry].alive:
            w.fault = "the index names what was freed"
        p.pc = "changing"

    def at_number(self, w: Queue, p: Actor) -> None:
        if "number first" in self.without:
            w.taking_sequence = w.entries[p.entry].sequence
        else:
            w.taking_number = w.takes + 1
        p.pc = "number_again"

    def at_number_again(self, w: Queue, p: Actor) -> None:
        if "number first" in self.without:
            w.taking_number = w.takes + 1
        else:
            w.taking_sequence = w.entries[p.entry].sequence
        p.pc = "unkeep" if "unkept late" in self.without else "pending"

    def at_unkeep(self, w: Queue, p: Actor) -> None:
        self.edit(w, p.entry, kept=False)
        p.pc = "pending" if "unkept late" in self.without else "remove"

    def at_remove(self, w: Queue, p: Actor) -> None:
        """One store of pn_index_remove_first."""
        left = w.puts - w.takes  # takes has grown
        last, child = w.index[left], 2 * p.at + 1
        if child + 1 < left and self.order(w, w.index[child + 1]) < self.order(w, w.index[child]):
            child += 1
        if child < left and self.order(w, w.index[child]) < self.order(w, last):
            w.index = put_in(w.index, p.at, w.index[child])
            p.at = child
        else:
            w.index = put_in(w.index, p.at, last)
            p.at = 0
            p.pc = "changed"

    # sleeping

    def at_follow(self, w: Queue, p: Actor) -> Iterable[Queue]:
        side = self.side(p)
        if w.leaders[side] and "leader" not in self.without:
            return ()
        w.leaders = (self.me(w, p), w.leaders[PUT]) if side == GET else (w.leaders[GET], self.me(w, p))
        p.leads, p.pc = True, "enter"
        return (w,)

    def at_mark(self, w: Queue, p: Actor) -> None:
        """What it watches is read first, then it marks: two loads and stores of its own, which nobody tells apart."""
        p.seen = w.puts if p.role == "get" else w.takes
        p.pc = "mark_set"

    def at_mark_set(self, w: Queue, p: Actor) -> None:
        w.marks = (w.marks[GET] or p.role == "get", w.marks[PUT] or p.role == "put")
        p.pc = "look_again"

    def at_look_again(self, w: Queue, p: Actor) -> None:
        p.pc = "enter" if self.may_go(w, p) else "futex"
        p.seen = p.seen if p.pc == "futex" else 0

    def at_futex(self, w: Queue, p: Actor) -> None:
        moved = p.seen != (w.puts if p.role == "get" else w.takes) and "watched" not in self.without
        if w.marks[self.side(p)] and not moved and not w.shut:
            p.pc = "asleep"
        else:
            p.pc = "enter"
        p.seen = 0

    def at_unlead(self, w: Queue, p: Actor) -> None:
        if w.shut:
            self.wake_all(w)
        side = self.side(p)
        w.leaders = (0, w.leaders[PUT]) if side == GET else (w.leaders[GET], 0)
        p.leads, p.pc = False, "next"

    def wake_all(self, w: Queue) -> None:
        for q in w.processes:
            if q.pc == "asleep":
                self.wake_up(q)

    # shutting

    def at_shut_pending(self, w: Queue, p: Actor) -> None:
        p.pending, p.pc = "" if "pending" in self.without else "shut", "shut"

    def at_shut(self, w: Queue, p: Actor) -> None:
        w.shut, p.pc = True, "shut_wake"

    def at_shut_wake(self, w: Queue, p: Actor) -> None:
        self.wake_all(w)
        p.pc = "shut_unlock"

    def at_shut_unlock(self, w: Queue, p: Actor) -> None:
        p.pending, w.lock, p.pc = "", 0, "done"

    # the sweep

    def at_sweep(self, w: Queue, p: Actor) -> Iterable[Queue]:
        dead = frozenset(i for i, q in enumerate(w.processes, 1) if q.pc == "dead")
        due = [i for i, e in enumerate(w.entries) if e.alive and (e.holders & dead or not (e.kept or e.holders))]
        if not due or w.domain:
            return ()
        self.edit(w, due[0], holders=w.entries[due[0]].holders - dead)
        self.free_if_unused(w, due[0])
        return (w,)

    # the kernel

    def may_die(self, process: Actor) -> bool:
        return process.role != "sweep" and super().may_die(process)

    def die(self, world: Queue, process: Actor) -> None:
        w, p = world, process
        here = self.me(w, p)
        w.lock = 0 if w.lock == here else w.lock
        w.domain = 0 if w.domain == here else w.domain
        w.leaders = (w.leaders[GET] * (w.leaders[GET] != here), w.leaders[PUT] * (w.leaders[PUT] != here))
        p.pc = "exit_wake" if p.pending else "dead"
        p.items, p.wants, p.entry, p.at, p.leads, p.waits, p.seen = (), 0, NONE, 0, False, False, 0

    def at_exit_wake(self, w: Queue, p: Actor) -> Iterable[Queue]:
        """One of those that sleep on the word; on `shut` those of both sides do."""
        word = p.pending
        p.pending = ""
        for now, me, _ in self.wake_one(
            w, p, lambda q: q.pc == "asleep" and (word == "shut" or q.role == word), self.wake_up
        ):
            me.pc = "dead"
            yield now

    # what must hold

    def check(self, world: Queue) -> str:
        w = world
        if w.fault or w.lock or w.changing:
            return w.fault
        there = {i for i, e in enumerate(w.entries) if e.alive and e.kept and e.named}
        if there != set(w.truth):
            return f"the entries say {sorted(there)}, and it must be {sorted(w.truth)}"
        if sorted(w.index[: w.puts - w.takes]) != sorted(w.truth):
            return f"the index names {w.index[: w.puts - w.takes]}, and it must be {w.truth}"
        return "" if self.is_sorted(w) else "the index is out of order"

    def check_end(self, world: Queue) -> str:
        w = world
        for p in w.processes:
            waits = p.pc == "asleep" or (p.pc == "follow" and w.leaders[self.side(p)])
            if p.pc not in {"done", "dead", "sweep"} and (not waits or self.may_go(w, p)):
                return f"nobody moves, and one waits for ever: {p.role} at {p.pc}"
        alive = {i for i, e in enumerate(w.entries) if e.alive and not e.holders}
        if not w.changing and alive != set(w.truth) - {i for i, e in enumerate(w.entries) if e.holders}:
            return "an entry is left over"
        return ""


TWO = {"puts": ((2,), (1,)), "gets": (2,)}
MORE = {"puts": ((2, 1),), "gets": (1, 1)}
EQUAL = {"puts": ((1,), (1,)), "gets": (2,)}
NARROW = {"puts": ((2,), (3,)), "gets": (2,), "bound": 1}
ENDS = {"puts": ((1,),), "gets": (1,), "closers": 1}

RUNS = [
    Run("two put, one takes two, 2 kills", Priority(**TWO, kills=2)),
    Run("one puts two, two take, 1 kill", Priority(**MORE, kills=1)),
    Run("one puts, two take, 1 kill", Priority(puts=((1,),), gets=(1, 1), kills=1), quick=True),
    Run("equal keys, 1 kill", Priority(**EQUAL, kills=1)),
    Run("room for one, 1 kill", Priority(**NARROW, kills=1)),
    Run("it is shut, 2 kills", Priority(**ENDS, kills=2), quick=True),
    Run("without repair", Priority(**TWO, kills=1, without={"repair"}), quick=True),
    Run("repaired is said before it is", Priority(**MORE, kills=2, without={"sort first"}), quick=True),
    Run(
        "the sequence taken is told before the number",
        Priority(puts=((1, 2),), gets=(2, 1), kills=1, without={"number first"}),
    ),
    Run("what was not committed counts", Priority(**TWO, kills=1, without={"sequence"}), quick=True),
    Run("what was taken counts", Priority(**TWO, kills=1, without={"was taken"})),
    Run("given up before it is taken", Priority(**ENDS, kills=1, without={"unkept late"}), quick=True),
    Run("a change is not announced", Priority(**TWO, kills=1, without={"changing first"}), quick=True),
    Run("without the kernel's wake", Priority(**TWO, kills=1, without={"pending"})),
    Run("the counters are not watched", Priority(**TWO, kills=1, without={"watched"})),
    Run("without a leader", Priority(**MORE, kills=1, without={"leader"})),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
