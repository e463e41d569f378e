"""A result that needs a pickle, packed so that its number is known even if it does not unpickle.

A pickle is read from its beginning: the number comes first, and what may fail comes behind it.
"""

import threading
from typing import Any

__all__ = ["Parcel", "opened"]


class _Opened(threading.local):
    def __init__(self) -> None:
        self.numbers: list[int] = []


_here = _Opened()


class Parcel:
    """A result and the number of its task."""

    __slots__ = ("content", "number")

    def __init__(self, number: int, content: Any = None) -> None:
        self.number = number
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.number,), self.content

    def __setstate__(self, content: Any) -> None:
        self.content = content


def _open(number: int) -> Parcel:
    _here.numbers.append(number)
    return Parcel(number)


def opened() -> list[int]:
    """Return the numbers of the parcels that this thread has begun to unpickle since it asked last."""
    numbers, _here.numbers = _here.numbers, []
    return numbers
