"""Locks that come back when their owner dies."""

import warnings
from collections.abc import Callable
from typing import Any

from procession import _core
from procession._base.arguments import label
from procession._base.errors import OwnerDied, OwnerDiedWarning
from procession._base.public import public
from procession._base.statistics import LockStatistics
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared
from procession._sync.doorbell import WithDoorbell

__all__ = ["Lock", "Mutex", "RLock"]


def _statistics(lock: "_core.Lock | _core.RLock | _core.Mutex") -> LockStatistics:
    pid, _, name, waiters, recoveries, depth, _ = lock._look()
    held = lock.locked()
    return LockStatistics(
        name=lock._label or "",
        owner_pid=pid if held and pid else None,
        owner_name=name or None if held else None,
        waiters=waiters,
        recoveries=recoveries,
        depth=depth + 1 if held else 0,
    )


def _describe(lock: "_core.Lock | _core.RLock | _core.Mutex") -> str:
    now = _statistics(lock)
    if now.owner_pid is not None:
        who = f"{now.owner_pid} ({now.owner_name})" if now.owner_name else str(now.owner_pid)
        state = f"held by pid {who}"
    else:
        state = "held" if lock.locked() else "free"
    waiting = f", {now.waiters} waiting" if now.waiters else ""
    return f"<{type(lock).__name__} '{now.name}' {state}{waiting}>"


@public
class Lock(WithDoorbell, _core.Lock):
    """The drop-in for ``multiprocessing.Lock``: any process or thread may release it.

    A dead owner is found by the process table, and the lock comes back to the next
    ``acquire()``. Releasing it when nobody holds it raises ValueError.

    >>> lock = Lock(name="stock")
    >>> with lock:
    ...     lock.locked()
    True
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(domains.current(), label("Lock", name))

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def statistics(self) -> LockStatistics:
        """Owner, waiters and recoveries at this instant."""
        return _statistics(self)

    def __repr__(self) -> str:
        return _describe(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)


@public
class RLock(WithDoorbell, _core.RLock):
    """The drop-in for ``multiprocessing.RLock``: its owner, a thread, may take it again.

    AssertionError if released by anybody else, as there. A dead owner's lock comes back at
    once, however often he held it.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(domains.current(), label("RLock", name))

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def statistics(self) -> LockStatistics:
        """Owner, waiters, depth and recoveries at this instant."""
        return _statistics(self)

    def __repr__(self) -> str:
        return _describe(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)


@public
class Mutex(WithDoorbell, _core.Mutex):
    """A mutual exclusion lock that only its owner, a thread, may release.

    If the owner dies, the kernel hands the lock to the next waiter at once. What it protects may
    then be half changed, so the taker is told: ``on_owner_death(OwnerDied)`` is called while the
    lock is held, and if it raises, the lock is released still marked and the exception goes
    to the caller of ``acquire()``; without it one OwnerDiedWarning is given. ``owner_died`` is
    true as long as this thread holds it.

    Raises NotOwner (a RuntimeError) if released by another thread, and RuntimeError if a
    thread that holds it would wait for itself.
    """

    _repair: Callable[[OwnerDied], object] | None = None

    def __init__(
        self,
        *,
        name: str | None = None,
        on_owner_death: Callable[[OwnerDied], object] | None = None,
    ) -> None:
        if on_owner_death is not None and not callable(on_owner_death):
            raise TypeError(f"on_owner_death must be callable, not {type(on_owner_death).__name__}")
        super().__init__(domains.current(), label("Mutex", name))
        if on_owner_death is not None:
            self._repair = on_owner_death

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def _owner_died(self) -> None:
        # Called by acquire(), which holds the lock; if this raises, it is released marked.
        error = OwnerDied(self.name)
        if self._repair is not None:
            self._repair(error)
        else:
            warnings.warn(str(error), OwnerDiedWarning, stacklevel=2)

    def statistics(self) -> LockStatistics:
        """Owner, waiters and recoveries at this instant."""
        return _statistics(self)

    def __repr__(self) -> str:
        return _describe(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)
