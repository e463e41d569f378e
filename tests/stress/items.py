"""Items of many forms, each of which tells its identity, and shows if it came otherwise than it was put."""

from __future__ import annotations

import random
from typing import Any

import procession
from tests.stress.arrays import Broken, identify_bulky, make_bulky

__all__ = ["Broken", "identify", "make", "make_with_lock"]

PATTERN = bytes(range(256)) * 512


class Note:
    """Something that only pickle can carry."""

    def __init__(self, identity: int) -> None:
        self.identity = identity


def make(rng: random.Random, identity: int, bulky: float = 0.0) -> Any:
    """Make an item of random form that tells its identity. `bulky`: the share of large ones with buffers."""
    if rng.random() < bulky:
        return make_bulky(rng, identity)
    form = rng.random()
    if form < 0.35:
        return identity
    if form < 0.6:
        return (identity, "x" * rng.randrange(40), 1.5, None)
    if form < 0.75:
        return Note(identity)
    # The large ones go into blocks of the heap.
    length = rng.randrange(9, 3000) if form < 0.92 else rng.randrange(20 << 10, 100 << 10)
    return identity.to_bytes(8, "little") + PATTERN[8:length]


def make_with_lock(identity: int) -> Any:
    """Make an item with a shared object in it, which the queue keeps alive on the way."""
    return (identity, procession.Mutex(name="carried"))


def identify(item: Any) -> int:
    """Return the identity of an item. Broken if its bytes are not what was put."""
    match item:
        case int():
            return item
        case Note():
            return item.identity
        case (int() as identity, str() as text, float() as number, None):
            if text.strip("x") or number != 1.5:
                raise Broken(f"item {identity:#x} came as {item!r}")
            return identity
        case (int() as identity, procession.Mutex() as mutex):
            if not mutex.acquire(timeout=10):
                raise Broken(f"{mutex!r} of item {identity:#x} cannot be had, and nobody else knows it")
            mutex.release()
            return identity
        case bytes() if len(item) >= 9:
            identity = int.from_bytes(item[:8], "little")
            if item[8:] != PATTERN[8 : len(item)]:
                raise Broken(f"torn: item {identity:#x} of {len(item)} bytes came with other bytes")
            return identity
    if (bulky := identify_bulky(item)) is not None:
        return bulky
    raise Broken(f"nobody put {item!r}")
