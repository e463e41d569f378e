"""The barrier of core/barrier.c: arriving, ending a round, breaking it, and burying one that died at it.

Each party has a line of its own, (in use, round, note). The word is (round, broken); who sleeps watches all of it, and the
kernel wakes one sleeper for a dead one whose list_op_pending names it. `ends` is a ghost: how each round ended for those in it.

Held against: two of one round that are told different ends; one that sleeps though its round is over; a dead one whose
line is there, with a janitor that has nothing to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models import _guarded
from tests.models._engine import Run, main

NONE = -1


@dataclass(slots=True)
class Actor(_guarded.Actor):
    """role: party, impatient, aborter, resetter, janitor."""

    line: int = NONE
    rounds: int = 1
    round: int = 0  # the one that it is in
    seen: tuple[int, bool] = (0, False)
    how: str = ""  # it is about to end the round
    pending: bool = False
    whom: int = NONE


@dataclass(slots=True)
class BarrierWorld(_guarded.GuardedWorld[Actor]):
    """The cell."""

    lines: tuple[tuple[bool, int, str], ...] = ()
    round: int = 0
    broken: bool = False
    announced: tuple[int, bool] = (0, False)
    ends: tuple[str, ...] = ()


def sleeps(p: Actor) -> bool:
    return p.pc == "asleep"


def wake_up(p: Actor) -> None:
    p.pc = "woken"


class Barrier(_guarded.Guarded[BarrierWorld, Actor]):
    """Safeguards beside *repair*: *pending in end*, *pending in wait*, *help*, *notes first*, *all of the state*, *buried*."""

    roles: tuple[str, ...] = ("party", "party", "janitor")
    parties = 2
    rounds = 1

    def start(self) -> BarrierWorld:
        first = {"janitor": "watch"}
        actors, lines = [], 0
        for role in self.roles:
            if role in {"party", "impatient"}:
                actors.append(Actor("enter", role, then="arrive", line=lines, rounds=self.rounds))
                lines += 1
            else:
                actors.append(Actor(first.get(role, "enter"), role, then="" if role == "janitor" else role))
        return BarrierWorld(actors, self.kills, lines=((False, 0, ""),) * lines, ends=("",) * 8)

    def state(self, w: BarrierWorld) -> tuple[int, bool]:
        return w.round, w.broken

    def is_over(self, w: BarrierWorld, p: Actor) -> bool:
        return w.broken or w.round != p.round

    def count(self, w: BarrierWorld) -> int:
        return sum(used and number == w.round for used, number, _ in w.lines)

    def put(self, w: BarrierWorld, line: int, used: bool, number: int, note: str) -> None:
        lines = list(w.lines)
        lines[line] = (used, number, note)
        w.lines = tuple(lines)

    def check_end(self, world: BarrierWorld) -> str:
        late = [p for p in world.processes if sleeps(p) and self.is_over(world, p)]
        if late:
            return "one sleeps, and its round is over"
        janitor = any(p.role == "janitor" and p.pc == "watch" for p in world.processes)
        dead = [p for p in world.processes if p.pc == "dead" and p.line != NONE and world.lines[p.line][0]]
        return "a dead one is there for ever" if janitor and dead else ""

    # pn_barrier_arrive

    def at_arrive(self, w: BarrierWorld, p: Actor) -> None:
        if w.broken:
            self.leave(w, p, "done")
            return
        before = self.count(w)
        if before >= self.parties:
            self.leave(w, p, "done")  # an action runs, or a dead one is the last: not of this model
            return
        self.put(w, p.line, True, w.round, "")
        p.round = w.round
        if before + 1 == self.parties:
            p.how, p.pc = "passed", "note"
        else:
            self.leave(w, p, "wait_pending")

    # end_round, set_state

    def at_note(self, w: BarrierWorld, p: Actor) -> None:
        if "notes first" not in self.without:
            self.write_notes(w, w.round, p.how)
        p.pending = "pending in end" not in self.without
        p.pc = "commit"

    def write_notes(self, w: BarrierWorld, number: int, how: str) -> None:
        for i, (used, of, _) in enumerate(w.lines):
            if used and of == number:
                self.put(w, i, used, of, how)

    def at_commit(self, w: BarrierWorld, p: Actor) -> None:
        ends = list(w.ends)
        if not w.broken:
            ends[w.round] = p.how
        w.ends = tuple(ends)
        old = w.round
        if p.how in {"passed", "reset"}:
            w.round, w.broken = w.round + 1, False
        else:
            w.broken = True
        if "notes first" in self.without:
            p.seen, p.pc = (old, False), "late_note"
        else:
            p.pc = "wake"

    def at_late_note(self, w: BarrierWorld, p: Actor) -> None:
        self.write_notes(w, p.seen[0], p.how)
        p.pc = "wake"

    def wake_all(self, w: BarrierWorld) -> None:
        for p in w.processes:
            if sleeps(p):
                wake_up(p)

    def at_wake(self, w: BarrierWorld, p: Actor) -> None:
        self.wake_all(w)
        p.pc = "announce"

    def at_announce(self, w: BarrierWorld, p: Actor) -> None:
        w.announced = self.state(w)
        p.pending = False
        p.how = ""
        if p.role == "janitor":
            p.pc = "bury"
        elif p.role in {"party", "impatient"}:
            self.leave(w, p, "depart")
        else:
            self.leave(w, p, "done")

    # pn_barrier_sleep

    def at_wait_pending(self, w: BarrierWorld, p: Actor) -> None:
        p.pending = "pending in wait" not in self.without
        p.pc = "look"

    def at_look(self, w: BarrierWorld, p: Actor) -> None:
        p.seen = self.state(w)
        p.pc = "help" if self.is_over(w, p) else "futex"

    def at_futex(self, w: BarrierWorld, p: Actor) -> None:
        if "all of the state" in self.without:
            same = (w.round % 2, w.broken) == (p.seen[0] % 2, p.seen[1])
        else:
            same = self.state(w) == p.seen
        p.pc = "asleep" if same else "woken"

    def at_asleep(self, w: BarrierWorld, p: Actor) -> Iterable[BarrierWorld] | None:
        """Its time may run out."""
        if p.role != "impatient":
            return ()
        p.pending = False
        self.enter(p, "give_up")
        return None

    def at_give_up(self, w: BarrierWorld, p: Actor) -> None:
        if self.is_over(w, p):
            self.leave(w, p, "depart")
        elif self.count(w) >= self.parties:
            self.leave(w, p, "wait_pending")
        else:
            p.how, p.pc = "timed out", "note"

    def at_woken(self, w: BarrierWorld, p: Actor) -> None:
        p.pc = "help" if self.is_over(w, p) else "look"

    def at_help(self, w: BarrierWorld, p: Actor) -> None:
        if w.announced != self.state(w) and "help" not in self.without:
            self.wake_all(w)
        p.pending = False
        p.pc = "depart"

    def at_depart(self, w: BarrierWorld, p: Actor) -> None:
        _, number, note = w.lines[p.line]
        if note != w.ends[number]:
            w.fault = f"one is told '{note}' of a round that ended '{w.ends[number]}'"
        self.put(w, p.line, False, 0, "")
        p.seen = (0, False)
        p.rounds -= 1
        if p.rounds and note == "passed":
            self.enter(p, "arrive")
        else:
            p.pc = "done"

    # abort, reset

    def at_aborter(self, w: BarrierWorld, p: Actor) -> None:
        if w.broken:
            self.leave(w, p, "done")
        else:
            p.how, p.pc = "aborted", "note"

    def at_resetter(self, w: BarrierWorld, p: Actor) -> None:
        if w.broken:
            p.how, p.pending, p.pc = "reset", "pending in end" not in self.without, "commit"
        elif self.count(w):
            p.how, p.pc = "reset", "note"
        else:
            self.leave(w, p, "done")

    # bury

    def at_watch(self, w: BarrierWorld, p: Actor) -> Iterable[BarrierWorld] | None:
        dead = [i for i, q in enumerate(w.processes) if q.pc == "dead" and not q.buried and q.line != NONE]
        busy = [q.whom for q in w.processes if q.role == "janitor" and q.pc != "dead"]
        dead = [i for i in dead if i not in busy]
        if not dead or "buried" in self.without:
            return ()
        p.whom = dead[0]
        self.enter(p, "bury")
        return None

    def at_bury(self, w: BarrierWorld, p: Actor) -> None:
        line = w.processes[p.whom].line
        used, number, _ = w.lines[line]
        if used and not w.broken and w.round == number:
            p.how, p.pc = "died", "note"
            return
        if used:
            self.put(w, line, False, 0, "")
        w.processes[p.whom].buried = True
        p.whom = NONE
        self.leave(w, p, "watch")

    # the lock of a dead owner

    def at_repair(self, w: BarrierWorld, p: Actor) -> None:
        if w.announced != self.state(w):
            self.wake_all(w)
            w.announced = self.state(w)
        w.died = False
        p.pc = p.then

    # the kernel

    def die(self, world: BarrierWorld, process: Actor) -> None:
        w, p = world, process
        self.drop_lock(w, p)
        wakes = p.pending
        p.pending, p.how, p.then, p.whom, p.seen, p.rounds = False, "", "", NONE, (0, False), 0
        p.pc = "exit_wake" if wakes else "dead"

    def at_exit_wake(self, w: BarrierWorld, p: Actor) -> Iterable[BarrierWorld]:
        for now, me, _ in self.wake_one(w, p, sleeps, wake_up):
            me.pc = "dead"
            yield now


TWO = ("party", "party", "janitor")
THREE = ("party", *TWO)
MORE = ("party", "party", "party", "party")

RUNS = [
    Run("2 parties, 2 rounds, 1 kill", Barrier(rounds=2, kills=1), quick=True),
    Run("2 parties, 2 rounds, 2 kills, two janitors", Barrier(roles=(*TWO, "janitor"), rounds=2, kills=2)),
    Run("3 parties, 1 kill", Barrier(roles=THREE, parties=3, kills=1), quick=True),
    Run("3 parties, 2 kills", Barrier(roles=THREE, parties=3, kills=2)),
    Run("4 for a barrier of 2, 1 kill", Barrier(roles=MORE, kills=1)),
    Run("2 parties, one aborts, one resets, 1 kill", Barrier(roles=(*TWO, "aborter", "resetter"), kills=1)),
    Run("3 parties, one is impatient, 1 kill", Barrier(roles=("impatient", *TWO), parties=3, kills=1), quick=True),
    Run("2 parties, one is reset, 2 kills", Barrier(roles=(*TWO, "resetter"), kills=2), quick=True),
    Run(
        "without list_op_pending in the end",
        Barrier(roles=THREE[:3], parties=3, kills=1, without={"pending in end"}),
        quick=True,
    ),
    Run("3 parties and nobody who buries, 2 kills", Barrier(roles=THREE[:3], parties=3, kills=2), quick=True),
    Run(
        "without list_op_pending in wait",
        Barrier(roles=THREE[:3], parties=3, kills=2, without={"pending in wait"}),
        quick=True,
    ),
    Run(
        "who is woken does not wake the others",
        Barrier(roles=THREE[:3], parties=3, kills=1, without={"help"}),
        quick=True,
    ),
    Run("the lines are told after the end", Barrier(without={"notes first"}), quick=True),
    Run("nobody buries", Barrier(kills=1, without={"buried"}), quick=True),
    Run(
        "only the flags are watched",
        Barrier(roles=("party", "resetter", "party", "resetter"), parties=3, without={"all of the state"}),
        quick=True,
    ),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
