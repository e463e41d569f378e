"""Pools, as ``multiprocessing.pool`` names them: the standard library's classes, with processes and queues of ours."""

from collections.abc import Callable, Iterable
from multiprocessing import pool as _pool
from multiprocessing.context import BaseContext
from multiprocessing.pool import ApplyResult as ApplyResult
from multiprocessing.pool import AsyncResult as AsyncResult
from multiprocessing.pool import IMapIterator as IMapIterator
from multiprocessing.pool import IMapUnorderedIterator as IMapUnorderedIterator
from multiprocessing.pool import MapResult as MapResult
from multiprocessing.pool import MaybeEncodingError as MaybeEncodingError  # type: ignore[attr-defined]
from multiprocessing.pool import ThreadPool as ThreadPool
from queue import Empty
from typing import Any

from procession._compat.contexts import default

__all__ = ["Pool", "ThreadPool"]

POLL = 0.001  # seconds


class Pool(_pool.Pool):
    """The standard library's Pool, with processes, queues and locks of ours.

    `processes`: None: as many as ``cpu_count()`` says. `context`: None: that of the default start method.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
    ) -> None:
        context = default.get_context() if context is None else context
        processes = context.cpu_count() if processes is None else processes
        super().__init__(processes, initializer, initargs, maxtasksperchild, context)

    @staticmethod
    def _help_stuff_finish(inqueue: Any, task_handler: Any, size: int) -> None:  # noqa: ARG004
        """Make room for the thread that puts tasks, until it has ended: what waits is not worked on any more."""
        # Theirs keeps the workers away by the queue's lock, so that what it has seen is there. Ours has no such lock.
        while task_handler.is_alive():
            try:
                inqueue.get(block=False)
            except Empty:
                task_handler.join(POLL)
