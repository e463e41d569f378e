"""The life of a shared object, core/object.c: holder bits, records that name it, collecting, the sweep of the dead.

One object. A holder sends it (a record in a ring names it) and drops it; a taker takes the record and may send it on. Each process has a
bit, and a private count of references. Robust locks and the process's mutex are one step, as in `_queue.py`. The bits stand in two
words, which has_holder reads one after the other.

Here every look walks the ring, as the C code does for a marked object only: the sums `puts` and `takes`, which spare that, are in `buffers.py`, of
processes with one thread.

Held against: the object freed while somebody holds it, has just taken it, or a record names it; and left over when nobody does.

Safeguards that can be taken out: *walk* (collect looks at the records), *moves* (and then at the count
of bits that were set), *bit before moves*, *bit first* (a taker sets its bit before it takes), *counted* (it counts a reference then, so
that another thread cannot clear the bit), *sweep collects*.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.models._engine import Model, Process, Run, World, main


@dataclass(slots=True)
class Thread(Process):
    """home: the process it is a thread of."""

    home: int
    hops: int = 0  # how often it takes
    drops: int = 0  # references to give up
    in_flight: bool = False  # it has taken the record and does not count a reference yet
    moves: int = 0
    look: int = 0
    dead: int = -1  # the home that a janitor sweeps


@dataclass(slots=True)
class Shared(World[Thread]):
    """The object, the ring, and the private counts."""

    used: bool = True
    records: int = 0
    bits: tuple[bool, ...] = ()
    counts: tuple[int, ...] = ()
    moves: int = 0
    domain: int = -1
    head_lock: int = -1
    mutexes: tuple[int, ...] = ()
    swept: tuple[bool, ...] = ()


class Holders(Model[Shared, Thread]):
    """Threads are given as (home, first label, hops); `held` are the counts at first."""

    threads: tuple[tuple[int, str, int], ...] = ()
    held: tuple[int, ...] = ()

    def start(self) -> Shared:
        homes = len(self.held)
        threads = [Thread(pc, home, hops, drops=1) for home, pc, hops in self.threads]
        bits = tuple(count > 0 for count in self.held)
        return Shared(threads, self.kills, bits=bits, counts=self.held, mutexes=(-1,) * homes, swept=(False,) * homes)

    def check_end(self, world: Shared) -> str:
        w = world
        for home in range(len(w.swept)):
            if not w.swept[home] and all(p.pc == "dead" for p in w.processes if p.home == home):
                janitors = [p for p in w.processes if p.pc == "watch"]
                return "a dead process is not swept" if janitors else ""
        if w.used and not w.records and not any(w.counts):
            return "nobody has the object, and it is not freed"
        if any(p.pc not in {"take_enter", "watch", "done", "dead"} for p in w.processes):
            return "nobody moves"
        return ""

    def me(self, w: Shared, p: Thread) -> int:
        return next(i for i, other in enumerate(w.processes) if other is p)

    def lock(self, w: Shared, p: Thread, name: str, then: str) -> Iterable[Shared] | None:
        if getattr(w, name) != -1:
            return ()
        setattr(w, name, self.me(w, p))
        p.pc = then
        return None

    # pn_ring_put of a record that names the object

    def at_send(self, w: Shared, p: Thread) -> None:
        w.records += 1
        p.pc = "count_down"

    # get_locked, answer_for

    def at_take_enter(self, w: Shared, p: Thread) -> Iterable[Shared] | None:
        if not w.records or not p.hops:
            return ()
        return self.lock(w, p, "head_lock", "take" if "bit first" in self.without else "count_up")

    def at_count_up(self, w: Shared, p: Thread) -> Iterable[Shared] | None:
        """The first reference sets the bit, under the process's mutex."""
        if w.mutexes[p.home] != -1:
            return ()
        if not w.records and not p.in_flight:
            w.head_lock, p.pc = -1, "take_enter"
            return None
        counted = "counted" not in self.without or p.in_flight
        if counted:
            w.counts = put(w.counts, p.home, w.counts[p.home] + 1)
        if not counted or w.counts[p.home] == 1:
            w.mutexes = put(w.mutexes, p.home, self.me(w, p))
            p.pc = "set_bit"
        else:
            self.counted_up(p)
        return None

    def at_set_bit(self, w: Shared, p: Thread) -> None:
        """The bit, then `moves`: who has read the new `moves` sees the bit, unless it was given up again."""
        self.set_bit(w, p, bit="bit before moves" not in self.without)
        p.pc = "set_moves"

    def at_set_moves(self, w: Shared, p: Thread) -> None:
        self.set_bit(w, p, bit="bit before moves" in self.without)
        w.mutexes = put(w.mutexes, p.home, -1)
        self.counted_up(p)

    def set_bit(self, w: Shared, p: Thread, bit: bool) -> None:
        if bit:
            w.bits = put(w.bits, p.home, True)
        else:
            w.moves += 1

    def counted_up(self, p: Thread) -> None:
        p.pc = "attach" if p.in_flight else "take"
        p.in_flight = False

    def at_take(self, w: Shared, p: Thread) -> None:
        if not w.records:
            w.head_lock, p.pc = -1, "take_enter"
            return
        w.records -= 1
        p.hops -= 1
        p.in_flight = bool({"counted", "bit first"} & self.without)
        p.pc = "take_leave"

    def at_take_leave(self, w: Shared, p: Thread) -> None:
        w.head_lock = -1
        p.pc = "count_up" if p.in_flight else "attach"

    # pn_decode, pn_object_attach: the handle must not be stale

    def at_attach(self, w: Shared, p: Thread) -> None:
        """One step, under the domain's lock or not: the object may not go away from here on."""
        if not w.used:
            w.fault = "the object was freed while it was on its way"
        p.drops = 1
        p.pc = "send" if p.hops else "count_down"

    # pn_object_drop: count_down, pn_object_collect

    def at_count_down(self, w: Shared, p: Thread) -> Iterable[Shared] | None:
        if w.mutexes[p.home] != -1:
            return ()
        p.drops = 0
        w.counts = put(w.counts, p.home, w.counts[p.home] - 1)
        p.pc = "drop_enter" if w.counts[p.home] == 0 else "dropped"
        if w.counts[p.home] == 0:
            w.bits = put(w.bits, p.home, False)
        return None

    def at_dropped(self, w: Shared, p: Thread) -> None:
        p.pc = "take_enter" if p.hops else "done"

    def at_drop_enter(self, w: Shared, p: Thread) -> Iterable[Shared] | None:
        return self.lock(w, p, "domain", "collect")

    def at_collect(self, w: Shared, p: Thread) -> None:
        p.moves, p.look = w.moves, 0
        p.pc = "holders" if w.used else "collected"

    def at_holders(self, w: Shared, p: Thread) -> None:
        """has_holder, one word: those of even homes, then those of odd ones."""
        held = any(w.bits[p.look :: 2])
        p.look += 1
        if held or p.look == 2:
            p.pc = "collected" if held else "walk"

    def at_walk(self, w: Shared, p: Thread) -> Iterable[Shared] | None:
        """pn_ring_any_names_object holds both locks of the ring."""
        if w.head_lock != -1:
            return ()
        p.pc = "collected" if w.records and "walk" not in self.without else "moves"
        return None

    def at_moves(self, w: Shared, p: Thread) -> None:
        p.pc = "free" if w.moves == p.moves or "moves" in self.without else "collected"

    def at_free(self, w: Shared, p: Thread) -> None:
        if any(w.counts) or w.records or any(q.in_flight for q in w.processes):
            w.fault = "the object is freed, and somebody has it"
        w.used = False
        p.pc = "collected"

    def at_collected(self, w: Shared, p: Thread) -> None:
        w.domain = -1
        p.moves = p.look = 0
        if p.dead != -1:
            w.swept = put(w.swept, p.dead, True)
            p.dead = -1
            p.pc = "watch"
        else:
            p.pc = "dropped"

    # sweep.c

    def at_watch(self, w: Shared, p: Thread) -> Iterable[Shared] | None:
        for home, swept in enumerate(w.swept):
            if not swept and w.domain == -1 and all(q.pc == "dead" for q in w.processes if q.home == home):
                p.dead = home
                return self.lock(w, p, "domain", "sweep")
        return ()

    def at_sweep(self, w: Shared, p: Thread) -> None:
        w.bits = put(w.bits, p.dead, False)
        p.pc = "collect" if "sweep collects" not in self.without else "collected"

    # the kernel: a process dies with all its threads

    def die(self, world: Shared, process: Thread) -> None:
        w, home = world, process.home
        for q in w.processes:
            if q.home != home:
                continue
            for name in ("domain", "head_lock"):
                if getattr(w, name) == self.me(w, q):
                    setattr(w, name, -1)
            q.pc, q.dead, q.in_flight = "dead", -1, False
            q.hops = q.drops = q.moves = q.look = 0
        w.counts = put(w.counts, home, 0)
        w.mutexes = put(w.mutexes, home, -1)


