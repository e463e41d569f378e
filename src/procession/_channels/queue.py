"""Queues for many producers and many consumers, first in, first out for each producer.

    put(obj)  encode -> ring in shared memory -> decode  get()

There is no feeder thread: when ``put`` returns, the item stands in shared memory, and no
death of anybody can take it back. An item belongs to whoever took it with ``get``: if that
process is killed before it was done, that item is gone with it, at most what one ``get`` or
``get_many`` had in hand. (A JoinableQueue gives it to another consumer: ``joinable.py``.)
"""

import io
from typing import Any, Generic, TypeVar

from procession import _core
from procession._base.arguments import bound, label, size
from procession._base.public import public
from procession._base.statistics import QueueStatistics
from procession._channels.ends import NoLock, Reader, Writer
from procession._memory import serialize as serialize  # gives the core its pickler
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared
from procession._shared import array as array  # tells the core and the pickler how arrays travel
from procession._sync.doorbell import Doorbell, WithDoorbell

__all__ = ["Queue", "SimpleQueue"]

T = TypeVar("T")


class _BaseQueue(WithDoorbell, _core.Ring, Generic[T]):
    # What _reader and _writer remember, in this process.
    _closed_ends: frozenset[type] = frozenset()
    _room_bell: Doorbell | None = None
    _rlock = _wlock = NoLock()

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def close(self) -> None:
        """This process puts and gets no more. The others go on. May be called twice."""
        self._close()
        self._drop_bell()
        room, self._room_bell = self._room_bell, None
        if room is not None:
            room.close()

    def fileno(self) -> int:
        """Return a descriptor of this process that is readable while ``get()`` need not wait; ValueError if closed here.

        It is made by the first call and lives until ``close()``. Another process may take the item first, so
        ``get_nowait()`` is the way to take what it rang for. See :class:`procession.Doorbell`.
        """
        if self._look()[-1]:
            raise ValueError(f"{self!r} is closed")
        return super().fileno()

    @property
    def _reader(self) -> Reader:
        return Reader(self)  # type: ignore[arg-type]

    @property
    def _writer(self) -> Writer:
        return Writer(self)  # type: ignore[arg-type]

    def shutdown(self, immediate: bool = False) -> None:
        """End the queue for all processes, as ``queue.Queue.shutdown`` of 3.13 does.

        ``put`` raises ShutDown from now on; ``get`` does so when the queue is empty, so every
        consumer sees the end. With `immediate` the items that wait are given up.
        """
        self._shut(immediate)

    def empty(self) -> bool:
        """Is it empty just now? After ``close()`` it raises what is an OSError, as there, and a ValueError."""
        try:
            return super().empty()
        except ValueError as error:
            raise io.UnsupportedOperation(str(error)) from None

    def statistics(self) -> QueueStatistics:
        """Items, bytes and waiters at this instant."""
        items, weight, maxsize, max_bytes, waiting, shut, closed = self._look()
        return QueueStatistics(
            name=self.name,
            items=items,
            bytes=weight,
            maxsize=maxsize,
            max_bytes=max_bytes,
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


@public
class Queue(_BaseQueue[T]):
    """The drop-in for ``multiprocessing.Queue``.

    `maxsize`: at most so many items wait (0 or less: unbounded; what exceeds the ring goes into more
    memory of the domain, up to its cap, then DomainFull). `max_bytes`: at most so many bytes
    wait, as stored; one larger item may travel alone. `name`: a label, shown everywhere.

    ``queue.Full`` and ``queue.Empty`` are raised as there; an object that does not pickle raises
    in the caller of ``put``, and nothing is lost.

    >>> jobs = Queue(name="jobs")
    >>> jobs.put(("a.py", 1))
    >>> jobs.get()
    ('a.py', 1)
    """

    def __init__(self, maxsize: int = 0, *, max_bytes: int | None = None, name: str | None = None) -> None:
        super().__init__(
            domains.current(),
            label("Queue", name),
            bound(maxsize, "maxsize"),
            size(0 if max_bytes is None else max_bytes, "max_bytes"),
        )

    def empty(self) -> bool:
        """Is it empty just now? After ``close()`` it raises an OSError that is a ValueError, unless it is empty."""
        try:
            return super().empty()
        except io.UnsupportedOperation:
            if self._look()[0] == 0:
                return True  # as there, where close() does nothing to a queue that was not used
            raise

    def join_thread(self) -> None:
        """There is no feeder thread: nothing to wait for. AssertionError before ``close()``."""
        if not self.statistics().closed:
            raise AssertionError(f"{self!r} is not closed: call close() first")

    def cancel_join_thread(self) -> None:
        """There is no feeder thread, so process exit never waits for one."""


@public
class SimpleQueue(_BaseQueue[T]):
    """The drop-in for ``multiprocessing.SimpleQueue``: unbounded, ``put``, ``get``, ``empty``."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(domains.current(), label("SimpleQueue", name), 0, 0)
