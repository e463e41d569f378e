"""When a counted object is freed: the looks of those who drop it, a queue that is discarded, the sweep; for `buffers.py`.

`puts` grows before the commit of a record that names the object, `takes` after the take or, for a lease, after the ack. So
puts - takes is at no instant less than the number of records and leases, and two equal sums prove that there are none. A death in between
leaves `puts` ahead for good: then a sweep sets `scan`, and looks at the rings and leases from there on.

Robust locks are one step. The bits stand in two words, the rings are walked one after the other, and a drop looks
first without the domain's lock. A label is a place in the C code.

Safeguards that can be taken out here: *holders first* (a look reads the bits before the sums), *takes before puts* (it reads the sums in this
order), *moves*, *scan*, *scan first* (a sweep sets it before it looks at the bits), *scan all* (also of an object that the dead process did
not hold), *walk leases*, *discard counts*, *discard first* (the ring is empty before its takes are counted).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from tests.models._buffer import LEASED, NOBODY, PLAIN, Actor, Shared, put
from tests.models._engine import Model


class Collecting(Model[Shared, Actor]):
    """What `Counted` does with the object it calls from here by `first_look`."""

    scripts: tuple[tuple[str, ...], ...] = ()
    peeks = True  # a look without the lock comes first

    @abstractmethod
    def go_on(self, p: Actor) -> None:
        """Begin the next thing of the script."""

    def me(self, w: Shared, p: Actor) -> int:
        return next(i for i, other in enumerate(w.processes) if other is p)

    def first_look(self) -> str:
        return "look" if self.peeks else "look_enter"

    # pn_object_collect, and before it the same without the lock

    def at_look_enter(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if w.domain != NOBODY:
            return ()
        w.domain = self.me(w, p)
        p.locked = True
        p.pc = "look"
        return None

    def at_look(self, w: Shared, p: Actor) -> None:
        p.moves, p.place = w.moves, 0
        if not w.used:
            self.looked(w, p)
        else:
            p.pc = "look_holders" if "holders first" not in self.without else "look_takes"

    def at_look_holders(self, w: Shared, p: Actor) -> None:
        """One word of the bits: of the even processes, of the odd ones."""
        held = any(w.bits[p.place :: 2])
        p.place += 1
        if held:
            self.looked(w, p)
        elif p.place == 2:
            p.place = 0
            p.pc = "look_takes" if "holders first" not in self.without else "look_moves"

    def at_look_takes(self, w: Shared, p: Actor) -> None:
        p.takes = w.takes if "takes before puts" not in self.without else w.puts
        p.pc = "look_puts"

    def at_look_puts(self, w: Shared, p: Actor) -> None:
        equal = p.takes == (w.puts if "takes before puts" not in self.without else w.takes)
        p.takes = 0
        if not equal and not w.scan:
            self.looked(w, p)  # whoever takes the record looks as well
        elif not p.locked:
            p.pc = "look_enter"
        elif "holders first" in self.without:
            p.pc = "look_holders" if equal else "look_walk"
        else:
            p.pc = "look_moves" if equal else "look_walk"

    def at_look_walk(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        """One ring, with both its locks: its records and its leases."""
        if w.head_locks[p.place] != NOBODY:
            return ()
        named = w.rings[p.place] or (p.place == LEASED and w.leases and "walk leases" not in self.without)
        p.place += 1
        if named:
            self.looked(w, p)
        elif p.place == 2:
            p.pc = "look_moves"
        return None

    def at_look_moves(self, w: Shared, p: Actor) -> None:
        if w.moves != p.moves and "moves" not in self.without:
            self.looked(w, p)
        else:
            p.pc = "free"

    def at_free(self, w: Shared, p: Actor) -> None:
        w.used = False
        self.looked(w, p)

    def looked(self, w: Shared, p: Actor) -> None:
        p.moves = p.takes = p.place = 0
        if p.dead != NOBODY:
            p.pc = "sweep_discard"
            return
        if p.locked:
            w.domain, p.locked = NOBODY, False
        self.go_on(p)

    # pn_ring_discard: the last holder of the ring PLAIN gives it up, and so does a sweep

    def at_discard(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if w.domain != NOBODY:
            return ()
        w.domain = self.me(w, p)
        p.locked = True
        self.begin_discard(w, p)
        return None

    def begin_discard(self, w: Shared, p: Actor) -> None:
        p.takes = w.rings[PLAIN] if "discard counts" not in self.without else 0
        p.pc = "discard_store" if "discard first" not in self.without else "discard_count"

    def at_discard_store(self, w: Shared, p: Actor) -> None:
        w.rings, w.discarded = put(w.rings, PLAIN, 0), True
        p.pc = "discard_count" if "discard first" not in self.without else "look"

    def at_discard_count(self, w: Shared, p: Actor) -> None:
        w.takes += p.takes
        p.takes = 0
        p.pc = "look" if "discard first" not in self.without else "discard_store"

    # pn_sweep

    def at_watch(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        for i, other in enumerate(w.processes):
            if other.pc == "dead" and not w.swept[i] and w.domain == NOBODY:
                w.domain, p.dead, p.locked = self.me(w, p), i, True
                p.pc = "sweep_leases"
                return None
        return ()

    def at_sweep_leases(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if w.head_locks[LEASED] != NOBODY:
            return ()
        w.leases = tuple(sorted(NOBODY if owner == p.dead else owner for owner in w.leases))
        p.pc = "sweep_bit"
        return None

    def at_sweep_bit(self, w: Shared, p: Actor) -> None:
        p.place = int(w.bits[p.dead])
        w.bits = put(w.bits, p.dead, False)
        skips = "scan" in self.without or ("scan all" in self.without and not p.place)
        p.place = 0
        p.pc = "look" if skips or "scan first" in self.without else "sweep_takes"

    def at_sweep_takes(self, w: Shared, p: Actor) -> None:
        p.takes = w.takes if "takes before puts" not in self.without else w.puts
        p.pc = "sweep_scan"

    def at_sweep_scan(self, w: Shared, p: Actor) -> None:
        """Before the look at the bits: who clears one later sees it, who did so before is seen."""
        equal = p.takes == (w.puts if "takes before puts" not in self.without else w.takes)
        w.scan = w.scan or (w.used and not equal)
        p.takes = 0
        p.pc = "look" if "scan first" not in self.without else "sweep_end"

    def at_sweep_discard(self, w: Shared, p: Actor) -> None:
        """The ring PLAIN goes with the last of those who would put into it."""
        users = [q for q in w.processes if q.pc != "dead" and any("put plain" in word for word in q.script)]
        if "discard" in self.scripts[0] and p.dead == 0 and not w.discarded and not users:
            self.begin_discard(w, p)
        else:
            p.pc = "sweep_takes" if "scan first" in self.without and not w.scan else "sweep_end"

    def at_sweep_end(self, w: Shared, p: Actor) -> None:
        w.swept = put(w.swept, p.dead, True)
        w.domain, p.dead, p.locked = NOBODY, NOBODY, False
        p.pc = "watch"

    # the kernel

    def die(self, world: Shared, process: Actor) -> None:
        w, p = world, process
        me = self.me(w, p)
        if w.domain == me:
            w.domain = NOBODY
        w.head_locks = (
            NOBODY if w.head_locks[0] == me else w.head_locks[0],
            NOBODY if w.head_locks[1] == me else w.head_locks[1],
        )
        p.holds = p.moves = p.takes = p.place = p.ring = 0
        p.script, p.dead, p.locked = (), NOBODY, False
        p.pc = "dead"
