"""What processes do with an object that counts what names it: putting, taking, leases, dropping; for `buffers.py`.

How it is freed stands in `_collecting.py`. Safeguards that can be taken out here: *puts first* (`puts` grows before the commit), *takes last* (`takes` after the
take), *ack first* (a lease ends before its take is counted), *ack under lock* (it is counted before head_lock is let go), *look* (the one
who sends looks when it drops), *ack looks*, *failed put counts*.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.models._buffer import LEASED, NOBODY, PLAIN, Actor, Shared, put
from tests.models._collecting import Collecting


class Counted(Collecting):
    """`scripts` are what the processes do; janitors come last. `held`: who has the object at first."""

    held: tuple[int, ...] = (0,)
    janitors = 1

    def start(self) -> Shared:
        actors = [Actor("", script, holds=int(i in self.held)) for i, script in enumerate(self.scripts)]
        for p in actors:
            self.go_on(p)
        actors += [Actor("watch") for _ in range(self.janitors)]
        bits = tuple(p.holds > 0 for p in actors)
        return Shared(actors, self.kills, bits=bits, swept=(False,) * len(actors))

    # what must hold

    def check(self, world: Shared) -> str:
        w = world
        if w.fault:
            return w.fault
        if not w.used and (any(p.holds for p in w.processes) or any(w.rings) or w.leases):
            return "the object is freed, and something names it"
        return ""

    def check_end(self, world: Shared) -> str:
        w = world
        dead = [i for i, p in enumerate(w.processes) if p.pc == "dead" and not w.swept[i]]
        if dead:
            return "a dead process is not swept" if any(p.pc == "watch" for p in w.processes) else ""
        if w.used and not any(w.rings) and not w.leases and not any(p.holds for p in w.processes):
            return "nothing names the object, and it is not freed"
        if any(p.pc not in {"take", "lease", "redeliver", "ack", "watch", "done", "dead"} for p in w.processes):
            return "nobody moves"
        return ""

    # the script

    def go_on(self, p: Actor) -> None:
        p.moves = p.takes = p.place = 0
        p.ring = LEASED
        if not p.script:
            p.pc = "done"
            return
        (p.pc, _, where), p.script = p.script[0].partition(" "), p.script[1:]
        p.ring = PLAIN if where else LEASED
        if p.pc == "put" and "puts first" in self.without:
            p.pc = "put_commit"

    def count_take(self, w: Shared) -> None:
        """A walk that found no names may have had the object freed, and its cell is the next one's by now."""
        if not w.used:
            w.fault = "a take is counted for an object that is freed"
        w.takes += 1

    # pn_ring_put

    def at_put(self, w: Shared, p: Actor) -> None:
        w.puts += 1
        if "puts first" in self.without:
            self.go_on(p)
        else:
            p.pc = "put_commit"

    def at_put_commit(self, w: Shared, p: Actor) -> None:
        w.rings = put(w.rings, p.ring, w.rings[p.ring] + 1)
        if "puts first" in self.without:
            p.pc = "put"
        else:
            self.go_on(p)

    def at_fail(self, w: Shared, p: Actor) -> None:
        """A put that meets a full queue."""
        w.puts += 1
        if "failed put counts" in self.without:
            self.go_on(p)
        else:
            p.pc = "put_failed"

    def at_put_failed(self, w: Shared, p: Actor) -> None:
        self.count_take(w)
        self.go_on(p)

    # pn_ring_get: get_locked, answer_for

    def enter(self, w: Shared, p: Actor, then: str) -> Iterable[Shared] | None:
        if w.head_locks[p.ring] != NOBODY:
            return ()
        w.head_locks = put(w.head_locks, p.ring, self.me(w, p))
        p.pc = then
        return None

    def leave(self, w: Shared, p: Actor) -> None:
        w.head_locks = put(w.head_locks, p.ring, NOBODY)

    def at_take(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if not w.rings[p.ring]:
            return ()
        return self.enter(w, p, "take_bit")

    def at_take_bit(self, w: Shared, p: Actor) -> None:
        self.retain(w, p, "take_store" if "takes last" not in self.without else "take_count")

    def retain(self, w: Shared, p: Actor, then: str) -> None:
        """count_up: the first reference sets the bit, and then `moves` grows."""
        p.holds += 1
        me = self.me(w, p)
        if w.bits[me]:
            p.pc = then
        else:
            w.bits = put(w.bits, me, True)
            p.pc = f"{then}_moves"

    def at_take_store_moves(self, w: Shared, p: Actor) -> None:
        w.moves += 1
        p.pc = "take_store"

    at_take_count_moves = at_take_store_moves

    def at_take_store(self, w: Shared, p: Actor) -> None:
        w.rings = put(w.rings, p.ring, w.rings[p.ring] - 1)
        p.pc = "take_count" if "takes last" not in self.without else "take_leave"

    def at_take_count(self, w: Shared, p: Actor) -> None:
        self.count_take(w)
        p.pc = "take_leave" if "takes last" not in self.without else "take_store"

    def at_take_leave(self, w: Shared, p: Actor) -> None:
        self.leave(w, p)
        self.go_on(p)

    # with a lease; a second delivery

    def at_lease(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if not w.rings[p.ring]:
            return ()
        return self.enter(w, p, "lease_bit")

    def at_lease_bit(self, w: Shared, p: Actor) -> None:
        self.retain(w, p, "lease_store")

    def at_lease_store_moves(self, w: Shared, p: Actor) -> None:
        w.moves += 1
        p.pc = "lease_store"

    def at_lease_store(self, w: Shared, p: Actor) -> None:
        """The head moves on, so that the entry written before is valid: the lease names the object now."""
        w.rings = put(w.rings, p.ring, w.rings[p.ring] - 1)
        w.leases = tuple(sorted((*w.leases, self.me(w, p))))
        p.pc = "take_leave"

    def at_redeliver(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if NOBODY not in w.leases:
            return ()
        return self.enter(w, p, "redeliver_bit")

    def at_redeliver_bit(self, w: Shared, p: Actor) -> None:
        if NOBODY not in w.leases:
            self.leave(w, p)
            p.pc = "redeliver"
            return
        self.retain(w, p, "redeliver_store")

    def at_redeliver_store_moves(self, w: Shared, p: Actor) -> None:
        w.moves += 1
        p.pc = "redeliver_store"

    def at_redeliver_store(self, w: Shared, p: Actor) -> None:
        w.leases = tuple(sorted((*w.leases[1:], self.me(w, p))))
        p.pc = "take_leave"

    # task_done, of anybody's lease

    def at_ack(self, w: Shared, p: Actor) -> Iterable[Shared] | None:
        if not w.leases:
            return ()
        return self.enter(w, p, "ack_store" if "ack first" not in self.without else "ack_count")

    def at_ack_store(self, w: Shared, p: Actor) -> Iterable[Shared]:
        frozen = self.freeze(w)
        here = self.me(w, p)
        for owner in sorted(set(w.leases)):
            now = self.thaw(frozen)
            rest = list(now.leases)
            rest.remove(owner)
            now.leases = tuple(rest)
            now.processes[here].pc = self.after_ack()
            yield now
        if not w.leases:  # somebody else was faster
            self.leave(w, p)
            p.pc = "ack"
            yield w

    def after_ack(self) -> str:
        return "ack_leave" if {"ack first", "ack under lock"} & self.without else "ack_count"

    def at_ack_count(self, w: Shared, p: Actor) -> None:
        self.count_take(w)
        if "ack under lock" in self.without:
            self.acked(p)
        else:
            p.pc = "ack_leave" if "ack first" not in self.without else "ack_store"

    def at_ack_leave(self, w: Shared, p: Actor) -> None:
        """The acker need not hold the object, so nobody else may be there to free it."""
        self.leave(w, p)
        if "ack under lock" in self.without:
            p.pc = "ack_count"
        else:
            self.acked(p)

    def acked(self, p: Actor) -> None:
        if "ack looks" in self.without:
            self.go_on(p)
        else:
            p.pc = self.first_look()

    # pn_object_drop

    def at_drop(self, w: Shared, p: Actor) -> None:
        p.holds -= 1
        me = self.me(w, p)
        if not p.holds:
            w.bits = put(w.bits, me, False)
        if p.holds or ("look" in self.without and me == 0):
            self.go_on(p)
        else:
            p.pc = self.first_look()
