"""Queues, locks, processes and the rest for asyncio: awaited, without a thread for each wait.

    from procession import aio

    item = await aio.wrap(jobs).get()
    async with aio.wrap(lock):
        ...
    async for item in aio.wrap(jobs):   # until the queue is shut down
        ...
    await aio.wrap(process).join()

An await tries first, without waiting; only then it listens, by a doorbell that the event loop watches like any descriptor. Nothing
is ever taken on behalf of a task that is not running: a cancelled ``get()`` has taken nothing, and what woke it wakes
the next task. When nobody awaits any more, nothing is registered. Timeouts are asyncio's: ``asyncio.timeout``, ``wait_for``.

A wrapper belongs to the event loop in which it is first awaited (RuntimeError in another one), and costs one descriptor as long
as it lives, from the first await that had to wait. Make it once and keep it.
"""

from __future__ import annotations

import asyncio
import os
import queue as _queue
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, overload

from procession import Doorbell, Lock, Mutex, Process, Queue, RLock, ShutDown, SimpleQueue
from procession import wait as _wait

__all__ = ["AsyncEvent", "AsyncLock", "AsyncProcess", "AsyncQueue", "wait", "wrap"]

T = TypeVar("T")
R = TypeVar("R")


class _Waiters:
    """The tasks of one loop that wait for one thing, first come, first served.

    Each readiness wakes the first; it tries, and if it had to give in to another process, it waits again as the first.
    """

    def __init__(self, make_bell: Callable[[], Any], *, all_at_once: bool = False) -> None:
        self._make_bell = make_bell
        self._bell: Any = None
        self._all_at_once = all_at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1

    async def until(self, attempt: Callable[[], tuple[R] | None]) -> R:
        """Return what is in the tuple that `attempt` returns as soon as it does: now, or after the next change, or ..."""
        if not self._waiting:  # else those come first
            done = attempt()
            if done is not None:
                return done[0]
        is_first = False
        while True:
            future = self._enter(is_first)
            try:
                done = attempt() if self._is_next(future) else None  # since it listens: nothing was missed in between
                if done is None:
                    await future
                    done = attempt()
            except BaseException:
                self._leave(future, pass_on=True)
                raise
            self._leave(future, pass_on=done is not None)
            if done is not None:
                return done[0]
            is_first = True

    def _is_next(self, future: asyncio.Future[None]) -> bool:
        return self._all_at_once or self._waiting[0] is future

    def _enter(self, is_first: bool) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            if self._waiting and not self._loop.is_closed():
                raise RuntimeError("this wrapper is awaited in another event loop: make one for each loop")
            self._drop()
        future: asyncio.Future[None] = loop.create_future()
        if self._bell is None:
            self._bell = self._make_bell()
        fd = self._bell.fileno()
        if not self._waiting or fd != self._fd:
            loop.add_reader(fd, self._rung)
            self._loop, self._fd = loop, fd
        if is_first:
            self._waiting.appendleft(future)
        else:
            self._waiting.append(future)
        return future

    def _leave(self, future: asyncio.Future[None], *, pass_on: bool) -> None:
        self._waiting.remove(future)
        if not self._waiting:
            if self._loop is not None and self._fd >= 0 and not self._loop.is_closed():
                self._loop.remove_reader(self._fd)
            self._fd = -1
            self._bell.pause()
        elif pass_on and future.done() and not self._all_at_once:
            self._wake()  # what woke it may be enough for the next one, too

    def _rung(self) -> None:
        self._bell.clear()
        self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
                if not self._all_at_once:
                    return
            elif not self._all_at_once and not future.cancelled():
                return  # one is on its way

    def _drop(self) -> None:
        """Forget a loop that is gone."""
        self._waiting.clear()
        self._loop = None
        self._fd = -1
        if self._bell is not None:
            self._bell.close()
            self._bell = None


class AsyncQueue(Generic[T]):
    """A Queue, SimpleQueue or JoinableQueue; what is not here is ``queue``'s."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self._getting = _Waiters(lambda: Doorbell(queue))
        # By changes: whether there is room for an item is not known before it is tried.
        self._putting = _Waiters(lambda: Doorbell(queue, "put", edge=True), all_at_once=True)
        self._joining = _Waiters(lambda: Doorbell(queue, "join", edge=True), all_at_once=True)

    async def get(self) -> T:
        """Take one item out. Raises ShutDown when the queue was shut down and is empty, ValueError if it is closed here."""

        def attempt() -> tuple[T] | None:
            try:
                return (self.queue.get(False),)
            except _queue.Empty:
                return None

        return await self._getting.until(attempt)

    async def get_many(self, max_items: int) -> list[T]:
        """Take what is there, one item at least and `max_items` at most."""

        def attempt() -> tuple[list[T]] | None:
            try:
                return (self.queue.get_many(max_items, False),)
            except _queue.Empty:
                return None

        return await self._getting.until(attempt)

    async def put(self, obj: T) -> None:
        """Put one item in, as soon as there is room."""

        def attempt() -> tuple[None] | None:
            try:
                self.queue.put(obj, False)
            except _queue.Full:
                return None
            return (None,)

        await self._putting.until(attempt)

    async def join(self) -> None:
        """Wait until nothing is unfinished (JoinableQueue)."""
        mark = self.queue._mark_join()

        def attempt() -> tuple[None] | None:
            nonlocal mark
            before, mark = mark, self.queue._mark_join()
            return (None,) if mark != before or self.queue.join(0) else None

        await self._joining.until(attempt)

    def task_done(self) -> None:
        """One item that was taken is done (JoinableQueue)."""
        self.queue.task_done()

    def __aiter__(self) -> AsyncQueue[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.get()
        except ShutDown:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.queue!r}>"


class AsyncLock:
    """A Lock, Mutex or semaphore."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self._acquiring = _Waiters(lambda: Doorbell(lock))

    async def acquire(self) -> bool:
        """Take it, as soon as it can be had. Always True."""

        def attempt() -> tuple[bool] | None:
            return (True,) if self.lock.acquire(False) else None

        return await self._acquiring.until(attempt)

    def release(self) -> None:
        """Give it back."""
        self.lock.release()

    async def __aenter__(self) -> bool:
        return await self.acquire()

    async def __aexit__(self, *exc: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.lock!r}>"


