"""Checks of what callers give, with errors that name the argument."""

import itertools
import math
import operator
from collections import defaultdict

__all__ = ["bound", "integer", "label", "seconds", "size"]

LARGEST = (1 << 63) - 1
LABEL_BYTES = 47  # PN_NAME of core/object.h, and a NUL

_numbers: defaultdict[str, "itertools.count[int]"] = defaultdict(lambda: itertools.count(1))


def label(kind: str, name: object) -> str:
    """The name of an object: the given one, or the kind with a number."""
    if name is None:
        return f"{kind}-{next(_numbers[kind])}"
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    if len(name.encode()) > LABEL_BYTES:
        raise ValueError(f"name must have {LABEL_BYTES} bytes in UTF-8 at most, not {len(name.encode())}: {name!r}")
    return name


def integer(value: object, what: str) -> int:
    """An integer of any size."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}") from None


def seconds(timeout: object) -> float:
    """A time-out that is kept for later, refused as one that is used at once."""
    try:
        if isinstance(timeout, (str, bytes, bytearray)):  # which float() would read
            raise TypeError
        number = float(timeout)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"timeout must be seconds (a number) or None, not {type(timeout).__name__}") from None
    if math.isnan(number):
        raise ValueError("timeout must be seconds, not NaN")
    return number


def bound(value: object, what: str) -> int:
    """A limit, 0 (unbounded) if it is 0 or less, as ``queue.Queue`` has it; programs say -1."""
    return size(max(integer(value, what), 0), what)


def size(value: object, what: str) -> int:
    """A limit: 0 (unbounded) or more."""
    number = integer(value, what)
    if not 0 <= number <= LARGEST:
        raise ValueError(f"{what} must be 0 (unbounded) or more, and below 2**63, not {number}")
    return number
