"""Listeners of core/listen.c: pn_many_begin, pn_many_sleep and pn_notify, killed at each of their steps.

Listeners wait for one object and take an item each, so that it is not ready again; a thief takes one without waiting. Committers put an item and
tell. A sweeper comes after each death. Each listener has a line of its own: who gets which is a matter of one compare-and-swap.

Held against: a listener that sleeps for ever although an item is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Model, Process, Run, World, main

FREE, CLAIMED, PUBLISHED = range(3)


@dataclass(slots=True)
class Party(Process):
    """A listener, thief, committer or the sweeper."""

    side: str
    line: int = FREE  # its line of the table, a listener's
    asleep_word: bool = False  # `word` is PN_WAITERS
    pending: int = -1  # whose word list_op_pending names
    # pn_listen_wake
    at: int = 0
    found: bool = False
    ticket: int = 0
    bit: bool = False
    swept: int = 0  # a dead one: 1 being swept, 2 done


@dataclass(slots=True)
class Table(World[Party]):
    """The object and its hint."""

    items: int = 0
    bit: bool = False
    ticket: int = 0


class Listening(Model[Table, Party]):
    """Safeguards: *ticket*, *look after hint*, *line before hint*, *mark before look*, *pending*, *sweep tells*, *sweep frees*."""

    listeners = 2
    committers = 2
    thieves = 0
    stale = False  # the hint's bit is set at first, and no line stands for it

    def start(self) -> Table:
        parties = [Party("claim", "listen") for _ in range(self.listeners)]
        parties += [Party("commit", "commit") for _ in range(self.committers)]
        parties += [Party("steal", "steal") for _ in range(self.thieves)]
        parties.append(Party("watch", "sweep"))
        if "look after hint" in self.without:
            for party in parties[: self.listeners]:
                party.pc = "early_look"
        elif "line before hint" in self.without:
            for party in parties[: self.listeners]:
                party.pc = "hint"
        return Table(parties, self.kills, bit=self.stale)

    def canonical(self, world: Table) -> None:
        """Committers differ only in where they stand; nobody names one."""
        first = self.listeners
        last = first + self.committers
        world.processes[first:last] = sorted(
            world.processes[first:last], key=lambda p: (p.pc, p.at, p.found, p.ticket, p.bit, p.swept, p.pending)
        )

    def check_end(self, world: Table) -> str:
        waiting = [p for p in world.processes if p.side == "listen" and p.pc not in {"done", "dead"}]
        return f"an item is there, and {len(waiting)} sleep" if waiting and world.items else ""

    def may_die(self, process: Party) -> bool:
        return super().may_die(process) and process.pc != "watch"

    # a listener

    def at_early_look(self, w: Table, p: Party) -> None:
        """The mutant looks before anybody knows of it."""
        p.pc = "claim"
        if w.items:
            w.items -= 1
            p.pc = "done"

    def at_claim(self, w: Table, p: Party) -> None:
        p.line = CLAIMED
        p.pc = "publish"

    def at_publish(self, w: Table, p: Party) -> None:
        p.line = PUBLISHED
        p.pc = "mark" if "line before hint" in self.without else "hint"

    def at_hint(self, w: Table, p: Party) -> None:
        """The compare-and-swap of pn_listen_begin."""
        w.bit = True
        w.ticket += "ticket" not in self.without
        p.pc = "mark"
        if "line before hint" in self.without:
            p.pc = "claim"
        elif "mark before look" in self.without:
            p.pc = "look"

    def at_mark(self, w: Table, p: Party) -> None:
        p.asleep_word = True
        p.pc = "sleep" if self.without & {"look after hint", "mark before look"} else "look"

    def at_look(self, w: Table, p: Party) -> None:
        """It looks, and takes: one step, because the take has a lock of its own."""
        if w.items:
            w.items -= 1
            p.pc = "end"
        else:
            p.pc = "mark" if "mark before look" in self.without else "sleep"

    def at_sleep(self, w: Table, p: Party) -> None:
        """FUTEX_WAIT compares and sleeps in one step."""
        p.pc = "asleep" if p.asleep_word else self.awake

    @property
    def awake(self) -> str:
        return "look" if self.without & {"look after hint", "mark before look"} else "mark"

    def at_end(self, w: Table, p: Party) -> None:
        p.line, p.asleep_word = FREE, False
        p.pc = "done"

    # a thief

    def at_steal(self, w: Table, p: Party) -> Iterable[Table]:
        if w.items == 0:
            p.pc = "done"
            return [w]
        w.items -= 1
        p.pc = "done"
        return [w]

    # a committer

    def at_commit(self, w: Table, p: Party) -> None:
        w.items += 1
        p.pc = "notify"

    def at_notify(self, w: Table, p: Party) -> None:
        """The hint: one load."""
        p.bit, p.ticket, p.at, p.found = w.bit, w.ticket, 0, False
        p.pc = "scan" if p.bit else self.told(p)

    def told(self, p: Party) -> str:
        return "swept" if p.side == "sweep" else "done"

    def at_scan(self, w: Table, p: Party) -> None:
        if p.at == self.listeners:
            p.pc = "settle"
        elif w.processes[p.at].line == PUBLISHED:
            p.found = True
            p.pc = "look_at_word"
        else:
            p.at += 1

    def at_look_at_word(self, w: Table, p: Party) -> None:
        p.pc = "aim" if w.processes[p.at].asleep_word else "next"

    def at_aim(self, w: Table, p: Party) -> None:
        p.pending = p.at if "pending" not in self.without else -1
        p.pc = "clear_word"

    def at_clear_word(self, w: Table, p: Party) -> None:
        w.processes[p.at].asleep_word = False
        p.pc = "wake"

    def at_wake(self, w: Table, p: Party) -> None:
        self.wake(w, p.at)
        p.pc = "next"

    def at_next(self, w: Table, p: Party) -> None:
        p.pending = -1
        p.at += 1
        p.pc = "scan"

    def at_settle(self, w: Table, p: Party) -> None:
        """No line stands for the bit: taken away, if the hint is still the one that was read."""
        if not p.found and w.bit and w.ticket == p.ticket:
            w.bit = False
        p.bit, p.ticket, p.at, p.found = False, 0, 0, False
        p.pc = self.told(p)

    def wake(self, w: Table, whose: int) -> None:
        if w.processes[whose].pc == "asleep":
            w.processes[whose].pc = self.awake

    # the sweeper: pn_listen_sweep, and pn_notify for each object

    def at_watch(self, w: Table, p: Party) -> Iterable[Table]:
        for q in w.processes:
            if q.pc == "dead" and q.swept < 2:
                q.swept = 1
                if "sweep frees" not in self.without:
                    q.line, q.asleep_word = FREE, False
                p.pc = "notify" if "sweep tells" not in self.without else "swept"
                return [w]
        return []

    def at_swept(self, w: Table, p: Party) -> None:
        for q in w.processes:
            q.swept = 2 if q.swept == 1 else q.swept
        p.pc = "watch"

    def check(self, world: Table) -> str:
        swept = [p for p in world.processes if p.swept == 2 and p.line != FREE]
        return "the line of somebody who is dead and swept is left" if swept else world.fault

    # the kernel

    def die(self, world: Table, process: Party) -> None:
        if process.pending >= 0:
            self.wake(world, process.pending)
        process.pending = -1
        process.at, process.found, process.bit, process.ticket = 0, False, False, 0
        process.pc = "watch" if process.side == "sweep" else "dead"  # another one sweeps again


def small(*without: str, **settings: object) -> Listening:
    return Listening(kills=1, without=set(without), **settings)


RUNS = [
    Run("1 listener, 2 committers, 2 kills", Listening(listeners=1, kills=2), quick=True),
    Run(
        "1 listener, 2 committers, a thief, a stale hint, 1 kill", small(listeners=1, thieves=1, stale=True), quick=True
    ),
    Run("2 listeners, 1 committer, 1 kill", small(committers=1), quick=True),
    Run("2 listeners, 2 committers", Listening(), quick=True),
    Run("2 listeners, 2 committers, 1 kill", small()),
    Run("1 listener, 3 committers, a thief, a stale hint", Listening(listeners=1, committers=3, thieves=1, stale=True)),
    Run("no_ticket: the hint has none", Listening(listeners=1, thieves=1, stale=True, without={"ticket"}), quick=True),
    Run("a listener looks before it is known", Listening(listeners=1, without={"look after hint"}), quick=True),
    Run("the hint before the line", Listening(listeners=1, thieves=1, without={"line before hint"}), quick=True),
    Run("a listener marks its word after the look", Listening(listeners=1, without={"mark before look"}), quick=True),
    Run("without list_op_pending", small("pending", listeners=1, committers=1), quick=True),
    Run("a sweep tells nobody", small("sweep tells", listeners=1, committers=1), quick=True),
    Run("a sweep leaves the lines", small("sweep frees", committers=1), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
