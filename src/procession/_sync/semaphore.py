"""Semaphores whose permits come back when a process that has some is killed."""

from typing import Any, Literal

from procession import _core
from procession._base.arguments import integer, label
from procession._base.public import public
from procession._base.statistics import Holder, SemaphoreStatistics
from procession._memory.domain import domains
from procession._memory.ending import watch_end
from procession._memory.handle import reduce_shared
from procession._sync.doorbell import WithDoorbell

__all__ = ["BoundedSemaphore", "Semaphore"]

LARGEST = (1 << 31) - 1  # SEM_VALUE_MAX of <semaphore.h>
BOUNDED, KEEP = 1, 2  # flags of a semaphore; KEEP: a death returns nothing

watch_end()


@public
class Semaphore(WithDoorbell, _core.Semaphore):
    """The drop-in for ``multiprocessing.Semaphore``: `value` permits; any process or thread may take and release one.

    ``acquire()`` takes a permit, and waits while there is none; ``release()`` gives one back, or adds one if none is
    taken. What a process has taken and nobody gave back is free again if the process is killed, or ends with another
    exit code than 0. A process that ends with exit code 0 leaves its permits taken, as in
    ``multiprocessing``: another one may release them. With ``on_death="keep"`` a death returns nothing either: for a semaphore
    that counts what happened, where taking a permit uses it up.

    Raises ValueError if `value` is negative or `on_death` is something else, OverflowError if `value` is above
    2**31 - 1. ``release()`` raises ValueError at 2**31 - 1 permits.

    >>> semaphore = Semaphore(2, name="seats")
    >>> with semaphore:
    ...     semaphore.get_value()
    1
    """

    _bounded = False

    def __init__(
        self, value: int = 1, *, name: str | None = None, on_death: Literal["release", "keep"] = "release"
    ) -> None:
        kind = "BoundedSemaphore" if self._bounded else "Semaphore"
        permits = integer(value, "value")
        if permits < 0:
            raise ValueError(f"value must be 0 or more, not {permits}: that many permits are free at first")
        if permits > LARGEST:
            raise OverflowError(f"value must be at most {LARGEST} (SEM_VALUE_MAX), not {permits}")
        if on_death not in {"release", "keep"}:
            raise ValueError(f'on_death must be "release" or "keep", not {on_death!r}')
        super().__init__(domains.current(), label(kind, name), permits, self._bounded, on_death == "keep")

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def locked(self) -> bool:
        """Is there no permit just now?"""
        return self.get_value() == 0

    def statistics(self) -> SemaphoreStatistics:
        """Permits, who has them, and who waits at this instant."""
        free, total, kept, waiters, recoveries, flags, holders = self._look()
        return SemaphoreStatistics(
            name=self.name,
            value=free,
            permits=total,
            holders=tuple(Holder(*holder) for holder in holders),
            left=kept,
            waiters=waiters,
            recoveries=recoveries,
            on_death="keep" if flags & KEEP else "release",
        )

    @property
    def _semlock(self) -> "_SemLock":
        return _SemLock(self)

    def __repr__(self) -> str:
        now = self.statistics()
        parts = [f"{now.value} of {now.permits} free"]
        if len(now.holders) == 1:
            who = now.holders[0]
            parts.append(f"{who.permits} held by pid {who.pid}" + (f" ({who.name})" if who.name else ""))
        elif now.holders:
            parts.append(f"{sum(who.permits for who in now.holders)} held by {len(now.holders)} processes")
        if now.left:
            parts.append(f"{now.left} left taken")
        if now.waiters:
            parts.append(f"{now.waiters} waiting")
        return f"<{type(self).__name__} '{now.name}' {', '.join(parts)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)


class _SemLock:
    """What a queue of the standard library, made over a context of ours (by concurrent.futures, say), asks its semaphores."""

    def __init__(self, semaphore: Semaphore) -> None:
        self._get_value = semaphore.get_value
        self._is_zero = semaphore.locked


@public
class BoundedSemaphore(Semaphore):
    """The drop-in for ``multiprocessing.BoundedSemaphore``: as Semaphore, and it never has more than its first permits.

    ``release()`` raises ValueError if all of them are free.
    """

    _bounded = True