def put(values: tuple[Any, ...], at: int, value: object) -> tuple[Any, ...]:
    """Return the tuple with one place changed."""
    return (*values[:at], value, *values[at + 1 :])


# Two who pass it to each other, one who only drops, one who sweeps.
PASSED_ON = ((0, "send", 1), (1, "take_enter", 2), (2, "count_down", 0), (3, "watch", 0))
# A thread takes it while another of its process drops the last reference.
THREADS = ((0, "send", 0), (1, "take_enter", 1), (1, "count_down", 0), (2, "watch", 0))


def passed_on(*without: str, kills: int = 1) -> Holders:
    return Holders(threads=PASSED_ON, held=(1, 0, 1, 0), kills=kills, without=set(without))


def threads(*without: str, kills: int = 1) -> Holders:
    return Holders(threads=THREADS, held=(1, 1, 0), kills=kills, without=set(without))


RUNS = [
    Run("passed on, 1 kill", passed_on(), quick=True),
    Run("passed on, 2 kills", passed_on(kills=2)),
    Run("two threads, 1 kill", threads(), quick=True),
    Run("two threads, 2 kills", threads(kills=2), quick=True),
    Run("collected without a look at the records", passed_on("walk"), quick=True),
    Run("no look at `moves`", passed_on("moves"), quick=True),
    Run("`moves` grows before the bit is set", passed_on("bit before moves"), quick=True),
    Run("the bit is set after the take", passed_on("bit first"), quick=True),
    Run("the bit of a taker has no count", threads("counted"), quick=True),
    Run("the sweep does not collect", passed_on("sweep collects"), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
