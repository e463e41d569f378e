"""What a process and its template say to each other, over a SOCK_SEQPACKET pair that the process makes.

    question: HEADER (kind, slot, generation, number of descriptors), then for
              CHILD      three pickles: Order, multiprocessing's preparation data, the Process
              PIPED      nothing: the same three come through the first descriptor, a pipe
              SUCCESSOR  nothing: a socket of its own, and a file with a Succession behind room for progress
    answer:   ANSWER (slot, generation, errno or 0); see template_object.c
    READY:    a successor has imported what it was told, and serves
"""

import os
import struct
from typing import Any, NamedTuple

from procession._memory.domain import domains

__all__ = ["ANSWER", "CHILD", "HEADER", "LARGEST", "PIPED", "PROGRESS_BYTES", "READY", "SUCCESSOR", "Order", "Received", "Succession"]

CHILD, PIPED, SUCCESSOR = range(3)
HEADER = struct.Struct("=IIII")
ANSWER = struct.Struct("=IIi")
READY = b"ready"
PROGRESS_BYTES = 256  # of the file: the name of the module that is being imported
LARGEST = 60 << 10  # bytes of a question; a socket takes 200 KiB by default


class Order(NamedTuple):
    """What a spawned child would have from exec. The descriptors stand in this order: streams, tracker, passed."""

    streams: tuple[int, ...]  # which of 0, 1, 2 are open
    has_tracker: bool
    tied: bool  # SIGKILL it when the owner dies
    ignored: int  # signals; bit n - 1 for signal n
    blocked: int
    environment: dict[bytes, bytes | None]  # what differs from the template's; None: is not there


class Succession(NamedTuple):
    """What a successor shall import."""

    names: list[str]
    preparation: dict[str, Any]
    environment: dict[bytes, bytes | None]
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
