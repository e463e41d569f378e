"""What a pool hands out for work that is under way, by the names of ``multiprocessing.pool``.

They derive from the classes there, so that ``isinstance`` holds, and use nothing of them.
"""

import sys
import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from itertools import chain
from multiprocessing import TimeoutError  # noqa: A004 - its name there
from multiprocessing import pool as theirs
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

if TYPE_CHECKING:
    from multiprocessing.pool import IMapIterator as TheirIterator
    from multiprocessing.pool import IMapUnorderedIterator as TheirUnorderedIterator

__all__ = ["ApplyResult", "IMapIterator", "IMapUnorderedIterator", "MapResult"]

T = TypeVar("T")
Callback = Callable[[T], object] | None


class _Subscriptable:
    """Theirs have parameters for type checkers alone."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __getitem__(self, parameters: Any) -> GenericAlias:
        return GenericAlias(self._kind, parameters)


if not TYPE_CHECKING:
    TheirIterator = _Subscriptable(theirs.IMapIterator)
    TheirUnorderedIterator = _Subscriptable(theirs.IMapUnorderedIterator)


class ApplyResult(theirs.ApplyResult[T]):
    """The result of ``apply_async()``, and the base of that of ``map_async()``."""

    def __init__(self, pool: Any, title: str, callback: Callback[T], error_callback: Callback[BaseException]) -> None:
        self.title = title
        self._pool: Any = pool  # a pool lives as long as somebody waits for it
        self._callback: Callback[Any] = callback
        self._error_callback: Callback[Any] = error_callback
        self._done = False
        self._success = False
        self._value: Any = None
        self._turnstile = allocate_lock()  # held until it is done: each who waits takes it and gives it back
        self._turnstile.acquire()

    def ready(self) -> bool:
        """Is it done?"""
        return self._done

    def successful(self) -> bool:
        """Was it done without an exception? ValueError if it is not done."""
        if not self._done:
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is done, or for so many seconds."""
        if not self._done:
            patience = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
            if self._turnstile.acquire(True, patience):
                self._turnstile.release()

    def get(self, timeout: float | None = None) -> T:
        """Return the result, or raise what the task raised; multiprocessing.TimeoutError if it is not done in time."""
        self.wait(timeout)
        if not self._done:
            raise TimeoutError
        if self._success:
            value: T = self._value
            return value
        raise self._value

    # ---- for the engine ----------------------------------------------------------------------

    def settle(self, results: list[tuple[int, Any, Any]]) -> None:
        """Take the one result."""
        _, went_well, value = results[0]
        self._finish(bool(went_well), value)

    def set_length(self, length: int) -> None:
        """It is one."""

    def abandon(self, error: BaseException) -> None:
        """Nothing will come. Callbacks are not called: a pool that is ended is no failure of each of its tasks."""
        if not self._done:
            self._callback = self._error_callback = None
            self._finish(False, error)

    def _finish(self, went_well: bool, value: Any) -> None:
        self._success, self._value = went_well, value
        callback = self._callback if went_well else self._error_callback
        if callback is not None:
            _call(callback, value)
        self._callback = self._error_callback = None
        self._done = True
        self._pool = None
        self._turnstile.release()


class MapResult(ApplyResult[list[T]], theirs.MapResult[T]):
    """The result of ``map_async()``: a list, when all is done; or the first exception, when all is done."""

    def __init__(
        self, pool: Any, title: str, callback: Callback[list[T]], error_callback: Callback[BaseException]
    ) -> None:
        super().__init__(pool, title, callback, error_callback)
        self._chunks: dict[int, Any] = {}
        self._settled = 0
        self._length: int | None = None
        self._error: Any = None

    def settle(self, results: list[tuple[int, Any, Any]]) -> None:
        """Take the results of some chunks."""
        for index, went_well, value in results:
            if went_well and self._error is None:
                self._chunks[index] = value
            elif self._error is None:
                self._error = value
                self._chunks.clear()
        self._settled += len(results)
        self._look()

    def set_length(self, length: int) -> None:
        """So many chunks there are."""
        self._length = length
        self._look()

    def _look(self) -> None:
        if self._settled != self._length:
            return
        if self._error is not None:
            self._finish(False, self._error)
        else:
            chunks = self._chunks
            self._chunks = {}
            self._finish(True, list(chain.from_iterable(map(chunks.pop, range(self._settled)))))

    def abandon(self, error: BaseException) -> None:
        """Nothing more will come."""
        self._chunks.clear()
        super().abandon(error)


