"""The robust futex lock of core/lock.c, step by step: pn_lock_enter and pn_lock_release.

Processes enter and leave a lock some rounds long, any of them killed anywhere. What happens in the word is `_word.py`; here is
what a thread does around it: the robust list and list_op_pending, and what the kernel makes of them at its death.

Held against: two owners at once; an owner who is not told that the last one died; a sleeper who is never woken; a cell
that stays linked or pending after the operation.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tests.models._engine import Run, main
from tests.models._word import Sleeper, Word, WordWorld

OWNING = frozenset({"link", "link_clear", "critical", "unlink", "free", "free_sticky"})


@dataclass(slots=True)
class Locker(Sleeper):
    """A thread that enters and leaves."""

    listed: bool = False  # the cell is in the robust list
    rounds: int = 0


class Lock(Word[WordWorld[Locker], Locker]):
    """Safeguards beside those of the word: *pending in try*, *pending in release*, *list*, *link before clear*."""

    processes = 3
    rounds = 1  # how often each enters and leaves
    impatient = 0  # so many of them have a deadline
    marked = False  # each leaves its first round by pn_lock_release_marked

    def start(self) -> WordWorld[Locker]:
        patience = [i >= self.impatient for i in range(self.processes)]
        lockers = [Locker("try_pending", patient=patient, rounds=self.rounds) for patient in patience]
        return WordWorld(lockers, self.kills)

    def check(self, world: WordWorld[Locker]) -> str:
        inside = [i for i, p in enumerate(world.processes, 1) if p.pc in OWNING]
        if len(inside) > 1:
            return "two owners at once"
        if inside and inside[0] != world.owner:
            return "an owner whom the word does not name"
        return world.fault

    def check_end(self, world: WordWorld[Locker]) -> str:
        if any(p.pc == "done" and (p.pending or p.listed) for p in world.processes):
            return "the cell is still listed or pending"
        return super().check_end(world)

    # pn_lock_try

    def at_try_pending(self, w: WordWorld[Locker], p: Locker) -> None:
        p.pending = "pending in try" not in self.without
        p.pc = "try_take"

    def at_try_take(self, w: WordWorld[Locker], p: Locker) -> None:
        """Twice in C, with `spin` between, which only looks."""
        self.take_free(w, p, "try_clear")

    def at_try_clear(self, w: WordWorld[Locker], p: Locker) -> None:
        """PN_BUSY: pn_lock_enter goes on with pn_lock_wait."""
        p.pending = False
        p.pc = "wait_pending"

    # owned

    def taken(self, w: WordWorld[Locker], p: Locker) -> None:
        p.pc = "link"

    def at_link(self, w: WordWorld[Locker], p: Locker) -> None:
        """link_lock: the store of head.list is what the kernel sees."""
        if "link before clear" in self.without:
            p.pending = False
        else:
            p.listed = "list" not in self.without
        p.pc = "link_clear"

    def at_link_clear(self, w: WordWorld[Locker], p: Locker) -> None:
        if "link before clear" in self.without:
            p.listed = True
        p.pending = False
        p.pc = "critical"

    # pn_lock_release

    def mark(self, p: Locker) -> bool:
        return self.marked and p.rounds == self.rounds

    def at_critical(self, w: WordWorld[Locker], p: Locker) -> None:
        p.pending = "pending in release" not in self.without
        p.pc = "unlink"

    def at_unlink(self, w: WordWorld[Locker], p: Locker) -> None:
        p.listed = False
        p.pc = "free"

    def given_up(self, w: WordWorld[Locker], p: Locker) -> None:
        p.pc = "round_end"

    def at_round_end(self, w: WordWorld[Locker], p: Locker) -> None:
        p.pending = p.assumed = False
        p.rounds -= 1
        p.pc = "try_pending" if p.rounds else "done"

    # the kernel: exit_robust_list, handle_futex_death

    def die(self, world: WordWorld[Locker], process: Locker) -> None:
        w, p = world, process
        wakes = False
        if w.owner == self.me(w, p):
            w.owed = True
            if p.listed or p.pending:
                w.owner, w.died = 0, True
                wakes = w.waiters
        elif w.owner == 0 and p.pending:
            wakes = True
        p.pending = p.listed = p.assumed = False
        p.expected = p.rounds = 0
        p.pc = "exit_wake" if wakes else "dead"


RUNS = [
    Run("2 processes, 2 rounds, 2 kills", Lock(processes=2, rounds=2, kills=2), quick=True),
    Run("3 processes, 2 rounds, 1 kill", Lock(rounds=2, kills=1), quick=True),
    Run("3 processes, 2 rounds, 2 kills", Lock(rounds=2, kills=2)),
    Run("3 processes, 2 rounds, 1 kill, two with deadlines", Lock(rounds=2, kills=1, impatient=2)),
    Run("3 processes, 2 rounds, 1 kill, released with the mark", Lock(rounds=2, kills=1, marked=True)),
    Run("4 processes, 1 kill", Lock(processes=4, kills=1)),
    Run("4 processes, 2 kills, with slices", Lock(processes=4, kills=2, with_net=True)),
    Run("without sticky W (pthread_mutex_unlock)", Lock(kills=1, without={"sticky"}), quick=True),
    Run("without the second wake", Lock(kills=1, rounds=2, without={"second wake"}), quick=True),
    Run("without list_op_pending in release", Lock(kills=1, without={"pending in release"}), quick=True),
    Run("without list_op_pending in wait", Lock(kills=1, rounds=2, without={"pending in wait"}), quick=True),
    Run("without list_op_pending in try", Lock(kills=1, without={"pending in try"}), quick=True),
    Run("without the robust list", Lock(kills=1, without={"list"}), quick=True),
    Run("pending cleared before the cell is linked", Lock(kills=1, without={"link before clear"}), quick=True),
    Run("a taker drops W", Lock(kills=1, without={"W kept"}), quick=True),
    Run("who has slept takes without W", Lock(processes=4, kills=1, without={"assumed W"})),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
