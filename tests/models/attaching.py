"""A second program uses what a first one has: core/slots.c, core/sweep.c, core/object.c, src/procession/_process/attach.py; how it finds it, `finding.py`.

A visitor takes a line of the table, finds an object by its name and holds it, takes its lock, and in the end sweeps its own line; it reserves a line
for its child, too. The shop frees the object and makes another one in its cell. `hours` is how often somebody stands
still for so long that a line which nobody has claimed is given up. Sweepers come after the dead, the last one is not killed; the guardian ends children
whose parents are gone.

Reserved and claimed are two steps here, each under the lock, as for a child; pn_slot_take, which does both under one hold of it, is less. A lock
of the domain is robust, so a death leaves it free; what that costs is in `lock.py`.

Held against: two who have one line, a living one whose line is swept or given to another, an object that is
freed while somebody has it, or taken for the one of its name that was there before; the lock or the bit of a dead one that stays; another program's process that the
guardian ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Model, Process, Run, World, main

NONE = -1


@dataclass(slots=True)
class Line:
    """of: the process whose pid stands there."""

    state: str = "free"
    generation: int = 0
    of: int = NONE
    is_visitor: bool = False
    parent: tuple[int, int] = (NONE, 0)
    late: bool = False  # reserved so long ago that it is given up


@dataclass(slots=True)
class Guest(Process):
    """role: shop, visitor, child, sweeper, last, guardian, time. line, generation: its own; then: what the lock is taken for."""

    role: str
    line: int = NONE
    generation: int = 0
    visits: int = 0
    then: str = ""
    handle: int = 0  # the generation of the object that it has looked up
    has: int = 0  # of the one that it holds
    at: int = 0
    dead: tuple[int, ...] = ()  # the lines that looked dead
    rows: tuple[tuple[int, bool, tuple[int, int]], ...] = ()  # seen by the guardian: of, is_visitor, parent
    alive: frozenset[tuple[int, int]] = frozenset()
    given: tuple[int, int] = (NONE, 0)  # the line that was reserved for it


LineTuple = tuple[str, int, int, bool, tuple[int, int], bool]


@dataclass(slots=True)
class Shop(World[Guest]):
    """The table, and the object: `there` or freed, its generation, its bits, its lock."""

    lines: tuple[LineTuple, ...] = ()
    domain: int = NONE  # who has the lock of the domain
    there: bool = True
    generation: int = 1
    bits: frozenset[int] = frozenset()
    lock: int = NONE  # a line
    uncollected: bool = False  # somebody has swept, and not looked for what nobody has any more
    hours: int = 0


class Visiting(Model[Shop, Guest]):
    """Safeguards.

    *claimed under the lock*, *mark*, *mark first*, *looked at again*, *generation*, *held under the lock*, *buried first*, *sweep collects*,
    *uncollected*.
    """

    roles: tuple[str, ...] = ("shop", "visitor", "sweeper", "last")
    lines = 3
    visits = 1
    hours = 0

    def start(self) -> Shop:
        guests = []
        for role in self.roles:
            first = {
                "shop": "wish_drop",
                "visitor": "wish_reserve",
                "child": "begin",
                "guardian": "read_row",
                "time": "strike",
            }
            guests.append(Guest(first.get(role, "watch"), role, visits=self.visits if role == "visitor" else 0))
        lines = [Line() for _ in range(self.lines)]
        bits = set()
        if "shop" in self.roles:
            at = self.roles.index("shop")
            lines[0] = Line("live", 1, at)
            guests[at].line, guests[at].generation, guests[at].has = 0, 1, 1
            bits.add(0)
        return Shop(
            guests,
            self.kills,
            lines=tuple(map(self.packed, lines)),
            there=bool(bits),
            bits=frozenset(bits),
            hours=self.hours,
        )

    # -- helpers

    @staticmethod
    def packed(line: Line) -> LineTuple:
        return line.state, line.generation, line.of, line.is_visitor, line.parent, line.late

    def line(self, w: Shop, at: int) -> Line:
        return Line(*w.lines[at])

    def write(self, w: Shop, at: int, line: Line) -> None:
        w.lines = (*w.lines[:at], self.packed(line), *w.lines[at + 1 :])

    def change(self, w: Shop, at: int, **words: object) -> None:
        line = self.line(w, at)
        for name, word in words.items():
            setattr(line, name, word)
        self.write(w, at, line)

    def me(self, w: Shop, p: Guest) -> int:
        return next(i for i, other in enumerate(w.processes) if other is p)

    def is_alive(self, w: Shop, at: int) -> bool:
        """pn_slot_alive."""
        line = self.line(w, at)
        if line.state in {"free", "dead"}:
            return False
        if line.of == NONE:
            # Where nobody is left who could begin, time passes.
            late = line.late or not any(p.given == (at, line.generation) for p in w.processes)
            has_parent = line.parent[0] != NONE and self.line(w, line.parent[0]).generation == line.parent[1]
            return not late or (has_parent and self.is_alive(w, line.parent[0]))
        return w.processes[line.of].pc != "dead"

    def enter(self, w: Shop, p: Guest, then: str) -> Iterable[Shop] | None:
        if w.domain != NONE:
            return ()
        w.domain, p.pc = self.me(w, p), then
        return None

    def leave(self, w: Shop, p: Guest, then: str) -> None:
        w.domain, p.pc = NONE, then

    # -- what is wrong

    def check(self, world: Shop) -> str:
        w = world
        if w.fault:
            return w.fault
        owners: dict[int, int] = {}
        for i, p in enumerate(w.processes):
            if p.line == NONE or p.pc == "dead":
                continue
            if p.line in owners:
                return "two have one line"
            owners[p.line] = i
            line = self.line(w, p.line)
            if (line.generation, line.of) != (p.generation, i) or (line.state == "free" and not p.pc.startswith("my_")):
                return f"{p.role} lives, and its line is swept or another's"
            if p.has and (p.has != w.generation or not w.there):
                return f"{p.role} has an object that was freed"
        return ""

    def check_end(self, world: Shop) -> str:
        w = world
        waiting = [p.pc for p in w.processes if p.pc not in {"done", "dead", "watch", "strike", "read_row", "begin"}]
        if waiting:
            return f"nobody moves, and these wait for ever: {', '.join(waiting)}"
        if "last" not in self.roles:
            return ""
        if any(self.line(w, at).state != "free" and not self.lives(w, at) for at in range(len(w.lines))):
            return "the line of a dead one stays"
        if w.lock != NONE and not self.lives(w, w.lock):
            return "the lock of a dead one, or of one that has left, stays"
        if w.there and not any(p.has and p.pc != "dead" for p in w.processes):
            return "nobody has the object, and it is not freed"
        return ""

    def lives(self, w: Shop, at: int) -> bool:
        line = self.line(w, at)
        return line.state == "live" and line.of != NONE and w.processes[line.of].pc != "dead"

    # -- pn_slot_reserve, pn_slot_claim: a visitor for itself

    def at_wish_reserve(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        return self.enter(w, p, "reserve")

    def at_reserve(self, w: Shop, p: Guest) -> None:
        """What describes it, before its state; nobody reads a free line."""
        free = [at for at in range(len(w.lines)) if self.line(w, at).state == "free"]
        if not free:
            self.leave(w, p, "done")  # DomainFull
            return
        parent = (p.line, p.generation)
        is_visitor = p.line == NONE or self.line(w, p.line).is_visitor
        is_marked = is_visitor and not {"mark", "mark first"} & self.without
        self.write(w, free[0], Line("free", self.line(w, free[0]).generation + 1, NONE, is_marked, parent))
        p.at = free[0]
        p.pc = "announce"

    def at_announce(self, w: Shop, p: Guest) -> None:
        self.change(w, p.at, state="starting")
        p.given = (p.at, self.line(w, p.at).generation)
        p.at = 0
        p.pc = "reserved"

    def at_reserved(self, w: Shop, p: Guest) -> None:
        if p.line == NONE:
            self.leave(w, p, "claim")
            return
        child = next(q for q in w.processes if q.role == "child")
        child.given, p.given = p.given, (NONE, 0)
        child.pc = "claim"  # it is started
        self.leave(w, p, "wish_end")

    def at_claim(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        if "claimed under the lock" in self.without:
            p.pc = "claim_look"
            return None
        return self.enter(w, p, "claim_look")

    def at_claim_look(self, w: Shop, p: Guest) -> None:
        line = self.line(w, p.given[0])
        if line.generation == p.given[1] and line.state == "starting":
            p.pc = "claim_pid"
            return
        p.given = (NONE, 0)
        again = "wish_reserve" if p.role == "visitor" else "done"  # a child goes unseen
        p.pc = again
        if w.domain == self.me(w, p):
            w.domain = NONE

    def at_claim_pid(self, w: Shop, p: Guest) -> None:
        self.change(w, p.given[0], of=self.me(w, p))
        p.pc = "claim_live"

    def at_claim_live(self, w: Shop, p: Guest) -> None:
        self.change(w, p.given[0], state="live", late=False)
        p.line, p.generation = p.given[0], self.line(w, p.given[0]).generation
        p.given = (NONE, 0)
        if w.domain == self.me(w, p):
            w.domain = NONE
        p.pc = "mark_late" if "mark first" in self.without else "wish_look"

    def at_mark_late(self, w: Shop, p: Guest) -> None:
        self.change(w, p.line, is_visitor=True)
        p.pc = "wish_look"

    # -- pn_find_named, pn_object_attach

    def at_wish_look(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        if p.role == "child":
            p.pc = "done"  # it lives on
            return None
        return self.enter(w, p, "look")

    def at_look(self, w: Shop, p: Guest) -> None:
        p.handle = w.generation if w.there else 0
        self.leave(w, p, "wish_hold" if p.handle else "wish_end")

    def at_wish_hold(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        return self.enter(w, p, "hold_look")

    def at_hold_look(self, w: Shop, p: Guest) -> None:
        is_same = w.there and (w.generation == p.handle or "generation" in self.without)
        if not is_same:
            p.handle = 0
            self.leave(w, p, "wish_look")  # StaleHandle: perhaps there is another one by now
            return
        p.pc = "hold"
        if "held under the lock" in self.without:
            w.domain = NONE

    def at_hold(self, w: Shop, p: Guest) -> None:
        if w.there and w.generation != p.handle:
            w.fault = "another object is taken for the one that was found"
        w.bits |= {p.line}
        p.has, p.handle = w.generation, 0
        if not w.there:
            w.fault = "the object was freed while it was being opened"
        if w.domain == self.me(w, p):
            w.domain = NONE
        p.pc = "lock"

    def at_lock(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        """A ledger lock: owned by a line. It may be let go of with the lock held."""
        if w.lock != NONE:
            return ()
        w.lock = p.line
        has_child = any(q.role == "child" and q.pc == "begin" for q in w.processes)
        p.pc = "wish_reserve" if has_child else "wish_end"
        return None

    # -- pn_domain_close of a visitor: the sweep of its own line

    def at_wish_end(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        return self.enter(w, p, "my_dead")

    def at_my_dead(self, w: Shop, p: Guest) -> None:
        p.has = 0  # nothing of it is used any more
        p.dead = (p.line,)
        self.begin_sweep(w, p)

    # -- the shop lets the object go, and makes another of that name in its cell

    def at_wish_drop(self, w: Shop, p: Guest) -> None:
        p.has = 0
        w.bits -= {p.line}
        p.pc = "drop_enter"

    def at_drop_enter(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        return self.enter(w, p, "drop")

    def at_drop(self, w: Shop, p: Guest) -> None:
        w.there = w.there and bool(w.bits)
        if not w.there:
            w.lock = NONE
        self.leave(w, p, "make_enter" if not w.there else "done")

    def at_make_enter(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        return self.enter(w, p, "make")

    def at_make(self, w: Shop, p: Guest) -> None:
        w.there, w.generation, w.bits, w.lock = True, w.generation + 1, frozenset({p.line}), NONE
        p.has = w.generation
        self.leave(w, p, "done")

    # -- sweep_all: who is dead is looked at without the lock, and again with it

    def at_watch(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        dead = tuple(at for at in range(len(w.lines)) if self.line(w, at).state != "free" and not self.is_alive(w, at))
        if not dead and not w.uncollected:
            return ()
        p.dead, p.pc = dead, "sweep_enter"
        return None

    def at_sweep_enter(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        return self.enter(w, p, "sweep_look")

    def at_sweep_look(self, w: Shop, p: Guest) -> None:
        if not p.dead:
            p.pc = "collect"
            return
        at = p.dead[0]
        is_dead = "looked at again" in self.without or not self.is_alive(w, at)
        if self.line(w, at).state == "free" or not is_dead:
            p.dead = p.dead[1:]
            return
        self.begin_sweep(w, p)

    # -- sweep_locked

    def begin_sweep(self, w: Shop, p: Guest) -> None:
        w.uncollected = "uncollected" not in self.without
        self.change(w, p.dead[0], state="dead")
        p.pc = ("my_" if p.line == p.dead[0] else "") + ("free" if "buried first" in self.without else "bit")

    def at_bit(self, w: Shop, p: Guest) -> None:
        w.bits -= {p.dead[0]}
        p.pc = p.pc.replace("bit", "bury")

    def at_bury(self, w: Shop, p: Guest) -> None:
        if w.lock == p.dead[0]:
            w.lock = NONE
        if "buried first" in self.without:
            self.end_sweep(p)
        else:
            p.pc = p.pc.replace("bury", "free")

    def at_free(self, w: Shop, p: Guest) -> None:
        self.change(w, p.dead[0], state="free")
        if "buried first" in self.without:
            p.pc = p.pc.replace("free", "bit")
        else:
            self.end_sweep(p)

    def end_sweep(self, p: Guest) -> None:
        if p.pc.startswith("my_"):
            p.pc = "my_collect"
        else:
            p.dead, p.pc = p.dead[1:], "sweep_look"

    def at_collect(self, w: Shop, p: Guest) -> None:
        """pn_collect_all."""
        if "sweep collects" not in self.without and not w.bits:
            w.there, w.lock = False, NONE
        w.uncollected = False
        if p.pc == "collect":
            self.leave(w, p, "watch")
            return
        p.line, p.generation, p.dead = NONE, 0, ()
        p.visits -= 1
        self.leave(w, p, "wish_reserve" if p.visits > 0 else "done")

    at_my_bit, at_my_bury, at_my_free, at_my_collect = at_bit, at_bury, at_free, at_collect

    # -- the guardian: one row after the other, without a lock; then it ends children whose parents are gone

    def at_read_row(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        if p.at == len(w.lines):
            p.pc = "judge"
            return None
        line = self.line(w, p.at)
        if line.state != "free":
            if line.of != NONE and line.state == "live":
                p.rows = (*p.rows, (line.of, line.is_visitor, line.parent))
            if line.of == NONE or w.processes[line.of].pc != "dead":
                p.alive |= {(p.at, line.generation)}
        p.at += 1
        return None

    def at_judge(self, w: Shop, p: Guest) -> None:
        for of, is_visitor, parent in p.rows:
            if parent[0] != NONE and parent not in p.alive and not is_visitor and w.processes[of].pc != "dead":
                w.fault = f"the guardian ends a {w.processes[of].role}, which is another program's"
        p.rows, p.alive, p.at, p.pc = (), frozenset(), 0, "done"

    # -- time passes while somebody stands still

    def at_strike(self, w: Shop, p: Guest) -> Iterable[Shop] | None:
        waiting = [
            at for at in range(len(w.lines)) if self.line(w, at).state == "starting" and not self.line(w, at).late
        ]
        if not waiting or not w.hours:
            return ()
        w.hours -= 1
        self.change(w, waiting[0], late=True)
        return None

    # -- the kernel

    def may_die(self, process: Guest) -> bool:
        return process.role in {"shop", "visitor", "sweeper", "child"} and process.pc not in {"dead", "begin"}

    def die(self, world: Shop, process: Guest) -> None:
        if world.domain == self.me(world, process):
            world.domain = NONE
        role, at = process.role, self.me(world, process)
        world.processes[at] = Guest("dead", role)


TWO = ("shop", "visitor", "visitor", "last")
FAMILY = ("shop", "visitor", "child", "guardian", "last")
SLOW = ("visitor", "visitor", "last", "time")


def visiting(
    roles: tuple[str, ...] = ("shop", "visitor", "sweeper", "last"), *without: str, **settings: object
) -> Visiting:
    return Visiting(roles=roles, without=set(without), **settings)


RUNS = [
    Run("one visits, 2 kills", visiting(kills=2), quick=True),
    Run("one visits twice, 2 kills", visiting(kills=2, visits=2)),
    Run("two visit, 2 kills", visiting(TWO, kills=2)),
    Run("two visit, 1 kill", visiting(TWO, kills=1), quick=True),
    Run("a visitor with a child, a guardian, 2 kills", visiting(FAMILY, kills=2)),
    Run("a visitor with a child, a guardian", visiting(FAMILY), quick=True),
    Run("two that stand still, 1 kill", visiting(SLOW, kills=1, hours=2), quick=True),
    Run("claimed without the lock", visiting(SLOW, "claimed under the lock", hours=1), quick=True),
    Run("its child is not marked", visiting(FAMILY, "mark", kills=1), quick=True),
    Run("it is marked when it lives", visiting(FAMILY, "mark first", kills=1), quick=True),
    Run("the dead are looked at once", visiting(TWO, "looked at again", kills=1), quick=True),
    Run("a handle without a generation", visiting(TWO, "generation"), quick=True),
    Run("held after the lock was let go", visiting(TWO, "held under the lock"), quick=True),
    Run("a line is free before its lock is", visiting(TWO, "buried first", kills=2), quick=True),
    Run("a sweep that was begun is not said", visiting(TWO, "uncollected", kills=1), quick=True),
    Run("the sweep does not collect", visiting(TWO, "sweep collects", kills=1), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
