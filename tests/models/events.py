"""The event of core/event.c: one word, set and cleared by compare-and-swap, and who sleeps on it.

The word is (sets, SET, ASLEEP). Setters set it, some clear it at once; waiters sleep; any of them is killed anywhere. A waiter
that was woken for nothing sleeps again.

Held against: somebody sleeps although the event is set, or was set since he began to wait.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Model, Process, Run, World, main


@dataclass(slots=True)
class Actor(Process):
    """role: setter, pulser (sets and clears), clearer, waiter."""

    role: str
    rounds: int = 1
    pending: bool = False
    since: int = 0
    sets: int = 0  # the state that it has read, or made
    is_set: bool = False
    asleep: bool = False


@dataclass(slots=True)
class EventWorld(World[Actor]):
    """pn_event_cell.state."""

    sets: int = 0
    is_set: bool = False
    asleep: bool = False
    told: int = 0


def sleeps(p: Actor) -> bool:
    return p.pc == "asleep"


def wake_up(p: Actor) -> None:
    p.pc = "recheck"


FIRST = {"setter": "set_pending", "pulser": "set_pending", "clearer": "clear", "waiter": "look"}


class Event(Model[EventWorld, Actor]):
    """Safeguards: *pending in set*, *pending in wait*, *help*, *help when woken for nothing*, *both halves*, *drop while set*."""

    roles: tuple[str, ...] = ("setter", "waiter", "waiter")
    rounds = 1

    def start(self) -> EventWorld:
        return EventWorld([Actor(FIRST[role], role, self.rounds) for role in self.roles], self.kills)

    def check_end(self, world: EventWorld) -> str:
        late = [p for p in world.processes if sleeps(p) and (world.is_set or world.sets != p.since)]
        return "one sleeps, and it was set" if late else ""

    def end_round(self, p: Actor) -> None:
        p.pending = False
        p.sets, p.is_set, p.asleep, p.since = 0, False, False, 0
        p.rounds -= 1
        p.pc = FIRST[p.role] if p.rounds else "done"

    def same(self, w: EventWorld, p: Actor) -> bool:
        return (w.sets, w.is_set, w.asleep) == (p.sets, p.is_set, p.asleep)

    def read(self, w: EventWorld, p: Actor) -> None:
        p.sets, p.is_set, p.asleep = w.sets, w.is_set, w.asleep

    def wake_all(self, w: EventWorld) -> None:
        for p in w.processes:
            if sleeps(p):
                wake_up(p)

    # pn_event_set

    def at_set_pending(self, w: EventWorld, p: Actor) -> None:
        p.pending = "pending in set" not in self.without
        p.pc = "set"

    def at_set(self, w: EventWorld, p: Actor) -> None:
        """The compare-and-swap that succeeds."""
        if not w.is_set:
            w.sets, w.is_set = w.sets + 1, True
        self.read(w, p)
        p.pc = "set_wake" if w.asleep else "set_told"

    def at_set_wake(self, w: EventWorld, p: Actor) -> None:
        self.wake_all(w)
        p.pc = "set_told"

    def at_set_told(self, w: EventWorld, p: Actor) -> None:
        w.told = p.sets
        p.pc = "set_drop" if p.asleep else "set_end"

    def at_set_drop(self, w: EventWorld, p: Actor) -> None:
        if self.same(w, p) or ("drop while set" in self.without and w.sets == p.sets):
            w.asleep = False
        p.pc = "set_end"

    def at_set_end(self, w: EventWorld, p: Actor) -> None:
        p.pending = False
        if p.role == "pulser":
            p.pc = "clear"
        else:
            self.end_round(p)

    # pn_event_clear

    def at_clear(self, w: EventWorld, p: Actor) -> None:
        w.is_set = False
        self.end_round(p)

    # pn_event_wait

    def come(self, w: EventWorld, p: Actor) -> bool:
        return w.is_set or w.sets != p.since

    def at_look(self, w: EventWorld, p: Actor) -> None:
        p.since = w.sets
        if w.is_set:
            self.end_round(p)
        else:
            p.pc = "wait_pending"

    def at_wait_pending(self, w: EventWorld, p: Actor) -> None:
        p.pending = "pending in wait" not in self.without
        p.pc = "load"

    def at_load(self, w: EventWorld, p: Actor) -> None:
        self.read(w, p)
        p.pc = "recheck_first"

    def at_recheck_first(self, w: EventWorld, p: Actor) -> None:
        if self.come(w, p):
            self.end_round(p)
        else:
            p.pc = "futex" if p.asleep else "announce"

    def at_announce(self, w: EventWorld, p: Actor) -> None:
        if not self.same(w, p):
            p.pc = "load"
            return
        w.asleep = p.asleep = True
        p.pc = "futex"

    def at_futex(self, w: EventWorld, p: Actor) -> None:
        flags = (w.is_set, w.asleep) == (p.is_set, p.asleep)
        halves = flags and ("both halves" in self.without or w.sets == p.sets)
        p.pc = "asleep" if halves else "recheck"

    def at_recheck(self, w: EventWorld, p: Actor) -> None:
        """Woken, for something or for nothing: `help`."""
        self.read(w, p)
        must_help = w.sets != w.told and "help" not in self.without
        if "help when woken for nothing" in self.without and not self.come(w, p):
            must_help = False
        p.pc = "help_wake" if must_help else "go_on"

    def at_help_wake(self, w: EventWorld, p: Actor) -> None:
        self.wake_all(w)
        p.pc = "help_told"

    def at_help_told(self, w: EventWorld, p: Actor) -> None:
        w.told = p.sets
        p.pc = "go_on"

    def at_go_on(self, w: EventWorld, p: Actor) -> None:
        if self.come(w, p):
            self.end_round(p)
        else:
            p.pc = "load"

    # the kernel

    def die(self, world: EventWorld, process: Actor) -> None:
        wakes = process.pending
        self.end_round(process)
        process.rounds = 0
        process.pc = "exit_wake" if wakes else "dead"

    def at_exit_wake(self, w: EventWorld, p: Actor) -> Iterable[EventWorld]:
        for now, me, _ in self.wake_one(w, p, sleeps, wake_up):
            me.pc = "dead"
            yield now


THREE = ("setter", "waiter", "waiter", "waiter")
PULSE = ("pulser", "waiter", "waiter", "waiter")
CLEARED = ("setter", "clearer", "setter", "waiter", "waiter")

RUNS = [
    Run("a setter, 3 waiters, 1 kill", Event(roles=THREE, kills=1), quick=True),
    Run("a setter, 3 waiters, 2 kills", Event(roles=THREE, kills=2), quick=True),
    Run("set and clear, 3 waiters, 2 kills", Event(roles=PULSE, kills=2)),
    Run("set and clear, 2 waiters, 2 rounds, 2 kills", Event(roles=PULSE[:3], rounds=2, kills=2), quick=True),
    Run("2 setters, one clears, 2 waiters, 1 kill", Event(roles=CLEARED, kills=1)),
    Run("a setter, one clears, 2 waiters, 2 kills", Event(roles=(*CLEARED[:2], *CLEARED[3:]), kills=2), quick=True),
    Run("set and clear twice, 1 waiter waits twice, 3 kills", Event(roles=PULSE[:2], rounds=2, kills=3), quick=True),
    Run("without list_op_pending in set", Event(roles=THREE, kills=1, without={"pending in set"}), quick=True),
    Run("without list_op_pending in wait", Event(roles=THREE, kills=2, without={"pending in wait"}), quick=True),
    Run("who is woken does not wake the others", Event(roles=THREE, kills=1, without={"help"}), quick=True),
    Run(
        "only the flags are watched", Event(roles=("setter", "clearer", "waiter"), without={"both halves"}), quick=True
    ),
    Run(
        "who is woken for nothing does not wake the others",
        Event(roles=(*CLEARED[:2], *CLEARED[3:]), kills=1, without={"help when woken for nothing"}),
        quick=True,
    ),
    Run(
        "ASLEEP is dropped while the event is unset",
        Event(roles=CLEARED, without={"drop while set"}),
    ),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
