"""A ring with segments and the heap it lies in, as the models see them: blocks, records, a process with its registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tests.models._engine import Process, World

CAPACITY = 1  # records in a segment, without the JUMP
SEGMENTS = 4
NONE = -1


class Block(NamedTuple):
    """An entry of the block table."""

    used: bool = False
    owner: int = 0


class Record(NamedTuple):
    """An item, or a JUMP to another segment."""

    item: int = NONE
    jump: int = NONE


Position = tuple[int, int]  # segment number, place in it


@dataclass(slots=True)
class Worker(Process):
    """A producer (put), a consumer (get), a janitor (sweep)."""

    role: str
    items: tuple[int, ...] = ()
    then: str = ""  # where it goes on after allocating or freeing
    block: int = NONE  # in hand
    record: Record = Record()  # noqa: RUF009 -- a tuple
    number: int = 0
    dead: int = 0  # whom a janitor sweeps
    swept: bool = False


@dataclass(slots=True)
class Memory(World[Worker]):
    """The ring and the heap."""

    domain: int = 0
    tail_lock: int = 0
    head_lock: int = 0
    tail: Position = (0, 0)
    head: Position = (0, 0)
    table: tuple[int, ...] = ()  # block of each segment number
    cells: tuple[tuple[Record, ...], ...] = ()  # what is written in each block
    blocks: tuple[Block, ...] = ()
