"""Queues that break a promise, by which the torture shows that it would notice."""

from __future__ import annotations

import multiprocessing
import queue as stdlib_queue
import time
from typing import Any

import procession

__all__ = ["OF_ARRAYS", "QUEUES"]


class Dropping(procession.Queue[Any]):
    """Loses the first item of each put_many."""

    def put_many(self, items: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put_many(list(items)[1:], block, timeout)


class Doubling(procession.Queue[Any]):
    """Gives the last item of each get_many once more."""

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        items: list[Any] = super().get_many(max_items, block, timeout)
        self.put(items[-1])
        return items


class Stdlib:
    """The standard library's own SimpleQueue: who is killed in get() keeps its lock for ever."""

    def __init__(self) -> None:
        self._queue: Any = multiprocessing.get_context("fork").SimpleQueue()
        self._ended = multiprocessing.get_context("fork").Value("b", 0)

    def put(self, item: Any, timeout: float | None = None) -> None:
        self._queue.put(item)

    put_nowait = put

    def put_many(self, items: Any, timeout: float | None = None) -> None:
        for item in items:
            self._queue.put(item)

    def get(self, timeout: float | None = None) -> Any:
        end = time.monotonic() + (10 if timeout is None else timeout)
        while self._queue.empty():
            if self._ended.value:
                raise procession.ShutDown
            if time.monotonic() > end:
                raise stdlib_queue.Empty
            time.sleep(0.0005)
        return self._queue.get()

    def get_many(self, max_items: int, timeout: float | None = None) -> list[Any]:
        return [self.get(timeout)]

    def qsize(self) -> int:
        return int(not self._queue.empty())

    def shutdown(self) -> None:
        self._ended.value = 1


OF_ARRAYS: set[str] = set()  # those that break what is promised of large items
QUEUES = {"dropping": Dropping, "doubling": Doubling, "stdlib": Stdlib}
