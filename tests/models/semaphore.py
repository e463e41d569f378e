"""The semaphore of core/semaphore*.c: pn_semaphore_wait, pn_semaphore_release, pn_semaphore_bury.

Takers take a permit and give it back some rounds long; buriers, as sweeps do, give back what the dead had. Any of them is killed
anywhere. The locks are taken as sound here, `lock.py` shows that: whoever wants one waits until it is free, and a dead owner frees
it, `inner` with the mark that the next one sees.

A step is one store that others can see. `stale` of a process stands for `changes` being another than it had read.

Held against: more inside than there are permits; a permit that a death took along, or doubled; a sleeper beside a free
permit; what is free not being what the ledger says, whenever nobody is at work under `inner`.

Safeguards that can be taken out: *pending* (the kernel's wake at a death), *changes* (the leader sleeps on them, too), *repair* (who
gets `inner` from a dead owner derives what is free), *leader* (one sleeper; without it all sleep on the same word), *look under
inner* (the leader looks without it before it sleeps), *ledger* (a permit is counted, and nobody knows whose it is).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Model, Process, Run, World, main


@dataclass(slots=True)
class Taker(Process):
    """One that takes, or a burier."""

    held: int = 0  # its line of the ledger, which outlives it
    rounds: int = 0
    then: str = ""  # what it enters `inner` for
    got: bool = False
    marked: bool = False  # it leads, and has marked `sleeper`
    stale: bool = False
    pending: bool = False
    repairing: bool = False
    corpse: int = -1  # whom a burier buries
    count: int = 1  # permits that it is about to count


@dataclass(slots=True)
class Semaphore(World[Taker]):
    """The cell: owners are indices plus 1."""

    free: int = 0
    inner: int = 0
    died: bool = False
    lead: int = 0
    sleeper: bool = False


def asleep(p: Taker) -> bool:
    return p.pc == "asleep"


def wake_up(p: Taker) -> None:
    p.pc = "mark"


class Permits(Model[Semaphore, Taker]):
    """What takers and buriers do."""

    takers = 3
    buriers = 1
    permits = 1
    rounds = 1

    def start(self) -> Semaphore:
        takers = [Taker("enter", rounds=self.rounds, then="take") for _ in range(self.takers)]
        buriers = [Taker("watch") for _ in range(self.buriers)]
        return Semaphore([*takers, *buriers], self.kills, free=self.permits)

    def me(self, w: Semaphore, p: Taker) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def check(self, world: Semaphore) -> str:
        held = sum(p.held for p in world.processes)
        inside = sum(p.pc == "critical" for p in world.processes)
        if inside > self.permits:
            return "more inside than there are permits"
        if held > self.permits:
            return "more permits than there are"
        if world.inner == 0 and not world.died and world.free != self.permits - held and "ledger" not in self.without:
            return f"{world.free} are free, the ledger says {self.permits - held}"
        return world.fault

    def check_end(self, world: Semaphore) -> str:
        waiting = [p.pc for p in world.processes if p.pc not in {"done", "dead", "watch"}]
        if waiting:
            return f"nobody moves, and these wait for ever: {', '.join(waiting)}"
        if world.free != self.permits and not world.died:
            return "a permit is lost"
        return ""

    def may_die(self, process: Taker) -> bool:
        return process.pc != "watch" and super().may_die(process)

    # inner

    def at_enter(self, w: Semaphore, p: Taker) -> Iterable[Semaphore]:
        if w.inner != 0:
            return ()
        w.inner = self.me(w, p)
        p.repairing = w.died and "repair" not in self.without
        p.pc = "derive" if p.repairing else p.then
        w.died = False
        return (w,)

    def at_derive(self, w: Semaphore, p: Taker) -> None:
        w.free = self.permits - sum(other.held for other in w.processes)
        p.pc = "announce"

    def at_leave(self, w: Semaphore, p: Taker) -> None:
        w.inner = 0
        if p.then == "take":
            p.pc = {
                (True, True): "unmark",
                (True, False): "critical",
                (False, True): "futex",
                (False, False): "follow",
            }[p.got, p.marked]
        elif p.then == "bury":
            p.pc, p.then, p.corpse, p.count = "watch", "", -1, 1
        else:
            p.rounds -= 1
            p.pc, p.then = ("enter", "take") if p.rounds else ("done", "")

    # taking: the line, then the count

    def at_take(self, w: Semaphore, p: Taker) -> None:
        p.got = w.free > 0
        p.pc = "leave"
        if p.got:
            p.held += "ledger" not in self.without
            p.pc = "count"

    def at_count(self, w: Semaphore, p: Taker) -> None:
        w.free -= 1
        p.pc = "leave"

    # sleeping

    def at_follow(self, w: Semaphore, p: Taker) -> Iterable[Semaphore]:
        if w.lead != 0 and "leader" not in self.without:
            return ()
        w.lead = self.me(w, p)
        p.pc = "mark"
        return (w,)

    def at_mark(self, w: Semaphore, p: Taker) -> None:
        w.sleeper = p.marked = True
        p.pc = "read"

    def at_read(self, w: Semaphore, p: Taker) -> None:
        p.stale = False
        if "look under inner" in self.without and w.free == 0:
            p.pc = "futex"
        else:
            p.pc = "enter"

    def at_futex(self, w: Semaphore, p: Taker) -> None:
        changed = p.stale and "changes" not in self.without
        p.pc = "asleep" if w.sleeper and not changed else "mark"

    def at_unmark(self, w: Semaphore, p: Taker) -> None:
        w.sleeper = p.marked = False
        p.pc = "unlead"

    def at_unlead(self, w: Semaphore, p: Taker) -> None:
        w.lead = 0
        p.pc = "critical"

    # giving back: `changes`, the line, the count, the wake

    def at_critical(self, w: Semaphore, p: Taker) -> None:
        p.got = p.stale = False
        p.pc, p.then = "enter", "announce"

    def at_announce(self, w: Semaphore, p: Taker) -> None:
        p.pending = "pending" not in self.without
        p.pc = "change"

    def at_change(self, w: Semaphore, p: Taker) -> None:
        for other in w.processes:
            other.stale = other.marked and other is not p
        p.pc = "wake" if p.repairing else "write"

    def at_write(self, w: Semaphore, p: Taker) -> None:
        """The line: the commit."""
        if p.corpse >= 0:
            corpse = w.processes[p.corpse]
            p.count, corpse.held = corpse.held, 0
        else:
            p.held -= "ledger" not in self.without
        p.pc = "count_up"

    def at_count_up(self, w: Semaphore, p: Taker) -> None:
        w.free += p.count
        p.pc = "wake"

    def at_wake(self, w: Semaphore, p: Taker) -> None:
        p.pc = "wake_futex" if w.sleeper else "clear"
        w.sleeper = False

    def at_wake_futex(self, w: Semaphore, p: Taker) -> Iterable[Semaphore]:
        for now, me, _ in self.wake_one(w, p, asleep, wake_up):
            me.pc = "clear"
            yield now

    def at_clear(self, w: Semaphore, p: Taker) -> None:
        p.pending = False
        p.pc = p.then if p.repairing else "leave"
        p.repairing = False

    # burying

    def at_watch(self, w: Semaphore, p: Taker) -> Iterable[Semaphore]:
        """A sweep: the dead that still hold something."""
        for i, other in enumerate(w.processes):
            if other.pc == "dead" and other.held:
                p.corpse = i
                p.pc, p.then = "enter", "bury"
                return (w,)
        return ()

    def at_bury(self, w: Semaphore, p: Taker) -> None:
        p.pc = "announce"

    # the kernel

    def die(self, world: Semaphore, process: Taker) -> None:
        w, p = world, process
        here = self.me(w, p)
        if w.inner == here:
            w.inner, w.died = 0, True
        if w.lead == here:
            w.lead = 0
        p.pc = "exit_wake" if p.pending else "dead"
        p.pending = p.stale = p.got = p.marked = p.repairing = False
        p.then, p.corpse, p.rounds, p.count = "", -1, 0, 1

    def at_exit_wake(self, w: Semaphore, p: Taker) -> Iterable[Semaphore]:
        for now, me, _ in self.wake_one(w, p, asleep, wake_up):
            me.pc = "dead"
            yield now


RUNS = [
    Run("2 takers, 2 rounds, 1 kill", Permits(takers=2, rounds=2, kills=1), quick=True),
    Run("3 takers, 1 kill", Permits(kills=1), quick=True),
    Run("3 takers, 2 permits, 1 kill", Permits(permits=2, kills=1), quick=True),
    Run("3 takers, 2 kills, 2 buriers", Permits(kills=2, buriers=2)),
    Run("2 takers, 2 rounds, 2 kills, 2 buriers", Permits(takers=2, rounds=2, kills=2, buriers=2)),
    Run("4 takers, 2 permits, 1 kill", Permits(takers=4, permits=2, kills=1)),
    Run("without the kernel's wake", Permits(kills=1, without={"pending"}), quick=True),
    Run("without a look at changes", Permits(takers=2, kills=1, without={"changes"}), quick=True),
    Run("without repair", Permits(kills=1, without={"repair"}), quick=True),
    Run("without a leader", Permits(kills=1, without={"leader"}), quick=True),
    Run("the leader looks without inner", Permits(takers=2, kills=1, without={"look under inner"}), quick=True),
    Run("without a ledger", Permits(takers=2, kills=1, without={"ledger"}), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
