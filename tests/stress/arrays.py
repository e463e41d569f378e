"""Large items whose bytes can be checked: numpy arrays, or without numpy what else pickles to protocol-5 buffers.

The bytes of an item follow from its identity: the identity itself, then a stretch of one fixed random text that begins
elsewhere for each identity. So bytes of another item, or of another life of the same memory, are told from its own.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pickle
import random
from typing import Any

__all__ = [
    "HAS_NUMPY",
    "LARGEST",
    "Broken",
    "Kept",
    "Raw",
    "bulk_of",
    "expected",
    "flat",
    "identify_bulky",
    "make_bulky",
    "spoil",
]

# Its idle threads would make each fork of the driver a fork of a process with threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
LARGEST = 3 << 20
BORDER = 32 << 10  # bytes from which on a buffer travels beside the pickle
STARTS = 4093  # a prime, below the smallest large item by far


class Broken(Exception):
    """A promise does not hold, as seen by one of the tortured."""


class Raw:
    """A buffer without numpy."""

    def __init__(self, identity: int, data: Any) -> None:
        self.identity = identity
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Raw, (self.identity, pickle.PickleBuffer(self.data))


# ---- bytes ---------------------------------------------------------------------------------


@functools.cache
def text() -> memoryview:
    """The fixed random text."""
    return memoryview(random.Random(77).randbytes(LARGEST + STARTS))


def expected(identity: int, length: int) -> bytes:
    """What an item of that identity consists of."""
    start = identity * 2654435761 % STARTS
    return identity.to_bytes(8, "little") + bytes(text()[start + 8 : start + length])


def flat(data: Any) -> memoryview:
    """The bytes of a buffer, in the order in which they stand in memory."""
    if hasattr(data, "ravel"):
        data = data.ravel(order="K")
    return memoryview(data).cast("B")


def check_bytes(identity: int, data: Any, what: str) -> None:
    """Broken if these are not the bytes of the item."""
    found = bytes(flat(data))
    wanted = expected(identity, len(found))
    if found != wanted:
        at = next(i for i, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other)
        wrong = sum(one != other for one, other in zip(found, wanted, strict=True))
        raise Broken(
            f"torn: {what} {identity:#x} of {len(found)} bytes has {wrong} wrong ones from {at} on: "
            f"{found[at : at + 16].hex()} for {wanted[at : at + 16].hex()}"
        )


# ---- items ---------------------------------------------------------------------------------


def length_of(rng: random.Random) -> int:
    """A length in bytes, a multiple of 64; often near the border."""
    if rng.random() < 0.25:
        return BORDER + rng.choice((-64, 0, 64, BORDER))
    return int(BORDER * (LARGEST / BORDER) ** rng.random()) // 64 * 64


def make_bulky(rng: random.Random, identity: int) -> Any:
    """Make a large item of random form."""
    data = bytearray(expected(identity, length_of(rng)))
    if not HAS_NUMPY:
        return Raw(identity, data if rng.random() < 0.5 else bytes(data))
    import numpy as np

    array = np.frombuffer(data, dtype=rng.choice(("u1", "<i4", "<u8", "<f8", "<c16")))
    form = rng.randrange(8)
    if form == 0:
        return Raw(identity, data)
    if form == 1:
        return (identity, array, "x" * rng.randrange(99))
    if form == 2:  # two buffers in one item
        small = np.frombuffer(expected(identity, 4096), dtype="u1")
        return {"identity": identity, "bulk": array, "more": [small, array[: len(array) // 2]]}
    if form == 3:
        return array.reshape(-1, 4).T  # in Fortran's order
    if form == 4:
        array.flags.writeable = False
        return array
    if form == 5:  # the other numbers do not travel
        wide = np.zeros((len(data) // 8, 2), dtype="<u8")
        wide[:, 0] = np.frombuffer(data, dtype="<u8")
        return wide[:, 0]
    return array if form == 6 else array.reshape(-1, 4)


def is_array(item: Any) -> bool:
    return type(item).__module__.partition(".")[0] == "numpy"


def bulk_of(item: Any) -> Any:
    """Return the large buffer of an item; None if it is another kind of item."""
    match item:
        case Raw():
            return item.data
        case {"bulk": bulk}:
            return bulk
        case (int(), bulk, str()) if is_array(bulk):
            return bulk
    return item if is_array(item) else None


def identify_bulky(item: Any) -> int | None:
    """Return the identity of a large item, None if it is another kind. Broken if its bytes are not what was put."""
    bulk = bulk_of(item)
    if bulk is None:
        return None
    identity = int.from_bytes(flat(bulk)[:8], "little")
    match item:
        case Raw(identity=named) | {"identity": named} | (named, _, _) if named != identity:
            raise Broken(f"torn: item {named:#x} begins as {identity:#x}")
        case {"more": [small, half]}:
            check_bytes(identity, small, "the small part of item")
            check_bytes(identity, half, "the second part of item")
    check_bytes(identity, bulk, "item")
    return identity


# ---- what a consumer does with it ----------------------------------------------------------


def spoil(rng: random.Random, bulk: Any) -> int | None:
    """Overwrite all of a buffer with one byte, if it may be written; nobody else may see that. Return the byte."""
    view = flat(bulk)  # of the item itself: what arrives stands in one piece
    if view.readonly:
        return None
    byte = rng.randrange(256)
    view[:] = bytes([byte]) * len(view)
    if bytes(flat(bulk)[:1]) != bytes([byte]):
        raise Broken(f"{type(bulk)} {bulk.strides} does not stand in one piece")
    return byte


class Kept:
    """Buffers that a consumer keeps for a while, and looks at again before it lets them go."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._most = rng.randrange(6)
        self._kept: list[tuple[Any, int, int | None]] = []

    def add(self, identity: int, item: Any) -> int:
        """Take an item that was identified; return its bytes (0: it is no large one)."""
        bulk = bulk_of(item)
        if bulk is None:
            return 0
        byte = spoil(self._rng, bulk) if self._rng.random() < 0.5 else None
        self._kept.append((bulk, identity, byte))
        while len(self._kept) > self._most:
            self.drop(self._rng.randrange(len(self._kept)))
        return len(flat(bulk))

    def drop(self, index: int) -> None:
        bulk, identity, byte = self._kept.pop(index)
        if byte is None:
            check_bytes(identity, bulk, "kept item")
        elif bytes(flat(bulk)) != bytes([byte]) * len(flat(bulk)):
            raise Broken(f"torn: what was written to the kept item {identity:#x} is not there any more")

    def drop_all(self) -> None:
        while self._kept:
            self.drop(0)
