"""Blocks of shared memory of the programs that started this one, by their names.

A program hands the name of a block to one that it runs with ``subprocess``: with ``multiprocessing`` any process of the
machine finds it then. Ours is found by whoever descends from the program that has it, if it is of the same user.
"""

import os
from collections.abc import Iterator

from procession import _core
from procession._base.errors import LayoutMismatch, NotFound

__all__ = ["block_of_an_ancestor"]


def block_of_an_ancestor(name: str) -> _core.Buffer | None:
    """Return the block of that name of the nearest program above this one that has it. It is attached to for good."""
    from procession._process.attach import attach  # noqa: PLC0415 - imports every kind of object, for a rare need

    for pid in _ancestors():
        try:
            found = attach(pid)._domains
        except (OSError, NotFound, LayoutMismatch):
            continue  # it has nothing of ours, or is not ours to look into
        for domain in found:
            block = _core.Buffer._find(domain, name)
            if block is not None:
                return block
    return None


def _ancestors() -> Iterator[int]:
    pid = os.getppid()
    while pid > 1:
        yield pid
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return  # it has ended meanwhile
