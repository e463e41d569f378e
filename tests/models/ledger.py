"""The ledger lock of core/lock.c: owned by the slot of a process, released by anybody, buried by a sweep.

What happens in the word is `_word.py`. The owner id is a slot, so the kernel does not mark a dead owner: a janitor does, under
the domain's lock (sweep_object, pn_ledger_bury). A borrower takes the lock and keeps it; a helper releases it for him
(pn_ledger_release in another process), while he may die and be buried.

Held against: two owners at once; somebody who loses the lock although he lives; an owner who is not told of a death; a sleeper
who is never woken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Run, main
from tests.models._word import Sleeper, Word, WordWorld, asleep, wake_up

OWNING = frozenset({"own_clear", "critical", "release_pending", "free", "free_sticky", "lent"})
IDLE = frozenset({"lent", "help", "watch"})


@dataclass(slots=True)
class Actor(Sleeper):
    """role: user, borrower, helper, janitor."""

    role: str = "user"
    rounds: int = 0
    freeing: int = 0  # the owner for whom the lock is released, or who is buried
    swept: bool = False  # the slot of this dead process is free


@dataclass(slots=True)
class LedgerWorld(WordWorld[Actor]):
    """returned: a helper has released the borrowed lock (a ghost)."""

    sweeping: int = 0  # the janitor who holds the domain's lock
    returned: bool = False


class Ledger(Word[LedgerWorld, Actor]):
    """Safeguards beside those of the word: *pending in release*, *owner asked*, *pending, W, wake in bury*."""

    roles: tuple[str, ...] = ("user", "user", "user", "janitor")
    rounds = 1

    def start(self) -> LedgerWorld:
        first = {"user": "try_take", "borrower": "try_take", "helper": "help", "janitor": "watch"}
        return LedgerWorld([Actor(first[role], role=role, rounds=self.rounds) for role in self.roles], self.kills)

    def rename(self, w: LedgerWorld, new: dict[int, int]) -> None:
        super().rename(w, new)
        w.sweeping = new[w.sweeping]
        for p in w.processes:
            p.freeing = new[p.freeing]

    def check(self, world: LedgerWorld) -> str:
        for i, p in enumerate(world.processes, 1):
            owns = p.pc in OWNING if p.role == "user" else p.pc == "lent" and not world.returned
            if owns and world.owner != i:
                return "a living owner has lost the lock"
        return world.fault

    def check_end(self, world: LedgerWorld) -> str:
        waiting = [p for p in world.processes if p.pc not in IDLE | {"done", "dead"}]
        lent_for_ever = world.owner and world.processes[world.owner - 1].pc == "lent"
        no_janitor = all(p.pc == "dead" for p in world.processes if p.role == "janitor")
        if not waiting or lent_for_ever or (no_janitor and not self.with_net):
            return ""
        return "nobody moves, and there are sleepers"

    # pn_ledger_try, pn_ledger_wait

    def at_try_take(self, w: LedgerWorld, p: Actor) -> None:
        self.take_free(w, p, "wait_pending")

    def taken(self, w: LedgerWorld, p: Actor) -> None:
        p.pc = "own_clear"

    def at_own_clear(self, w: LedgerWorld, p: Actor) -> None:
        p.pending = False
        p.pc = "critical" if p.role == "user" else "lent"

    # pn_ledger_release, by the owner and by another process

    def at_critical(self, w: LedgerWorld, p: Actor) -> None:
        p.freeing = w.owner
        p.pc = "release_pending"

    def at_help(self, w: LedgerWorld, p: Actor) -> Iterable[LedgerWorld] | None:
        if not w.owner or w.processes[w.owner - 1].pc != "lent":
            return ()
        p.freeing = w.owner
        p.pc = "release_pending"
        return None

    def at_release_pending(self, w: LedgerWorld, p: Actor) -> None:
        p.pending = "pending in release" not in self.without
        p.pc = "free"

    def lock_id(self, w: LedgerWorld, p: Actor) -> int:
        return p.freeing if "owner asked" not in self.without else w.owner

    def give_up(self, w: LedgerWorld, p: Actor, then: str) -> None:
        if p.role == "helper":
            w.returned, w.owed = True, False  # on his own responsibility, also if the borrower has died meanwhile
        super().give_up(w, p, then)

    def given_up(self, w: LedgerWorld, p: Actor) -> None:
        p.pc = "round_end"

    def at_round_end(self, w: LedgerWorld, p: Actor) -> None:
        p.pending = p.assumed = False
        p.freeing = 0
        p.rounds -= 1
        p.pc = "try_take" if p.rounds else "done"

    # pn_sweep: sweep_object, pn_ledger_bury

    def at_watch(self, w: LedgerWorld, p: Actor) -> Iterable[LedgerWorld] | None:
        """Take the domain's lock and the slot of somebody who is dead; not a janitor's, who owns nothing."""
        dead = [i for i, q in enumerate(w.processes, 1) if q.pc == "dead" and not q.swept]
        if not dead or w.sweeping:
            return ()
        w.sweeping = self.me(w, p)
        p.freeing = dead[0]
        p.pc = "bury_pending"
        return None

    def at_bury_pending(self, w: LedgerWorld, p: Actor) -> None:
        p.pending = "pending in bury" not in self.without
        p.pc = "bury"

    def at_bury(self, w: LedgerWorld, p: Actor) -> None:
        if w.owner != p.freeing:
            p.pc = "bury_clear"
            return
        w.owner, w.died = 0, True
        w.waiters = w.waiters and "W in bury" not in self.without
        p.pc = "bury_wake" if "wake in bury" not in self.without else "bury_clear"

    def at_bury_wake(self, w: LedgerWorld, p: Actor) -> Iterable[LedgerWorld]:
        for now, me, _ in self.wake_one(w, p, asleep, wake_up):
            me.pc = "bury_clear"
            yield now

    def at_bury_clear(self, w: LedgerWorld, p: Actor) -> None:
        p.pending = False
        p.pc = "bury_end"

    def at_bury_end(self, w: LedgerWorld, p: Actor) -> None:
        w.processes[p.freeing - 1].swept = True
        w.sweeping = p.freeing = 0
        p.pc = "watch"

    # the end of a slice: check_owner

    def end_slice(self, world: LedgerWorld, process: Actor) -> bool:
        if not super().end_slice(world, process):
            return False
        if world.owner and world.processes[world.owner - 1].pc == "dead":
            world.owner, world.died = 0, True
        return True

    # the kernel: handle_futex_death knows no slots, only the pending wake

    def die(self, world: LedgerWorld, process: Actor) -> None:
        w, p = world, process
        wakes = p.pending and w.owner == 0
        w.owed = w.owed or w.owner == self.me(w, p)
        if w.sweeping == self.me(w, p):
            w.sweeping = 0  # the domain's lock is robust
        p.pending = p.assumed = False
        p.expected = p.rounds = p.freeing = 0
        p.swept = p.role == "janitor"
        p.pc = "exit_wake" if wakes else "dead"


USERS = ("user", "user", "user", "janitor")
LENT = ("user", "user", "borrower", "helper", "janitor")
TWO_JANITORS = ("user", "user", "user", "janitor", "janitor")

RUNS = [
    Run("3 users, 1 kill", Ledger(roles=USERS, kills=1), quick=True),
    Run("2 users, 2 rounds, 1 kill", Ledger(roles=USERS[1:], rounds=2, kills=1), quick=True),
    Run("2 users, borrower, helper, 1 kill", Ledger(roles=LENT, kills=1), quick=True),
    Run("2 users, borrower, helper, 2 kills", Ledger(roles=LENT, kills=2)),
    Run("4 users, 2 kills, with slices", Ledger(roles=("user", *USERS), kills=2, with_net=True)),
    Run("3 users, two janitors, 2 kills", Ledger(roles=TWO_JANITORS, kills=2)),
    Run("2 users, two janitors, 2 kills", Ledger(roles=TWO_JANITORS[1:], kills=2), quick=True),
    Run("without sticky W", Ledger(roles=USERS, kills=1, without={"sticky"}), quick=True),
    Run("without list_op_pending in release", Ledger(kills=1, without={"pending in release"}), quick=True),
    Run("without list_op_pending in wait", Ledger(kills=1, rounds=2, without={"pending in wait"}), quick=True),
    Run("released without asking who owns it", Ledger(roles=LENT, kills=1, without={"owner asked"}), quick=True),
    Run("buried without W", Ledger(roles=("user", *USERS), kills=2, without={"W in bury"})),
    Run("buried without a wake", Ledger(kills=1, without={"wake in bury"}), quick=True),
    Run(
        "buried without list_op_pending",
        Ledger(roles=TWO_JANITORS[1:], kills=2, without={"pending in bury"}),
        quick=True,
    ),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
