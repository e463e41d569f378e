"""The classes of locks, as ``multiprocessing.synchronize`` names them."""

from typing import TYPE_CHECKING

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

if TYPE_CHECKING:
    from multiprocessing.synchronize import BoundedSemaphore as BoundedSemaphore
    from multiprocessing.synchronize import Semaphore as Semaphore

    from procession._sync.barrier import Barrier as Barrier
    from procession._sync.condition import Condition as Condition
    from procession._sync.event import Event as Event
    from procession._sync.locks import Lock as Lock
    from procession._sync.locks import RLock as RLock
else:
    from multiprocessing import synchronize as theirs

    from procession._compat.standin import stand_in
    from procession._sync import barrier, condition, event, locks

    BoundedSemaphore, Semaphore = theirs.BoundedSemaphore, theirs.Semaphore
    Barrier = stand_in(barrier.Barrier, theirs.Barrier)
    Condition = stand_in(condition.Condition, theirs.Condition)
    Event = stand_in(event.Event, theirs.Event)
    Lock = stand_in(locks.Lock, theirs.Lock)
    RLock = stand_in(locks.RLock, theirs.RLock)
