"""What a process and its template say to each other, over a SOCK_SEQPACKET pair that the process makes.

A question is a HEADER (core/python/question.h), a body and descriptors:

    CHILD      what differs in the environment if HAS_ENVIRONMENT, what the template lacks of multiprocessing's preparation
               data, the Process: two or three pickles, which are the body, or with IS_PIPED come through a pipe, the last descriptor
    SUCCESSOR  nothing: a socket of its own, and a file with a Succession behind room for its progress

The answer is read in C. A successor that has imported what it was told says READY through its socket, and serves.
"""

import os
import struct
from typing import Any, NamedTuple

from procession._memory.domain import domains

__all__ = ["CHILD", "HAS_ENVIRONMENT", "HAS_TRACKER", "HEADER", "IS_PIPED", "IS_TIED", "LARGEST", "PROGRESS_BYTES"]
__all__ += ["READY", "SUCCESSOR", "Changes", "Order", "Received", "Succession"]

HEADER = struct.Struct("=IIIIIIQQ")
LARGEST = (64 << 10) - HEADER.size  # bytes of a body
CHILD, SUCCESSOR = 0, 1
HAS_TRACKER, IS_TIED, HAS_ENVIRONMENT, IS_PIPED = 1, 2, 4, 8
READY = b"ready"
PROGRESS_BYTES = 256  # of the file: the name of the module that is being imported

Changes = dict[bytes, bytes | None]  # of an environment; None: is not there any more


class Order(NamedTuple):
    """What a spawned child would have from exec."""

    streams: int  # bit n: descriptor n, of 0, 1, 2, is open
    flags: int
    ignored: int  # signals; bit n - 1 for signal n
    blocked: int
    fds: tuple[int, ...]  # the streams, the resource tracker's, what the arguments need


class Succession(NamedTuple):
    """What a successor shall import."""

    names: list[str]
    preparation: dict[str, Any]
    environment: Changes
    limit: float  # seconds for each module


class Received:
    """A descriptor that a child of a template has got, as multiprocessing's reducers name it."""

    all: list[int] = []  # noqa: RUF012 - this process's, in the order in which they were passed
    DOMAIN = -1

    def __init__(self, index: int) -> None:
        self.index = index

    def detach(self) -> int:
        """Return its number here."""
        return os.dup(domains.current().fd) if self.index == self.DOMAIN else self.all[self.index]
