"""Waiting until another process says that something has changed."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from procession import _core
from procession._base.arguments import label
from procession._base.public import public
from procession._base.statistics import ConditionStatistics
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared
from procession._sync.locks import Lock, Mutex, RLock

__all__ = ["Condition"]

T = TypeVar("T")


class _Count(NamedTuple):
    value: int

    def get_value(self) -> int:
        return self.value


@public
class Condition(_core.Condition):
    """The drop-in for ``multiprocessing.Condition``: a lock, and a queue of those that wait to be notified.

    `lock`: a Lock, RLock or Mutex; an RLock of its own by default. `name`: a label, shown everywhere.

    Who waits longest is notified first. A notification is not lost with the process that it woke: if that one is killed
    before its ``wait()`` has the lock again, the next one is notified in its stead. The lock itself comes back as its own
    rules say; a Mutex tells the taker that its owner died.

    ``wait``, ``notify`` and ``notify_all`` without the lock raise NotOwner, a RuntimeError.

    >>> changed = Condition(name="changed")
    >>> with changed:
    ...     changed.notify()
    ...     changed.wait(timeout=0)
    False
    """

    _lock: Lock | RLock | Mutex  # where the core looks for it

    def __init__(self, lock: Lock | RLock | Mutex | None = None, *, name: str | None = None) -> None:
        if lock is not None and not isinstance(lock, (_core.Lock, _core.RLock, _core.Mutex)):
            raise TypeError(
                f"lock must be a Lock, RLock or Mutex of procession, or None, not {type(lock).__name__}: the lock of "
                "another library does not come back when its owner dies"
            )
        title = label("Condition", name)
        self._lock = RLock(name=title) if lock is None else lock
        if lock is None:
            self._lock._be_part()
        super().__init__(domains.current(), title)
        self._set_mate(self._lock)  # for who finds the condition by its name

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until `predicate()`, called with the lock held, is true; return what it said last.

        After `timeout` seconds in all that may be something false.
        """
        end = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def statistics(self) -> ConditionStatistics:
        """Who waits at this instant."""
        waiting, notified = self._look()
        return ConditionStatistics(name=self.name, waiting=waiting, notified=notified)

    # What the standard library's has, and its test suite looks at when nobody should be left in wait().

    @property
    def _sleeping_count(self) -> "_Count":
        return _Count(sum(self._look()))

    @property
    def _woken_count(self) -> "_Count":
        return _Count(0)

    @property
    def _wait_semaphore(self) -> "_Count":
        return _Count(self._look()[1])

    def __repr__(self) -> str:
        now = self.statistics()
        notified = f", {now.notified} notified" if now.notified else ""
        return f"<{type(self).__name__} '{now.name}' with {self._lock!r}, {now.waiting} waiting{notified}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)
