"""The condition of core/condition.c: getting in line, being notified, and what becomes of it if somebody is killed.

Each waiter has a line of its own, (in use, ticket, note, asleep). Notifiers notify n; janitors bury the dead; a waiter may run
out of time, or leave by an exception after it was notified. The user's lock is not here: `back` is the place where a waiter
waits for it.

Held against: a notification that is neither used up nor anybody's (lost), or more used up than were made (doubled); a
waiter that sleeps though it is notified.
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
    """role: waiter, impatient (its time may run out), raiser (leaves by an exception), notifier, janitor."""

    line: int = NONE  # a waiter's own; of others: the line that they are at
    pending: int = NONE  # the line whose word list_op_pending names
    served: int = 0  # a copy: what it is about to store, or has read
    after: str = ""  # where `wake_next` goes on
    whom: int = NONE  # the dead process that a janitor buries
    in_vain: bool = False  # this one was not notified


@dataclass(slots=True)
class ConditionWorld(_guarded.GuardedWorld[Actor]):
    """The cell. Ghosts: grants were made, used up, or given up as nobody waited."""

    lines: tuple[tuple[bool, int, int, bool], ...] = ()
    served: int = 0
    announced: int = 0
    tickets: int = 0
    grants: int = 0
    used: int = 0
    void: int = 0


class Condition(_guarded.Guarded[ConditionWorld, Actor]):
    """Safeguards beside *repair*: *pending in notify*, *help*, *mark first*, *both words*,
    *note*, *used up late*, *buried*."""

    roles: tuple[str, ...] = ("waiter", "waiter", "notifier", "janitor")
    n = 1

    def start(self) -> ConditionWorld:
        actors = []
        lines = 0
        for role in self.roles:
            if role == "notifier":
                actors.append(Actor("enter", role, then="notify"))
            elif role == "janitor":
                actors.append(Actor("watch", role))
            else:
                actors.append(Actor("enter", role, then="enlist", line=lines))
                lines += 1
        return ConditionWorld(actors, self.kills, lines=((False, 0, 0, False),) * lines)

    # the lines

    def put(self, w: ConditionWorld, line: int, *values: object) -> None:
        lines = list(w.lines)
        lines[line] = tuple(values)  # type: ignore[assignment]
        w.lines = tuple(lines)

    def set_word(self, w: ConditionWorld, line: int, asleep: bool) -> None:
        used, ticket, note, _ = w.lines[line]
        self.put(w, line, used, ticket, note, asleep)

    def free(self, w: ConditionWorld, line: int) -> None:
        self.put(w, line, False, 0, 0, False)

    def waiting(self, w: ConditionWorld) -> list[int]:
        """The lines that nobody has notified, the oldest first."""
        found = [i for i, (used, ticket, _, _) in enumerate(w.lines) if used and ticket >= w.served]
        return sorted(found, key=lambda i: w.lines[i][1])

    def outstanding(self, w: ConditionWorld) -> int:
        """Notified, not used up, and not handed on."""
        return sum(used and ticket < w.served and not 0 < note <= w.served for used, ticket, note, _ in w.lines)

    def check(self, world: ConditionWorld) -> str:
        known = world.used + world.void + self.outstanding(world)
        if "used up late" in self.without:  # they are alive, and on their way
            known += sum(p.pc == "back" or p.after == "helped" for p in world.processes)
        if known != world.grants:
            return "a notification is lost" if known < world.grants else "a notification is doubled"
        return world.fault

    def check_end(self, world: ConditionWorld) -> str:
        for p in world.processes:
            if p.pc == "asleep" and world.lines[p.line][1] < world.served:
                return "one sleeps that was notified"
        janitor = any(p.role == "janitor" and p.pc == "watch" for p in world.processes)
        if janitor and self.outstanding(world):
            return "a notification is a dead one's for ever"
        return ""

    # enlist

    def at_enlist(self, w: ConditionWorld, p: Actor) -> None:
        self.put(w, p.line, True, w.tickets, 0, False)
        w.tickets += 1
        self.leave(w, p, "mark" if "mark first" not in self.without else "look")

    # sleep

    def is_served(self, w: ConditionWorld, p: Actor) -> bool:
        return w.lines[p.line][1] < w.served

    def at_mark(self, w: ConditionWorld, p: Actor) -> None:
        self.set_word(w, p.line, True)
        p.pc = "look" if "mark first" not in self.without else "futex"

    def at_look(self, w: ConditionWorld, p: Actor) -> None:
        p.served = w.served
        if self.is_served(w, p):
            p.pc = "woken"
        else:
            p.pc = "futex" if "mark first" not in self.without else "mark"

    def at_futex(self, w: ConditionWorld, p: Actor) -> None:
        """The kernel's wake does not change the word: `served` is watched as well."""
        same = w.lines[p.line][3] and ("both words" in self.without or w.served == p.served)
        p.pc = "asleep" if same else "look_again"

    def at_asleep(self, w: ConditionWorld, p: Actor) -> Iterable[ConditionWorld] | None:
        """Its time may run out."""
        if p.role != "impatient":
            return ()
        p.pc = "time_out"
        return None

    def at_look_again(self, w: ConditionWorld, p: Actor) -> None:
        p.pc = "woken" if self.is_served(w, p) else "mark"

    def at_time_out(self, w: ConditionWorld, p: Actor) -> None:
        if self.is_served(w, p):
            p.pc = "woken"
        else:
            self.enter(p, "withdraw")

    def at_withdraw(self, w: ConditionWorld, p: Actor) -> None:
        if self.is_served(w, p):
            self.leave(w, p, "back")
            return
        self.free(w, p.line)
        self.leave(w, p, "done")

    def at_woken(self, w: ConditionWorld, p: Actor) -> None:
        self.set_word(w, p.line, False)
        p.pc = "help"

    def at_help(self, w: ConditionWorld, p: Actor) -> None:
        p.served = w.served
        if "used up late" in self.without:
            self.free(w, p.line)
        if w.announced < w.served and "help" not in self.without:
            p.whom, p.after, p.pc = NONE, "helped", "wake_next"
        else:
            p.pc = "back"

    def at_helped(self, w: ConditionWorld, p: Actor) -> None:
        p.pending = NONE
        p.pc, p.after = "back", ""

    def at_back(self, w: ConditionWorld, p: Actor) -> None:
        """The user's lock comes, or an exception instead."""
        if p.role == "raiser":
            self.enter(p, "pass_on")
        elif "used up late" in self.without:
            w.used += 1
            p.pc = "done"
        else:
            self.free(w, p.line)
            w.used += 1
            p.pc = "done"

    def at_pass_on(self, w: ConditionWorld, p: Actor) -> None:
        p.whom, p.after = p.line, "leave"
        p.pc = "hand_on"

    # notify

    def at_notify(self, w: ConditionWorld, p: Actor) -> None:
        lines = self.waiting(w)
        if not lines:
            self.leave(w, p, "done")
            return
        last = lines[min(self.n, len(lines)) - 1]
        p.served = w.lines[last][1] + 1 if self.n < len(lines) else w.tickets
        p.pending = lines[0] if "pending in notify" not in self.without else NONE
        p.pc = "serve"

    def at_serve(self, w: ConditionWorld, p: Actor) -> None:
        w.grants += sum(w.lines[i][1] < p.served for i in self.waiting(w))
        w.served = p.served
        p.after, p.pc = "announce", "wake_next"

    def at_wake_next(self, w: ConditionWorld, p: Actor) -> None:
        """wake_notified: aim at the next line that sleeps, if there is one."""
        for i, (used, ticket, _, asleep) in enumerate(w.lines):
            if used and ticket < p.served and asleep:
                p.pending, p.pc = i, "exchange"
                return
        p.pc = p.after

    def at_exchange(self, w: ConditionWorld, p: Actor) -> None:
        was_asleep = w.lines[p.pending][3]
        self.set_word(w, p.pending, False)
        p.pc = "wake" if was_asleep else "wake_next"

    def at_wake(self, w: ConditionWorld, p: Actor) -> None:
        self.wake(w, p.pending)
        p.pc = "wake_next"

    def wake(self, w: ConditionWorld, line: int) -> None:
        for other in w.processes:
            if other.pc == "asleep" and other.line == line:
                other.pc = "look_again"

    def at_announce(self, w: ConditionWorld, p: Actor) -> None:
        w.announced = p.served
        p.pending = NONE
        p.pc = "leave"

    def at_leave(self, w: ConditionWorld, p: Actor) -> None:
        if p.role == "janitor":
            w.processes[p.whom].buried = True
            p.whom = p.line = NONE
            self.leave(w, p, "watch")
        else:
            self.leave(w, p, "done")

    # bury, hand_on

    def at_watch(self, w: ConditionWorld, p: Actor) -> Iterable[ConditionWorld] | None:
        dead = [i for i, q in enumerate(w.processes) if q.pc == "dead" and not q.buried and q.role != "janitor"]
        busy = [q.whom for q in w.processes if q.role == "janitor" and q.pc != "dead"]
        dead = [i for i in dead if i not in busy]  # header.lock
        if not dead or "buried" in self.without:
            return ()
        p.whom = dead[0]
        self.enter(p, "bury")
        return None

    def at_bury(self, w: ConditionWorld, p: Actor) -> None:
        p.line = w.processes[p.whom].line
        if p.line == NONE or not w.lines[p.line][0]:
            p.pc = "leave"
        elif w.lines[p.line][1] >= w.served:
            self.free(w, p.line)
            p.pc = "leave"
        else:
            p.pc = "hand_on"

    def at_hand_on(self, w: ConditionWorld, p: Actor) -> None:
        lines = self.waiting(w)
        if not lines:
            self.free(w, p.line)
            w.void += 1
            p.pc = "leave"
            return
        p.served = w.lines[lines[0]][1] + 1
        p.pending = lines[0]
        used, ticket, _, _ = w.lines[p.line]
        self.put(w, p.line, used, ticket, p.served if "note" not in self.without else 0, False)
        p.pc = "hand_serve"

    def at_hand_serve(self, w: ConditionWorld, p: Actor) -> None:
        if w.served < p.served:
            w.served = p.served
            if "note" in self.without:
                w.grants += 1  # so that it counts as one too many only if the line is handed on again
                w.void += 1
                w.fault = "" if w.lines[p.line][0] else "?"
        p.after, p.pc = "hand_end", "wake_next"

    def at_hand_end(self, w: ConditionWorld, p: Actor) -> None:
        w.announced = p.served
        p.pending = NONE
        p.pc = "hand_free"

    def at_hand_free(self, w: ConditionWorld, p: Actor) -> None:
        self.free(w, p.line)
        p.pc = "leave"

    # repair

    def at_repair(self, w: ConditionWorld, p: Actor) -> None:
        noted = [i for i, (used, _, note, _) in enumerate(w.lines) if used and note]
        if noted:
            p.whom = noted[0] if p.role != "janitor" else p.whom
            p.served = w.lines[noted[0]][2]
            w.served = max(w.served, p.served)
            p.after = "repair_free"
        else:
            p.served = w.served
            p.after = "repair_end"
        p.pc = "wake_next"

    def at_repair_free(self, w: ConditionWorld, p: Actor) -> None:
        noted = [i for i, (used, _, note, _) in enumerate(w.lines) if used and note]
        self.free(w, noted[0])
        p.pending = NONE
        p.pc = "repair"

    def at_repair_end(self, w: ConditionWorld, p: Actor) -> None:
        w.announced = w.served
        w.died = False
        p.pending = NONE
        p.pc = p.then

    # the kernel

    def die(self, world: ConditionWorld, process: Actor) -> None:
        w, p = world, process
        self.drop_lock(w, p)
        pending = p.pending
        if p.role == "janitor":
            p.line = NONE
        p.whom, p.pending, p.served, p.after, p.then = NONE, pending, 0, "", ""
        p.pc = "exit_wake" if pending != NONE else "dead"

    def at_exit_wake(self, w: ConditionWorld, p: Actor) -> None:
        self.wake(w, p.pending)
        p.pending = NONE
        p.pc = "dead"