class IMapIterator(TheirIterator[T]):
    """The results of ``imap()``, in the order of the input."""

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, pool: Any, title: str, is_chunked: bool) -> None:
        self.title = title
        self._is_chunked = is_chunked  # each result is of several items; what raised is one
        self._pool: Any = pool
        self._change = threading.Condition(threading.Lock())
        self._waiting = 0
        self._items: deque[tuple[Any, Any]] = deque()  # to be taken: whether it went well, value or exception
        self._early: dict[int, tuple[Any, Any]] = {}  # that come after one that is not there yet
        self._index = 0  # of results that were put into _items
        self._length: int | None = None
        self._end: BaseException | None = None  # why nothing more will come

    def __iter__(self) -> Self:
        return self

    def next(self, timeout: float | None = None) -> T:
        """Return the next result, or raise what its task raised; multiprocessing.TimeoutError if it is not there in time."""
        try:
            went_well, value = self._items.popleft()
        except IndexError:
            went_well, value = self._wait(timeout)
        if went_well:
            result: T = value
            return result
        raise value

    def __next__(self, timeout: float | None = None) -> T:
        return self.next(timeout)

    def _wait(self, timeout: float | None) -> tuple[Any, Any]:
        with self._change:
            self._waiting += 1
            try:
                self._change.wait_for(lambda: self._items or self._is_at_end() or self._end, timeout)
            finally:
                self._waiting -= 1
            if self._items:
                return self._items.popleft()
            if self._is_at_end():
                raise StopIteration
            if self._end is not None:
                raise self._end
            raise TimeoutError

    def _is_at_end(self) -> bool:
        return self._index == self._length

    # ---- for the engine ----------------------------------------------------------------------

    def settle(self, results: list[tuple[int, Any, Any]]) -> None:
        """Take some results, and hand on those whose turn it is."""
        with self._change:
            for index, *result in results:
                self._take(index, (result[0], result[1]))
            self._tell()

    def _take(self, index: int, result: tuple[Any, Any]) -> None:
        if index != self._index:
            self._early[index] = result
            return
        self._append(result)
        while self._index in self._early:
            self._append(self._early.pop(self._index))

    def _append(self, result: tuple[Any, Any]) -> None:
        if self._is_chunked and result[0]:
            self._items.extend((True, value) for value in result[1])
        else:
            self._items.append(result)
        self._index += 1

    def set_length(self, length: int) -> None:
        """So many there are."""
        with self._change:
            self._length = length
            self._tell()

    def abandon(self, error: BaseException) -> None:
        """Nothing more will come."""
        with self._change:
            if not self._is_at_end():
                self._end = error
                self._early.clear()
            self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._change.notify_all()
        if self._is_at_end() or self._end is not None:
            self._pool = None


class IMapUnorderedIterator(IMapIterator[T], TheirUnorderedIterator[T]):
    """The results of ``imap_unordered()``, as they come."""

    def _take(self, index: int, result: tuple[Any, Any]) -> None:  # noqa: ARG002 - in any order
        self._append(result)


def _call(callback: Callable[[Any], object], value: Any) -> None:
    """A callback that raises is its program's fault: it is said, and nobody waits for ever because of it."""
    try:
        callback(value)
    except BaseException:  # noqa: BLE001
        kind, error, traceback = sys.exc_info()
        threading.excepthook(
            threading.ExceptHookArgs((kind or BaseException, error, traceback, threading.current_thread()))
        )
