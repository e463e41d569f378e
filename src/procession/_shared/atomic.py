"""A number that processes change without a lock."""

from __future__ import annotations

from typing import Any, Self

from procession import _core
from procession._base.arguments import label
from procession._base.public import public
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared

__all__ = ["Atomic"]


@public
class Atomic(_core.Atomic):
    """A signed 64-bit integer in shared memory. Each operation is one step: whoever is killed has done it, or has not.

    ``add(n)`` returns the new value, ``exchange(value)`` the old one, ``compare_exchange(expected, desired)`` whether it was
    `expected`. ``a += n`` is ``a.add(n)``; ``a.value += n`` is a read and a write, between which others may write.

    OverflowError for what does not fit into 64 bits; the value is not changed then. `name`: a label, shown in messages.

    >>> served = Atomic(name="served")
    >>> served.add(), served.add(10)
    (1, 11)
    >>> served.compare_exchange(11, 0)
    True
    """

    def __init__(self, value: int = 0, *, name: str | None = None) -> None:
        super().__init__(domains.current(), label("Atomic", name), value)

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def __iadd__(self, n: int) -> Self:
        self.add(n)
        return self

    def __isub__(self, n: int) -> Self:
        self.add(-n)
        return self

    def __int__(self) -> int:
        return self.load()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}' {self.load()}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)