TWO = ("waiter", "waiter", "notifier", "janitor")
THREE = ("waiter", *TWO)
RAISER = ("raiser", "waiter", "notifier", "janitor")
IMPATIENT = ("impatient", "waiter", "notifier", "janitor")
TWO_JANITORS = (*TWO, "janitor")

RUNS = [
    Run("2 waiters, notify 1, 1 kill", Condition(kills=1), quick=True),
    Run("2 waiters, notify 1, 2 kills", Condition(kills=2)),
    Run("3 waiters, notify 2, 1 kill", Condition(roles=THREE, n=2, kills=1)),
    Run("2 waiters, notify all, 2 kills", Condition(n=9, kills=2)),
    Run("2 waiters, two notifiers, 1 kill", Condition(roles=(*TWO, "notifier"), kills=1)),
    Run("one runs out of time, 1 kill", Condition(roles=IMPATIENT, kills=1), quick=True),
    Run("one leaves by an exception, 1 kill", Condition(roles=RAISER, kills=1), quick=True),
    Run("2 waiters, two janitors, 2 kills", Condition(roles=TWO_JANITORS, kills=2)),
    Run(
        "without list_op_pending in notify",
        Condition(roles=TWO[:3], n=9, kills=1, without={"pending in notify"}),
        quick=True,
    ),
    Run("who is woken does not wake the others", Condition(roles=TWO[:3], n=9, kills=1, without={"help"}), quick=True),
    Run(
        "without futex_waitv: looks before it says that it sleeps",
        Condition(without={"mark first", "both words"}),
        quick=True,
    ),
    Run("only its own word is watched", Condition(roles=TWO[:3], kills=1, without={"both words"}), quick=True),
    Run("used up when it wakes", Condition(kills=1, without={"used up late"}), quick=True),
    Run("nobody buries", Condition(kills=1, without={"buried"}), quick=True),
    Run("handed on without a note", Condition(roles=TWO_JANITORS, kills=2, without={"note"})),
    Run("nobody repairs", Condition(roles=TWO_JANITORS, kills=2, without={"repair"})),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
