"""A counted object and whatever names it, as `buffers.py` sees them: records in two rings, leases, holder bits, two sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.models._engine import Process, World

NOBODY = -1
LEASED, PLAIN = 0, 1  # the rings: one gives leases, one does not


@dataclass(slots=True)
class Actor(Process):
    """A process of one thread that does one thing of its script after the other; `pc` is the next one's first label."""

    script: tuple[str, ...] = ()
    ring: int = LEASED  # of what it is doing
    holds: int = 0  # references
    moves: int = 0  # what a look has read
    takes: int = 0
    place: int = 0  # how far a look is, in the bits or in the rings
    locked: bool = False  # the look is under the domain's lock
    dead: int = NOBODY  # whom a janitor sweeps


@dataclass(slots=True)
class Shared(World[Actor]):
    """The object is `used` until it is freed. `discarded`: ring PLAIN is gone."""

    used: bool = True
    puts: int = 0
    takes: int = 0
    moves: int = 0
    scan: bool = False
    bits: tuple[bool, ...] = ()
    rings: tuple[int, ...] = (0, 0)  # records that name the object
    leases: tuple[int, ...] = ()  # their owners, NOBODY for one to be redelivered
    discarded: bool = False
    domain: int = NOBODY
    head_locks: tuple[int, ...] = (NOBODY, NOBODY)
    swept: tuple[bool, ...] = ()


def put(values: tuple[Any, ...], at: int, value: object) -> tuple[Any, ...]:
    """Return the tuple with one place changed."""
    return (*values[:at], value, *values[at + 1 :])
