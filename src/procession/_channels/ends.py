"""``queue._reader`` and ``queue._writer``: the two ends of a queue, with the methods of a Connection.

Private by their names, but ``concurrent.futures`` and ``multiprocessing.pool`` use them, and so does everybody who waits for a
queue together with something else by ``multiprocessing.connection.wait([queue._reader, process.sentinel])``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession._base.errors import ShutDown
from procession._channels.wait import wait
from procession._sync.doorbell import Doorbell

if TYPE_CHECKING:
    from procession._channels.queue import Queue, SimpleQueue

__all__ = ["NoLock", "Reader", "Writer"]


class _End:
    """A view of the queue, made anew each time: what it remembers, it remembers in the queue."""

    def __init__(self, queue: Queue[Any] | SimpleQueue[Any]) -> None:
        self._queue = queue

    @property
    def closed(self) -> bool:
        """Whether this process has closed it, or the queue."""
        return type(self) in self._queue._closed_ends or self._queue.statistics().closed

    def close(self) -> None:
        """This process uses that end no more. The queue itself stays."""
        self._queue._closed_ends |= {type(self)}

    def _open(self) -> Queue[Any] | SimpleQueue[Any]:
        if self.closed:
            raise OSError("handle is closed")
        return self._queue

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._queue is self._queue

    def __hash__(self) -> int:
        return hash((type(self), id(self._queue)))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Reader(_End):
    """The end at which items come out."""

    readable = True
    writable = False

    def fileno(self) -> int:
        """Return a descriptor that is readable while ``recv()`` need not wait."""
        return self._open().fileno()

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether an item (or the end of the queue) is there within `timeout` seconds; None: wait for it."""
        return bool(wait([self._open()], timeout))

    def recv(self) -> Any:
        """Take an item out, as ``get()``. EOFError when the queue was shut down and is empty."""
        try:
            return self._open().get()
        except ShutDown as error:
            raise EOFError(str(error)) from error


class Writer(_End):
    """The end at which items go in."""

    readable = False
    writable = True

    def fileno(self) -> int:
        """Return a descriptor that is readable (not: writable) while ``send()`` of one item need not wait for room."""
        queue = self._open()
        if queue._room_bell is None:
            queue._room_bell = Doorbell(queue, "put")
        return queue._room_bell.fileno()

    def send(self, obj: Any) -> None:
        """Put an item in, as ``put()``."""
        self._open().put(obj)

    def close(self) -> None:
        """This process uses that end no more. The queue itself stays."""
        super().close()
        bell, self._queue._room_bell = self._queue._room_bell, None
        if bell is not None:
            bell.close()


class NoLock:
    """``queue._rlock`` and ``_wlock``: each get and put is whole by itself, so there is nothing to guard."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:  # noqa: ARG002
        """Do nothing."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *exc: object) -> None:
        pass
