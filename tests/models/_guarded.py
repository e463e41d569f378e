"""What the models of core/condition.c and core/barrier.c share: a short lock whose dead owner the next one is told of.

`_word.py` has shown how such a lock works. Here it is one step to take it and one to let it go; if its owner dies, it
is free at once and `died`, and whoever takes it then goes to `repair` first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.models._engine import Model, Process, World


@dataclass(slots=True)
class Actor(Process):
    """`then`: where it goes on inside the lock."""

    role: str
    then: str = ""
    buried: bool = False  # this dead one is done with


P = TypeVar("P", bound=Actor)


@dataclass(slots=True)
class GuardedWorld(World[P]):
    """lock: the owner's index plus 1."""

    lock: int = 0
    died: bool = False


W = TypeVar("W", bound=GuardedWorld[Any])


class Guarded(Model[W, P]):
    """Safeguard: *repair*."""

    def me(self, w: W, p: P) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def enter(self, p: P, then: str) -> None:
        p.pc, p.then = "enter", then

    def at_enter(self, w: W, p: P) -> Iterable[W] | None:
        if w.lock != 0:
            return ()
        w.lock = self.me(w, p)
        p.pc = p.then
        if w.died and "repair" not in self.without:
            p.pc = "repair"
        elif w.died:
            w.died = False
        return None

    def leave(self, w: W, p: P, pc: str) -> None:
        w.lock = 0
        p.pc, p.then = pc, ""

    def drop_lock(self, w: W, p: P) -> None:
        """The owner is dead."""
        if w.lock == self.me(w, p):
            w.lock, w.died = 0, True
