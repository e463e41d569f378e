"""How a lease ends: task_done, join, the sweep of a dead consumer; the second half of `_leasing.py`."""

from __future__ import annotations

from collections.abc import Iterable

from tests.models._lease import NOBODY, Lease, Queue, Worker, put
from tests.models._leasing import Leases


class Ending(Leases):
    """With task_done, join and sweep."""

    # pn_lease_done

    def at_done_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        if p.role == "acker" and self.unfinished(w) == 0:
            return ()  # ValueError: it tries again when there is something
        if p.hand:
            w.worked = put(w.worked, p.hand[0], True)
        return self.enter(w, p, "done_find")

    def at_done_find(self, w: Queue, p: Worker) -> None:
        lease = self.oldest(w, self.me(w, p))
        if self.unfinished(w) <= 0:
            self.done(w, p)  # ValueError
            return
        p.pending = "done" if "pending in ack" not in self.without else ""
        if "acks first" not in self.without:
            w.acks += 1
        p.target = lease.pos if lease else -1
        p.pc = "done_store" if lease else "prepay"

    def oldest(self, w: Queue, me: int) -> Lease | None:
        """Its own; else one that somebody works on or left; else one that waits to be delivered again."""
        valid = self.valid(w)
        mine = [lease for lease in valid if lease.owner == me]
        others = [lease for lease in valid if lease.owner != NOBODY]
        return next(iter(("own first" not in self.without and mine) or others or valid), None)

    def at_done_store(self, w: Queue, p: Worker) -> None:
        """The commit: pos = MAX."""
        if not w.worked[p.target] and "acker" not in self.roles:
            w.fault = "a lease ends, and nobody has worked on the item"
        self.replace(w, next(lease for lease in self.valid(w) if lease.pos == p.target))
        w.over = put(w.over, p.target, True)
        self.finish(w, p)

    def at_prepay(self, w: Queue, p: Worker) -> None:
        """The commit where there is no lease."""
        if "prepaid_to" in self.without:
            w.prepaid += 1
        else:
            w.prepaid = max(w.prepaid, w.head) + 1
        self.finish(w, p)

    def finish(self, w: Queue, p: Worker) -> None:
        w.finished += 1
        p.target = -1
        p.pc = "done_wake" if "acks first" not in self.without else "late_acks"

    def at_late_acks(self, w: Queue, p: Worker) -> None:
        w.acks += 1
        p.pc = "done_wake"

    def at_done_wake(self, w: Queue, p: Worker) -> None:
        """Only the last one wakes, and only if somebody sleeps."""
        p.pc = "done_clear" if w.done and self.unfinished(w) == 0 else "done_leave"

    def at_done_clear(self, w: Queue, p: Worker) -> None:
        w.done = False
        p.pc = "done_futex"

    def at_done_futex(self, w: Queue, p: Worker) -> None:
        self.wake_joiners(w)
        p.pc = "done_leave"

    def at_done_leave(self, w: Queue, p: Worker) -> None:
        if p.dead:
            p.pending, p.pc = "", "sweep"
        else:
            self.done(w, p)

    def done(self, w: Queue, p: Worker) -> None:
        w.head_lock = 0
        p.pending = ""
        if p.role == "acker":
            p.todo -= 1
            p.pc = "done_enter" if p.todo else "done"
        else:
            p.hand = p.hand[1:]
            p.pc = "done_enter" if p.hand else "enter"

    # pn_ring_join

    def at_join(self, w: Queue, p: Worker) -> None:
        p.seen = w.acks
        p.pc = "join_mark"

    def at_join_mark(self, w: Queue, p: Worker) -> None:
        w.done = True
        p.pc = "join_enter"

    def at_join_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        """Under head_lock every ack is whole, or begins after it and finds the mark."""
        if "join lock" in self.without:
            p.pc = "join_look"
            return None
        return self.enter(w, p, "join_look")

    def at_join_look(self, w: Queue, p: Worker) -> None:
        over = self.unfinished(w) == 0
        if "join lock" in self.without:
            p.pc = "join_over" if over else "join_sleeper"
        else:
            p.pc = "join_leave_over" if over else "join_leave"

    def at_join_leave(self, w: Queue, p: Worker) -> None:
        w.head_lock = 0
        p.pc = "join_sleeper"

    def at_join_sleeper(self, w: Queue, p: Worker) -> None:
        self.go(p, "join_acks" if w.done else "join")

    def at_join_acks(self, w: Queue, p: Worker) -> None:
        same = w.acks == p.seen or "watch acks" in self.without
        self.go(p, "join_asleep" if same else "join")

    def at_join_leave_over(self, w: Queue, p: Worker) -> None:
        w.head_lock = 0
        p.pc = "join_over"

    def at_join_over(self, w: Queue, p: Worker) -> None:
        """The kernel, for a dead acker, has woken one only: that one wakes the rest."""
        if "chain" not in self.without:
            self.wake_joiners(w)
        self.go(p, "done")

    def wake_joiners(self, w: Queue) -> None:
        for p in w.processes:
            if p.pc in {"join_acks", "join_asleep"}:
                self.go(p, "join")

    # pn_sweep: the leases of a dead process

    def at_watch(self, w: Queue, p: Worker) -> tuple[()] | None:
        for i, other in enumerate(w.processes, 1):
            if other.pc == "dead" and not other.swept and not w.domain:
                w.domain, p.dead = self.me(w, p), i
                p.pc = "sweep_enter"
                return None
        return ()

    def at_sweep_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        if "sweep lock" in self.without:
            p.pc = "sweep"
            return None
        return self.enter(w, p, "sweep")

    def theirs(self, w: Queue, p: Worker) -> Lease | None:
        mine = [lease for lease in self.valid(w) if lease.owner == p.dead and not lease.left]
        return next(iter(mine), None)

    def at_sweep(self, w: Queue, p: Worker) -> None:
        """set_aside, then the first store of give_up: `orphans`, before the leases that wait."""
        lease = self.theirs(w, p)
        if lease is None:
            p.pc = "sweep_leave"
        elif w.processes[p.dead - 1].clean and "clean" not in self.without:
            self.replace(w, lease, lease._replace(left=True))
        elif lease.deliveries >= self.max_deliveries:
            p.target, p.pending = lease.pos, "done"
            w.acks += 1
            p.pc = "sweep_bury"
        else:
            p.pending = "not_empty" if "pending in sweep" not in self.without else ""
            if "orphans first" not in self.without:
                w.orphans = True
            p.pc = "sweep_give"

    def at_sweep_bury(self, w: Queue, p: Worker) -> None:
        """A dead letter: not unfinished from this store on."""
        self.replace(w, next(lease for lease in self.valid(w) if lease.pos == p.target))
        w.over = put(w.over, p.target, True)
        self.finish(w, p)
        if "wake for dead letters" in self.without:
            p.pending, p.pc = "", "sweep"

    def at_sweep_give(self, w: Queue, p: Worker) -> None:
        """give_up: one store for each lease."""
        lease = self.theirs(w, p)
        if lease is not None:
            self.replace(w, lease, lease._replace(owner=NOBODY))
            return
        w.orphans = w.orphans or "orphans first" in self.without
        p.pc = "sweep_wake"

    def at_sweep_wake(self, w: Queue, p: Worker) -> None:
        p.pc = "sweep_clear" if w.not_empty else "sweep_leave"

    def at_sweep_clear(self, w: Queue, p: Worker) -> None:
        w.not_empty = False
        p.pc = "sweep_futex"

    def at_sweep_futex(self, w: Queue, p: Worker) -> None:
        self.wake_leader(w)
        p.pc = "sweep_leave"

    def at_sweep_leave(self, w: Queue, p: Worker) -> None:
        w.head_lock = 0 if w.head_lock == self.me(w, p) else w.head_lock
        p.pending = ""
        p.pc = "sweep_end"

    def at_sweep_end(self, w: Queue, p: Worker) -> None:
        w.processes[p.dead - 1].swept = True
        w.domain = p.dead = 0
        p.pc = "watch"

    # the kernel

    def die(self, world: Queue, process: Worker) -> None:
        w, p = world, process
        me = self.me(w, p)
        for lease in self.valid(w):
            if lease.owner == me:
                w.deaths = put(w.deaths, lease.pos, w.deaths[lease.pos] + 1)
        if w.head_lock == me:
            w.head_lock, w.head_died = 0, True
        w.lead_get = 0 if w.lead_get == me else w.lead_get
        w.domain = 0 if w.domain == me else w.domain
        p.then, p.leading = "", False
        p.todo = p.written = p.seen = p.dead = 0
        p.hand = ()
        p.target = -1
        p.pc = "exit_wake" if p.pending else "dead"

    def at_exit_wake(self, w: Queue, p: Worker) -> Iterable[Queue]:
        """handle_futex_death: a pending word without an owner; one sleeper is woken."""
        words = {"not_empty": {"waitv_tail", "waitv_orphans", "asleep"}, "done": {"join_acks", "join_asleep"}}
        queued = words[p.pending]
        first = {"not_empty": "enter", "done": "join"}[p.pending]
        for now, me, _ in self.wake_one(w, p, lambda q: q.pc in queued, lambda q: self.go(q, first)):
            me.pending, me.pc = "", "dead"
            yield now
