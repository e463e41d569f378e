"""The classes of locks, as ``multiprocessing.synchronize`` names them."""

from typing import TYPE_CHECKING

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

if TYPE_CHECKING:
    from procession._sync.barrier import Barrier as Barrier
    from procession._sync.condition import Condition as Condition
    from procession._sync.event import Event as Event
    from procession._sync.locks import Lock as Lock
    from procession._sync.locks import RLock as RLock
    from procession._sync.semaphore import BoundedSemaphore as BoundedSemaphore
    from procession._sync.semaphore import Semaphore as Semaphore
else:
    from multiprocessing import synchronize as theirs

    from procession._compat.standin import stand_in
    from procession._sync import barrier, condition, event, locks, semaphore

    Barrier = stand_in(barrier.Barrier, theirs.Barrier)
    BoundedSemaphore = stand_in(semaphore.BoundedSemaphore, theirs.BoundedSemaphore)
    Condition = stand_in(condition.Condition, theirs.Condition)
    Event = stand_in(event.Event, theirs.Event)
    Lock = stand_in(locks.Lock, theirs.Lock)
    RLock = stand_in(locks.RLock, theirs.RLock)
    Semaphore = stand_in(semaphore.Semaphore, theirs.Semaphore)