class AsyncEvent:
    """An Event, or what has its ``is_set()``."""

    def __init__(self, event: Any) -> None:
        self.event = event
        self._awaiting = _Waiters(lambda: Doorbell(event, edge=True), all_at_once=True)

    async def wait(self) -> bool:
        """Wait until it is set, or has been meanwhile. Always True."""
        before = self._sets()

        def attempt() -> tuple[bool] | None:
            return (True,) if self.event.is_set() or self._sets() != before else None

        return await self._awaiting.until(attempt)

    def _sets(self) -> int:
        """How often it was set, if it counts that."""
        look = getattr(self.event, "statistics", None)
        return 0 if look is None else int(getattr(look(), "sets", 0))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.event!r}>"


class _Sentinel:
    """A descriptor that an event loop may watch beside others of the same process: its own copy of the sentinel."""

    def __init__(self, process: Any) -> None:
        self._fd = os.dup(process.sentinel)

    def fileno(self) -> int:
        return self._fd

    def clear(self) -> None:
        """It stays readable from the end of the process on."""

    def pause(self) -> None:
        pass

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


class AsyncProcess:
    """A process, ours or the standard library's."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self._ending = _Waiters(lambda: _Sentinel(process), all_at_once=True)

    async def join(self) -> None:
        """Wait until it has ended. ValueError or AssertionError if it was not started."""

        def attempt() -> tuple[None] | None:
            self.process.join(0)
            return None if self.process.exitcode is None else (None,)

        await self._ending.until(attempt)

    async def wait(self) -> int:
        """Wait until it has ended; its exit code."""
        await self.join()
        return int(self.process.exitcode)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.process!r}>"


@overload
def wrap(obj: Queue[T] | SimpleQueue[T]) -> AsyncQueue[T]: ...
@overload
def wrap(obj: Lock | Mutex) -> AsyncLock: ...
@overload
def wrap(obj: Process) -> AsyncProcess: ...
@overload
def wrap(obj: Any) -> Any: ...
def wrap(obj: Any) -> Any:
    """Return the awaitable form of a queue, lock, semaphore, event or process: Async... of this module.

    TypeError for anything else: for what is another library's, since nothing would wake the task; for an RLock, which belongs to a thread, and so cannot keep the tasks of one
    loop apart (use a Lock), and for a Condition, whose ``wait()`` must sleep in a thread.
    """
    if isinstance(obj, RLock):
        raise TypeError("an RLock belongs to a thread, and all tasks of a loop are one thread: use a Lock")
    if hasattr(obj, "sentinel") or isinstance(obj, Process):
        return AsyncProcess(obj)
    if _rings(obj):
        if hasattr(obj, "get") and hasattr(obj, "put"):
            return AsyncQueue(obj)
        if hasattr(obj, "is_set"):
            return AsyncEvent(obj)
        if isinstance(obj, (Lock, Mutex)) or (hasattr(obj, "acquire") and not hasattr(obj, "notify")):
            return AsyncLock(obj)
    kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
    raise TypeError(
        f"aio.wrap() takes queues, locks, semaphores and events of procession, and processes, not {kind}: for others "
        "use their own, in asyncio.to_thread()"
    )


def _rings(obj: Any) -> bool:
    """Is there something that could wake a task? A lock of another library, or a FileLock, has nothing of the kind."""
    try:
        Doorbell(obj).close()
    except TypeError:
        return False
    return True


async def wait(object_list: Iterable[Any]) -> list[Any]:
    """Return those of the objects that are ready, as ``procession.wait`` does, as soon as one is.

    For shared objects and processes. Nothing is taken.
    """
    objects = list(object_list)
    groups = [_Waiters(_maker(obj), all_at_once=True) for obj in objects]

    def attempt() -> tuple[list[Any]] | None:
        ready = _wait(objects, 0)
        return (ready,) if ready else None

    found = attempt()
    if found or not objects:
        return found[0] if found else []
    tasks = [asyncio.ensure_future(group.until(attempt)) for group in groups]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for group in groups:
            group._drop()


def _maker(obj: Any) -> Callable[[], Any]:
    return (lambda: _Sentinel(obj)) if hasattr(type(obj), "sentinel") else (lambda: Doorbell(obj))
