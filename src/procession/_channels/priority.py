"""A queue that gives the smallest item first.

    put(item)  key + record -> an entry in shared memory, sorted by its key     get()  the smallest

No process compares Python objects for another: the order is made of the key's bytes, when the item is put. So what a
comparison in Python would do for numbers, text, bytes and tuples of these is what happens, and nothing else is a key.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from procession import _core
from procession._base.arguments import label, size
from procession._base.public import public
from procession._base.statistics import QueueStatistics
from procession._memory import serialize as serialize  # gives the core its pickler
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared
from procession._shared import array as array  # tells the core and the pickler how arrays travel
from procession._sync.doorbell import WithDoorbell

__all__ = ["PriorityQueue"]

T = TypeVar("T")


@public
class PriorityQueue(WithDoorbell, _core.Priority, Generic[T]):
    """A queue that gives the smallest item first, as ``queue.PriorityQueue`` does, for processes.

    Items are numbers, ``str``, ``bytes``, or tuples and lists that begin with such: ``(priority, anything)``. They come in
    Python's order; equal ones in the order of their puts. Of a tuple all is compared up to the first element that is none of these: so
    ``(1, job)`` needs no counter between. Others need `key`, a function of the item that returns what is compared; it must pickle if the queue is given to a
    process that is spawned (``operator.attrgetter("priority")`` does, a lambda does not).

    What agrees in the first 1000 bytes or so counts as equal.

    `maxsize`: at most so many items wait (0: unbounded). `name`: a label, shown everywhere. The rest is as in ``Queue``: when
    ``put`` returns, no death can take the item back.

    ``put`` raises TypeError for an item that has no key, ValueError for NaN, OverflowError for an integer of more than 32767 bits; nothing was put then.

    >>> jobs = PriorityQueue()
    >>> for job in [(2, "wash"), (1, "wake"), (2, {"dry": True})]:
    ...     jobs.put(job)
    >>> jobs.get(), jobs.get(), jobs.get()
    ((1, 'wake'), (2, {'dry': True}), (2, 'wash'))
    """

    _key: Callable[[Any], Any] | None = None

    def __init__(self, maxsize: int = 0, *, key: Callable[[T], Any] | None = None, name: str | None = None) -> None:
        if key is not None and not callable(key):
            raise TypeError(f"key must be callable, not {type(key).__name__}")
        super().__init__(domains.current(), label("PriorityQueue", name), size(maxsize, "maxsize"))
        if key is not None:
            self._key = key
            self._be_part()  # who found it by its name would put by another order

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put one item in; when this returns, it is committed: no death can take it back.

        Raises queue.Full if there was no room within `timeout` seconds, ValueError if closed, ShutDown after
        shutdown(), DomainFull if memory ran out, and what `key` and pickling raise; in each case nothing was put.
        """
        self._put(obj if self._key is None else self._key(obj), obj, block, timeout)

    def put_nowait(self, obj: T) -> None:
        """``put(obj, False)``."""
        self.put(obj, False)

    def get_nowait(self) -> T:
        """``get(False)``."""
        item: T = self.get(False)
        return item

    def close(self) -> None:
        """This process puts and gets no more. The others go on. May be called twice."""
        self._close()
        self._drop_bell()

    def fileno(self) -> int:
        """Return a descriptor of this process that is readable while ``get()`` need not wait; ValueError if closed here.

        It is made by the first call and lives until ``close()``. Another process may take the item first, so
        ``get_nowait()`` is the way to take what it rang for. See :class:`procession.Doorbell`.
        """
        if self._look()[-1]:
            raise ValueError(f"{self!r} is closed")
        return super().fileno()

    def join_thread(self) -> None:
        """There is no feeder thread: nothing to wait for. AssertionError before ``close()``."""
        if not self.statistics().closed:
            raise AssertionError(f"{self!r} is not closed: call close() first")

    def cancel_join_thread(self) -> None:
        """There is no feeder thread, so process exit never waits for one."""

    def shutdown(self, immediate: bool = False) -> None:
        """End the queue for all processes, as ``queue.PriorityQueue.shutdown`` of 3.13 does.

        ``put`` raises ShutDown from now on; ``get`` does so when the queue is empty, so every
        consumer sees the end. With `immediate` the items that wait are given up.
        """
        self._shut(immediate)

    def statistics(self) -> QueueStatistics:
        """Items, bytes and waiters at this instant. It walks over all items."""
        items, weight, maxsize, waiting, shut, closed = self._look()
        return QueueStatistics(
            name=self.name,
            items=items,
            bytes=weight,
            maxsize=maxsize,
            max_bytes=0,
            waiting=waiting,
            shut_down=bool(shut),
            closed=bool(closed),
        )

    def __repr__(self) -> str:
        now = self.statistics()
        items = f"{now.items} of {now.maxsize} items" if now.maxsize else f"{now.items} items"
        notes = [f"{now.waiting} waiting"] if now.waiting else []
        notes += ["shut down"] if now.shut_down else []
        notes += ["closed here"] if now.closed else []
        return f"<{type(self).__name__} '{now.name}' {', '.join([items, *notes])}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)
