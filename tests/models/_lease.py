"""A queue with leases as `leases.py` sees it: its words, its leases, and a process with its registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.models._engine import Process, World

NOBODY = 0


class Lease(NamedTuple):
    """An entry that is not free. It names the item at `pos`, and is void while pos >= head."""

    pos: int
    owner: int  # index of a process plus 1; NOBODY: to be delivered again
    deliveries: int
    left: bool = False  # its consumer ended cleanly


@dataclass(slots=True)
class Worker(Process):
    """role: consumer, leaver (ends with its lease), acker (task_done for others), producer, joiner, janitor."""

    role: str
    todo: int = 0  # items that a producer puts, calls that an acker makes
    then: str = ""  # where it goes on when head_lock is its own
    hand: tuple[int, ...] = ()  # items that it works on
    leading: bool = False
    written: int = 0  # leases of a get that is under way
    target: int = -1  # the item whose lease ends
    pending: str = ""  # what list_op_pending names
    seen: int = 0  # the word that the futex call was told
    dead: int = 0  # whom a janitor sweeps
    clean: bool = False  # it ended, and was not killed
    swept: bool = False


@dataclass(slots=True)
class Queue(World[Worker]):
    """Words of the cell, then ghosts: what became of each item, in the order in which they were put."""

    head_lock: int = 0
    head_died: bool = False  # the next owner is told PN_OWNER_DIED
    lead_get: int = 0
    domain: int = 0
    head: int = 0
    tail: int = 0
    leases: tuple[Lease, ...] = ()
    orphans: bool = False
    not_empty: bool = False
    done: bool = False
    acks: int = 0  # the low half that a joiner watches beside `done`
    prepaid: int = 0  # prepaid_to; the mutant's count
    finished: int = 0  # task_done() calls that took effect
    over: tuple[bool, ...] = ()  # acknowledged, or taken without a lease
    claims: tuple[int, ...] = ()  # deliveries
    deaths: tuple[int, ...] = ()  # of their consumers
    worked: tuple[bool, ...] = ()  # a consumer has finished its work on it


def put(values: tuple[Any, ...], at: int, value: object) -> tuple[Any, ...]:
    """Return the tuple with one place changed."""
    return (*values[:at], value, *values[at + 1 :])
