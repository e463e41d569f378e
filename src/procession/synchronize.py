"""The classes of locks, as ``multiprocessing.synchronize`` names them."""

from typing import TYPE_CHECKING

__all__ = ["Lock", "RLock"]

if TYPE_CHECKING:
    from procession._sync.locks import Lock as Lock
    from procession._sync.locks import RLock as RLock
else:
    from multiprocessing import synchronize as theirs

    from procession._compat.standin import stand_in
    from procession._sync import locks

    Lock = stand_in(locks.Lock, theirs.Lock)
    RLock = stand_in(locks.RLock, theirs.RLock)
