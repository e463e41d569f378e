"""Taking with a lease, task_done, join and the sweep, of core/lease.c and core/ring.c; for `leases.py`.

Robust locks are one step here. Every record has size 1, so a position is an item. Putting is one step with its wake: `ring.py` shows what
it is made of. A label is a place in the C code; the function it stands in is named at each group.

Safeguards that can be taken out: *void repair* (whoever enters head_lock after a death ends the void leases), *all repair* (the sweep does so too),
*one store* (of owner and deliveries), *lease first* (before the take), *orphans first* (a sweep sets `orphans` before the leases),
*sweep lock* (head_lock), *watch orphans* (the leader sleeps on it as well), *look at orphans* (he looks at it when he has announced himself), *pending in
sweep*, *own first* (task_done ends a lease of its own process), *prepaid_to* (an ordinal; without it a count), *pending in ack*, *watch acks* (a joiner sleeps on two
words), *acks first* (that word changes before the lease ends), *join lock* (he looks under head_lock), *chain* (a joiner that goes wakes the others), *clean* (what a consumer left that ended is not
delivered again), *wake for dead letters*.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.models._engine import Model
from tests.models._lease import NOBODY, Lease, Queue, Worker, put

FIRST = {
    "consumer": "enter",
    "leaver": "enter",
    "acker": "done_enter",
    "producer": "put",
    "joiner": "join",
    "janitor": "watch",
}


class Leases(Model[Queue, Worker]):
    """Consumers take for ever. `items` are in the queue at first, producers put more."""

    roles: tuple[str, ...] = ("consumer", "consumer", "janitor")
    items = 2
    todo = 1  # items that each producer puts, calls that each acker makes
    batch = 1  # what one get takes
    max_deliveries = 9  # then an item is a dead letter

    def start(self) -> Queue:
        workers = [Worker(FIRST[role], role, self.todo if role in {"producer", "acker"} else 0) for role in self.roles]
        total = self.items + self.todo * self.roles.count("producer")
        no, none = (False,) * total, (0,) * total
        return Queue(workers, self.kills, tail=self.items, over=no, claims=none, deaths=none, worked=no)

    # what must hold

    def valid(self, w: Queue) -> list[Lease]:
        return [lease for lease in w.leases if lease.pos < w.head]

    def unfinished(self, w: Queue) -> int:
        if "prepaid_to" in self.without:
            return w.tail - w.head + len(self.valid(w)) - w.prepaid
        return w.tail - max(w.head, w.prepaid) + len(self.valid(w))

    def check(self, world: Queue) -> str:
        w = world
        if w.fault:
            return w.fault
        leased = [lease.pos for lease in self.valid(w)]
        for item in range(len(w.over)):
            copies = leased.count(item) + (item >= w.head) + w.over[item]
            if copies != 1:
                return "an item is lost" if copies == 0 else "an item is there twice"
            if w.claims[item] > 1 + w.deaths[item]:
                return "an item is delivered again, and nobody died"
        if self.unfinished(w) != w.tail - w.finished:
            return "unfinished is wrong"
        if w.head_lock == 0 and any(lease.deliveries != w.claims[lease.pos] for lease in self.valid(w)):
            return "a delivery is not counted"
        return ""

    def check_end(self, world: Queue) -> str:
        w = world
        alive = [p for p in w.processes if p.pc not in {"dead", "done"}]
        has_janitor = any(p.role == "janitor" for p in alive)
        if has_janitor and any(p.pc == "dead" and not p.swept for p in w.processes):
            return "a dead process is not swept"
        asleep = [p for p in alive if p.role == "consumer"]
        to_redeliver = any(lease.owner == NOBODY for lease in self.valid(w)) and (w.orphans or has_janitor)
        if asleep and (w.head != w.tail or to_redeliver):
            return "there is something to deliver, and the consumers sleep"
        if any(p.role == "joiner" for p in alive) and self.unfinished(w) == 0:
            return "nothing is unfinished, and somebody sleeps in join"
        if any(p.pc not in {"asleep", "lead_enter", "join_asleep", "watch", "done_enter"} for p in alive):
            return "nobody moves"
        return ""

    def canonical(self, world: Queue) -> None:
        """Those of one role are alike: sort them."""
        w, old = world, world.processes
        w.processes = sorted(old, key=self.own_role)
        new = {0: 0}
        for i, p in enumerate(old, 1):
            new[i] = self.me(w, p)
        w.head_lock, w.lead_get, w.domain = new[w.head_lock], new[w.lead_get], new[w.domain]
        w.leases = tuple(sorted(lease._replace(owner=new[lease.owner]) for lease in w.leases))
        for p in w.processes:
            p.dead = new[p.dead]

    def own_role(self, p: Worker) -> tuple[object, ...]:
        return (p.role, self.own(p))

    def me(self, w: Queue, p: Worker) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def replace(self, w: Queue, old: Lease, *new: Lease) -> None:
        leases = list(w.leases)
        leases.remove(old)
        w.leases = tuple(sorted([*leases, *new]))

    # enter_head: void leases are ended before anything else

    def enter(self, w: Queue, p: Worker, then: str) -> Iterable[Queue] | None:
        if w.head_lock:
            return ()
        w.head_lock = self.me(w, p)
        died, w.head_died = w.head_died, False
        repairs = "void repair" not in self.without and (p.role != "janitor" or "all repair" not in self.without)
        p.pc, p.then = ("repair", then) if died and repairs else (then, "")
        return None

    def at_repair(self, w: Queue, p: Worker) -> None:
        """One store for each; who dies here leaves the rest to the next owner, who is told again."""
        void = [lease for lease in w.leases if lease.pos >= w.head]
        if void:
            self.replace(w, void[0])
        else:
            p.pc = "repair_orphans"

    def at_repair_orphans(self, w: Queue, p: Worker) -> None:
        """A sweep that was killed set it before the leases: then there may be none."""
        w.orphans = any(lease.owner == NOBODY for lease in self.valid(w))
        p.pc, p.then = p.then, ""

    # get_locked

    def at_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        return self.enter(w, p, "get")

    def at_get(self, w: Queue, p: Worker) -> None:
        p.pc = "claim" if w.orphans else "get_end"

    def at_claim(self, w: Queue, p: Worker) -> None:
        """The oldest that waits for it; one store names the new owner and counts the delivery."""
        waiting = [lease for lease in self.valid(w) if lease.owner == NOBODY]
        if not waiting:
            p.pc = "no_orphan"
            return
        lease = waiting[0]
        counted = "one store" not in self.without
        self.replace(w, lease, lease._replace(owner=self.me(w, p), deliveries=lease.deliveries + counted))
        w.claims = put(w.claims, lease.pos, w.claims[lease.pos] + 1)
        p.target = lease.pos
        p.pc = "claim_leave" if counted else "claim_count"

    def at_claim_count(self, w: Queue, p: Worker) -> None:
        lease = next(lease for lease in self.valid(w) if lease.pos == p.target)
        self.replace(w, lease, lease._replace(deliveries=lease.deliveries + 1))
        p.pc = "claim_leave"

    def at_claim_leave(self, w: Queue, p: Worker) -> None:
        p.hand += (p.target,)
        p.target = -1
        self.leave(w, p)

    def at_no_orphan(self, w: Queue, p: Worker) -> None:
        w.orphans = False
        p.pc = "get_end"

    def at_get_end(self, w: Queue, p: Worker) -> None:
        if w.head == w.tail:
            p.pc = "leave_wanting"
        elif self.is_prepaid(w):
            p.pc = "take_plain" if "prepaid_to" not in self.without else "take_prepaid"
        else:
            p.pc = "lease" if "lease first" not in self.without else "take"

    def is_prepaid(self, w: Queue) -> bool:
        return w.prepaid > (w.head if "prepaid_to" not in self.without else 0)

    def at_lease(self, w: Queue, p: Worker) -> None:
        """The entry is written before its `pos`, which is one store; void until the head moves."""
        w.leases = tuple(sorted([*w.leases, Lease(w.head + p.written, self.me(w, p), 1)]))
        p.written += 1
        more = p.written < self.batch and w.head + p.written < w.tail
        p.pc = "lease" if more else "take" if "lease first" not in self.without else "take_leave"

    def at_take(self, w: Queue, p: Worker) -> None:
        """One store of `head`, for all that were written."""
        late = "lease first" in self.without
        for pos in range(w.head, w.head + p.written + late):
            w.claims = put(w.claims, pos, w.claims[pos] + 1)
            p.hand += (pos,)
        w.head += p.written + late
        p.written = -late
        p.pc = "lease" if late else "take_leave"

    def at_take_leave(self, w: Queue, p: Worker) -> None:
        p.written = 0
        self.leave(w, p)

    def at_take_plain(self, w: Queue, p: Worker) -> None:
        """Its task_done came before: no lease."""
        w.claims = put(w.claims, w.head, w.claims[w.head] + 1)
        w.over = put(w.over, w.head, True)
        w.head += 1
        p.pc = "plain_leave"

    def at_take_prepaid(self, w: Queue, p: Worker) -> None:
        """Only where prepaid is a count: then that is a store of its own."""
        w.prepaid -= 1
        p.pc = "take_plain"

    def at_plain_leave(self, w: Queue, p: Worker) -> None:
        self.leave(w, p)

    def leave(self, w: Queue, p: Worker) -> None:
        w.head_lock = 0
        p.pc = "lead_leave" if p.leading else self.work(p)

    def at_lead_leave(self, w: Queue, p: Worker) -> None:
        w.lead_get, p.leading = 0, False
        p.pc = self.work(p)

    def work(self, p: Worker) -> str:
        if p.role == "leaver":
            p.hand, p.clean = (), True
            return "dead"
        return "done_enter" if p.hand else "enter"

    # wait_side, lead, sleep_once

    def at_leave_wanting(self, w: Queue, p: Worker) -> None:
        w.head_lock = 0
        p.pc = "announce" if p.leading else "lead_enter"

    def at_lead_enter(self, w: Queue, p: Worker) -> Iterable[Queue] | None:
        if w.lead_get:
            return ()
        w.lead_get, p.leading = self.me(w, p), True
        p.pc = "enter"
        return None

    def at_announce(self, w: Queue, p: Worker) -> None:
        p.seen, w.not_empty = w.tail, True
        p.pc = "recheck"

    def at_recheck(self, w: Queue, p: Worker) -> None:
        found = w.head != w.tail or (w.orphans and "look at orphans" not in self.without)
        self.go(p, "enter" if found else "waitv_sleeper")

    def go(self, p: Worker, pc: str) -> None:
        p.pc = pc
        p.seen = 0 if pc in {"enter", "join", "done"} else p.seen

    def at_waitv_sleeper(self, w: Queue, p: Worker) -> None:
        """futex_waitv queues at one word after the other; a wake at one of them counts at once."""
        self.go(p, "waitv_tail" if w.not_empty else "enter")

    def at_waitv_tail(self, w: Queue, p: Worker) -> None:
        self.go(p, "waitv_orphans" if w.tail == p.seen else "enter")

    def at_waitv_orphans(self, w: Queue, p: Worker) -> None:
        self.go(p, "enter" if w.orphans and "watch orphans" not in self.without else "asleep")

    def wake_leader(self, w: Queue) -> None:
        for p in w.processes:
            if p.pc in {"waitv_tail", "waitv_orphans", "asleep"}:
                self.go(p, "enter")

    # pn_ring_put

    def at_put(self, w: Queue, p: Worker) -> None:
        w.tail += 1
        p.todo -= 1
        if w.not_empty:
            w.not_empty = False
            self.wake_leader(w)
        p.pc = "put" if p.todo else "done"
