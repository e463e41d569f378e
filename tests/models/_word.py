"""The futex word that robust and ledger locks share: take_free, wait_for_word and free_word of core/lock.c.

A label is a place in the C code; the function it stands in is named at each group. Loads and compare-exchanges that are
repeated until they succeed are one step: what they do before they succeed nobody sees. The word is (owner, W, D) as in
core/lock.h; an owner is the index of a process plus 1.

Safeguards that can be taken out here: *sticky* (W stays in the word until a wake found nobody; without it a release does what
pthread_mutex_unlock does), *second wake* (after W was cleared another wake looks for a sleeper who slipped in), *restick*
(that wake found one, so W is set again), *W kept* (a taker leaves W in the word), *assumed W* (who has slept takes the lock
with W, others may sleep as well), *pending in wait*. No run has shown that *restick* is needed with one kill (up to 4 processes
with 2 rounds, 5 with 1); with two kills in the same few instructions the slice is needed with it and without it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.models._engine import Model, Process, World


@dataclass(slots=True)
class Sleeper(Process):
    """A process with the registers of lock.c."""

    pending: bool = False  # list_op_pending names the cell
    assumed: bool = False
    expected: int = 0  # the owner whom futex_wait was told
    patient: bool = True  # else its deadline may come in any sleep


P = TypeVar("P", bound=Sleeper)


@dataclass(slots=True)
class WordWorld(World[P]):
    """The word; `owed` is a ghost: an owner has died since the last take."""

    owner: int = 0
    waiters: bool = False
    died: bool = False
    owed: bool = False


W = TypeVar("W", bound=WordWorld[Any])


def asleep(p: Sleeper) -> bool:
    """Return whether a process sleeps on the word."""
    return p.pc in {"asleep", "asleep_until"}


def wake_up(p: Sleeper) -> None:
    """Let futex_wait return: who has slept assumes W."""
    p.assumed, p.expected = True, 0
    p.pc = "wait_take"


class Word(Model[W, P]):
    """What both kinds of lock do with the word."""

    def me(self, w: W, p: P) -> int:
        """Return the owner id of a process."""
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def lock_id(self, w: W, p: P) -> int:
        """Return the owner id that this process is about to give up."""
        return self.me(w, p)

    def mark(self, p: P) -> bool:
        """Return whether this release leaves the D bit behind."""
        return False

    @abstractmethod
    def taken(self, w: W, p: P) -> None: ...

    @abstractmethod
    def given_up(self, w: W, p: P) -> None:
        """Go on after free_word."""

    def canonical(self, world: W) -> None:
        """Processes are alike: sort them, and rename the owner and those who wait for him."""
        old = world.processes
        world.processes = sorted(old, key=self.own)
        new = {0: 0}
        for i, p in enumerate(old, 1):
            new[i] = self.me(world, p)
        self.rename(world, new)

    def rename(self, w: W, new: dict[int, int]) -> None:
        """Processes have changed places: new[i + 1] - 1 is where the one at i stands now."""
        w.owner = new[w.owner]
        for p in w.processes:
            p.expected = new[p.expected]

    # take_free

    def take_free(self, w: W, p: P, otherwise: str) -> None:
        """One attempt; goes on at `otherwise` if the word has an owner."""
        if w.owner != 0:
            p.pc = otherwise
            return
        w.owner = self.me(w, p)
        kept = w.waiters and "W kept" not in self.without
        w.waiters = kept or (p.assumed and "assumed W" not in self.without)
        if w.owed and not w.died:
            w.fault = "the last owner died and the next one is not told"
        w.died = w.owed = p.assumed = False
        p.expected = 0
        self.taken(w, p)

    # wait_for_word

    def at_wait_pending(self, w: W, p: P) -> None:
        p.pending = "pending in wait" not in self.without
        p.pc = "wait_take"

    def at_wait_take(self, w: W, p: P) -> None:
        self.take_free(w, p, "announce")

    def at_announce(self, w: W, p: P) -> None:
        if w.owner == 0:
            p.pc = "wait_take"
            return
        w.waiters = True
        p.expected = w.owner
        p.pc = "futex_wait"

    def at_futex_wait(self, w: W, p: P) -> None:
        if (w.owner, w.waiters) == (p.expected, True):
            p.pc = "asleep" if p.patient else "asleep_until"
        else:
            wake_up(p)

    def at_asleep_until(self, w: W, p: P) -> None:
        """The deadline comes."""
        p.assumed, p.expected = True, 0
        p.pc = "last_take"

    def at_last_take(self, w: W, p: P) -> None:
        """PN_TIMEOUT if this fails as well: the round ends without the lock."""
        self.take_free(w, p, "round_end")

    def end_slice(self, world: W, process: P) -> bool:
        if process.pc != "asleep":
            return False
        process.assumed, process.expected = True, 0
        process.pc = "slice_take"
        return True

    def at_slice_take(self, w: W, p: P) -> None:
        self.take_free(w, p, "slice_clear")

    def at_slice_clear(self, w: W, p: P) -> None:
        """PN_INTERRUPTED: the caller calls again."""
        p.pending = p.assumed = False
        p.pc = "wait_pending"

    # free_word

    def at_free(self, w: W, p: P) -> None:
        if w.owner != self.lock_id(w, p):
            self.given_up(w, p)  # PN_NOT_OWNER
        elif w.waiters and "sticky" not in self.without:
            p.pc = "free_sticky"
        else:
            self.give_up(w, p, "wake" if w.waiters else "")
            w.waiters = False

    def at_free_sticky(self, w: W, p: P) -> None:
        if w.owner != self.lock_id(w, p):
            self.given_up(w, p)
        else:
            self.give_up(w, p, "wake")

    def give_up(self, w: W, p: P, then: str) -> None:
        w.owner, w.died = 0, self.mark(p)
        if then:
            p.pc = then
        else:
            self.given_up(w, p)

    def at_wake(self, w: W, p: P) -> Iterable[W]:
        for now, me, woken in self.wake_one(w, p, asleep, wake_up):
            if woken or "sticky" in self.without:
                self.given_up(now, me)
            else:
                me.pc = "unstick"
            yield now

    def at_unstick(self, w: W, p: P) -> None:
        if (w.owner, w.waiters, w.died) != (0, True, self.mark(p)):
            self.given_up(w, p)
            return
        w.waiters = False
        if "second wake" in self.without:
            self.given_up(w, p)
        else:
            p.pc = "wake_again"

    def at_wake_again(self, w: W, p: P) -> Iterable[W]:
        for now, me, woken in self.wake_one(w, p, asleep, wake_up):
            if woken and "restick" not in self.without:
                me.pc = "restick"
            else:
                self.given_up(now, me)
            yield now

    def at_restick(self, w: W, p: P) -> None:
        w.waiters = True
        self.given_up(w, p)

    # the kernel, after the death of a thread that owed a wake

    def at_exit_wake(self, w: W, p: P) -> Iterable[W]:
        for now, me, _ in self.wake_one(w, p, asleep, wake_up):
            me.pc = "dead"
            yield now
