"""From a pid to the domain behind it: `attach` of src/procession/_process/attach.py. What is done there, `attaching.py`.

The pid is the shop's at first; when it has ended, a stranger may get it, with a domain of his own. The shop visits another program meanwhile, so a
descriptor of that one's domain is among its own for a while, and is a little longer there than the line in that one's table.

Held against: a domain that is not that of the program which had the pid when it was asked for, or of which that one is a visitor only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Model, Process, Run, World, main

SHOP, STRANGER, VISITED = "shop's", "stranger's", "visited"  # domains


@dataclass(slots=True)
class Seeker(Process):
    """role: finder, shop, stranger. named: who had the pid when the pidfd was opened; opened: the domains behind the descriptors that it has."""

    role: str
    named: str = ""
    opened: tuple[tuple[str, bool], ...] = ()  # domain, and whether it was told to be visited when it was opened
    found: frozenset[str] = frozenset()


@dataclass(slots=True)
class Pids(World[Seeker]):
    """Who has the pid now; the descriptors of that one and, in the visited domain, its line."""

    owner: str = "shop"
    descriptors: frozenset[str] = frozenset({SHOP})
    line: bool = False


class Finding(Model[Pids, Seeker]):
    """Safeguards: *pidfd first*, *asked last*, *marked descriptors* (else it is the line in the table that tells a visitor)."""

    def start(self) -> Pids:
        return Pids(
            [Seeker("begin", "finder"), Seeker("open_other", "shop"), Seeker("wait_for_pid", "stranger")], self.kills
        )

    def may_die(self, process: Seeker) -> bool:
        return process.role == "shop" and process.pc != "dead"

    def die(self, world: Pids, process: Seeker) -> None:
        process.pc = "dead"
        world.owner, world.descriptors, world.line = "", frozenset(), False

    def check_end(self, world: Pids) -> str:
        return ""  # the stranger may never come

    # pidfd_open, then the descriptors, one after the other, then the pidfd again

    def at_begin(self, w: Pids, p: Seeker) -> None:
        if "pidfd first" not in self.without:
            p.named = w.owner
        p.pc = "open_one" if w.owner else "done"

    def at_open_one(self, w: Pids, p: Seeker) -> Iterable[Pids] | None:
        """Another descriptor that is there now; or that was all."""
        seen = {domain for domain, _ in p.opened}
        if w.descriptors <= seen:
            p.pc = "ask"
            return None
        domain = min(w.descriptors - seen)
        p.opened = (*p.opened, (domain, domain == VISITED and "marked descriptors" not in self.without))
        return None

    def at_ask(self, w: Pids, p: Seeker) -> None:
        if "pidfd first" in self.without:
            p.named = w.owner
        has_ended = w.owner != p.named
        p.pc = "done" if has_ended and "asked last" not in self.without else "own"

    def at_own(self, w: Pids, p: Seeker) -> None:
        """By the mark of the descriptor, or, without it, by what the table of that domain says just now."""
        by_table = {VISITED} if w.line else set()
        visited = (
            by_table if "marked descriptors" in self.without else {domain for domain, marked in p.opened if marked}
        )
        p.found = frozenset({domain for domain, _ in p.opened} - visited)
        meant = {"shop": SHOP, "stranger": STRANGER}.get(p.named, "nobody's")
        if p.found - {meant}:
            w.fault = f"asked for the program of the {p.named or 'dead'}, found {', '.join(sorted(p.found))}"
        elif not p.found and w.owner == p.named:
            w.fault = "its own domain is not found"
        p.pc = "done"

    # the shop attaches to another program, and lets it go

    def at_open_other(self, w: Pids, p: Seeker) -> None:
        w.descriptors |= {VISITED}
        p.pc = "take_line"

    def at_take_line(self, w: Pids, p: Seeker) -> None:
        w.line = True
        p.pc = "give_up_line"

    def at_give_up_line(self, w: Pids, p: Seeker) -> None:
        w.line = False
        p.pc = "close_other"

    def at_close_other(self, w: Pids, p: Seeker) -> None:
        w.descriptors -= {VISITED}
        p.pc = "done"

    def at_wait_for_pid(self, w: Pids, p: Seeker) -> Iterable[Pids] | None:
        if w.owner:
            return ()
        w.owner, w.descriptors = "stranger", frozenset({STRANGER})
        p.pc = "done"
        return None


def finding(*without: str) -> Finding:
    return Finding(kills=1, without=set(without))


RUNS = [
    Run("a pid that is given again, a shop that visits, 1 kill", finding(), quick=True),
    Run("the pidfd is opened last", finding("pidfd first"), quick=True),
    Run("the pidfd is not asked", finding("asked last"), quick=True),
    Run("a visitor is told by its line", finding("marked descriptors"), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
