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
from typing import Any

from procession._compat.contexts import default
from procession.queues import their_simple_queue

__all__ = ["Pool", "ThreadPool"]


class _PoolContext:
    """A context of ours whose simple queues are theirs, over locks of ours: this Pool looks at the pipes in them."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def SimpleQueue(self) -> Any:  # noqa: N802 - its name there
        return their_simple_queue(self._context)


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
        super().__init__(processes, initializer, initargs, maxtasksperchild, _PoolContext(context))
