"""Queues that break a promise, by which the torture shows that it would notice."""

from __future__ import annotations

import mmap
import multiprocessing
import queue as stdlib_queue
import time
from typing import Any

import procession
from tests.stress.arrays import LARGEST, Raw, bulk_of, flat

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

    name = "of the standard library"

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


class Uncounted(procession.JoinableQueue[Any]):
    """Delivers what killed consumers held again, and says of each delivery that it is the first."""

    def get_item(self, block: bool = True, timeout: float | None = None) -> Any:
        return super().get_item(block, timeout)._replace(deliveries=1)


class Forgetting(procession.JoinableQueue[Any]):
    """Takes what it gives out for done, so that what a killed consumer held is lost."""

    def get_item(self, block: bool = True, timeout: float | None = None) -> Any:
        item = super().get_item(block, timeout)
        super().task_done()
        return item

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return self.get_item(block, timeout).item

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        return [self.get(block, timeout)]

    def task_done(self) -> None:
        """It is done already."""


class Unnamed(procession.JoinableQueue[Any]):
    """Its statistics do not name what clean ends left."""

    def statistics(self) -> Any:
        statistics = super().statistics()
        return statistics._replace(unfinished=statistics.unfinished - len(statistics.left), left=())


class Reusing(procession.Queue[Any]):
    """Puts large buffers into memory that it gives to the next one while somebody may look at it."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = mmap.mmap(-1, LARGEST)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(self._moved(obj), block, timeout)

    def put_many(self, items: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put_many([self._moved(item) for item in items], block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return self._found(super().get(block, timeout))

    def get_many(self, max_items: int, block: bool = True, timeout: float | None = None) -> list[Any]:
        return [self._found(item) for item in super().get_many(max_items, block, timeout)]

    def _moved(self, item: Any) -> Any:
        if (bulk := bulk_of(item)) is None:
            return item
        data = flat(bulk)
        self._memory[: len(data)] = data
        return ("moved", int.from_bytes(data[:8], "little"), len(data))

    def _found(self, item: Any) -> Any:
        match item:
            case ("moved", identity, length):
                return Raw(identity, memoryview(self._memory)[:length])
        return item


class Aliasing(procession.JoinableQueue[Any]):
    """Gives an array of a killed consumer again as that one has changed it."""

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(self._shared(obj), block, timeout)

    def put_many(self, items: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put_many([self._shared(item) for item in items], block, timeout)

    def _shared(self, item: Any) -> Any:
        if (bulk := bulk_of(item)) is None:
            return item
        data = flat(bulk)
        array = procession.shared_array(len(data), "u1")
        array[:] = data
        return array


OF_ARRAYS = {"reusing", "aliasing"}  # those that break what is promised of large items
QUEUES: dict[str, Any] = {
    "dropping": Dropping,
    "doubling": Doubling,
    "stdlib": Stdlib,
    "uncounted": Uncounted,
    "forgetting": Forgetting,
    "unnamed": Unnamed,
    "reusing": Reusing,
    "aliasing": Aliasing,
}
