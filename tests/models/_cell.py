"""The cell of a queue as the models of core/ring.c see it: the words, the two sides, a process with its registers."""

from __future__ import annotations

from dataclasses import dataclass

from tests.models._engine import Process, World

NONE = -1
NOW = 2  # PN_SHUT_NOW
LOCKS = ("tail_lock", "head_lock", "lead_put", "lead_get")


@dataclass(frozen=True)
class Side:
    """sleep_side: the names of the words of one end."""

    lock: str
    lead: str
    sleeper: str  # where this side's leader sleeps
    watched: str  # the end that the other side moves
    moves: str  # the end that this side moves
    marks: str
    wakes: str  # where the other side's leader sleeps


SIDES = {
    "put": Side("tail_lock", "lead_put", "not_full", "head", "tail", "tail_marks", "not_empty"),
    "get": Side("head_lock", "lead_get", "not_empty", "tail", "head", "head_marks", "not_full"),
}


@dataclass(slots=True)
class Worker(Process):
    """A producer (side put), a consumer (get), or somebody who shuts the queue (shut)."""

    side: str
    items: tuple[int, ...] = ()  # what a producer still has to put
    phase: int = 0  # of wait_side: 0 first attempt, 1 second, 2 leading
    pending: str = ""
    seen: int = 0
    other: int = 0
    copy: int = NONE
    over: bool = False  # it has met PN_SHUT_DOWN
    words: tuple[str, ...] = ()  # for wake_leader, one after the other
    then: str = ""  # where it goes on after that


@dataclass(slots=True)
class Queue(World[Worker]):
    """pn_ring_cell. committed and taken are ghosts: what has been put and taken, in order."""

    tail_lock: int = 0
    head_lock: int = 0
    lead_put: int = 0
    lead_get: int = 0
    tail: int = 0
    head: int = 0
    tail_marks: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    head_marks: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    not_empty: bool = False
    not_full: bool = False
    shut: int = 0
    cells: tuple[int, ...] = ()
    committed: tuple[int, ...] = ()
    taken: tuple[int, ...] = ()


def valid_mark(marks: tuple[tuple[int, int], ...], position: int) -> int:
    """Return the index of the mark that counts."""
    return int(marks[0][0] != position)
