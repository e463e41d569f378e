"""Pools, as ``multiprocessing.pool`` names them: every method of those, and nobody waits for a worker that was killed.

    Pool, ThreadPool -> procession._work.engine -> workers

They derive from the classes there, so that ``isinstance`` holds, and use nothing of them.
"""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from multiprocessing import context as _context
from multiprocessing import pool as _theirs
from typing import TYPE_CHECKING, Any, Self, TypeVar

from procession._base.errors import RemoteTraceback as RemoteTraceback
from procession._compat.contexts import default
from procession._compat.cpus import cpu_count
from procession._work.engine import Engine
from procession._work.failure import NotSent
from procession._work.feeder import Sequence
from procession._work.floor import ProcessFloor
from procession._work.results import ApplyResult as ApplyResult
from procession._work.results import IMapIterator as IMapIterator
from procession._work.results import IMapUnorderedIterator as IMapUnorderedIterator
from procession._work.results import MapResult as MapResult
from procession._work.task import EACH, ONCE, STAR, Packed, call, pack
from procession._work.threads import ThreadFloor
from procession._work.worker import work

__all__ = [
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
]

AsyncResult = ApplyResult

S = TypeVar("S")
T = TypeVar("T")
Callback = Callable[[T], object] | None

INIT, RUN, CLOSE, TERMINATE = "INIT", "RUN", "CLOSE", "TERMINATE"

BATCH = 64  # items of a list that are sent together
# What may be read ahead of need: reading it waits for nobody.
AT_HAND = (list, tuple, range, str, bytes)


if TYPE_CHECKING:
    _EncodingError = Exception
else:
    _EncodingError = _theirs.MaybeEncodingError


class MaybeEncodingError(_EncodingError):
    """A result, or an exception, that could not be sent; ``exc`` says why, ``value`` what it was, both as text."""

    exc: str
    value: str

    def __init__(self, exc: object, value: object) -> None:
        self.exc = repr(exc)
        self.value = repr(value)
        Exception.__init__(self, self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _not_sent, (NotSent(self.exc, self.value),), self.__dict__


def _not_sent(what: NotSent) -> MaybeEncodingError:
    error = MaybeEncodingError(None, None)
    error.exc, error.value = error.args = what
    return error


def _terminated() -> CancelledError:
    return CancelledError("the pool was terminated before this was done")


class Pool(_theirs.Pool):
    """Processes that do what they are given.

    `processes`: None: as many as ``cpu_count()`` says. `initializer`, `initargs`: called in each of them first; if it raises,
    so does whoever uses the pool. `maxtasksperchild`: a process is replaced after so many tasks. `context`: None: that of
    the default start method.

    A task whose worker was killed, or left by ``sys.exit()``, raises WorkerDied. The others go on, with another worker.

    >>> with Pool(2) as pool:
    ...     pool.map(abs, [-1, -2, 3])
    [1, 2, 3]
    """

    _pool: list[Any]
    _engine: Engine | None = None
    _state = INIT

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        self._pool = []
        self._ctx = context = _ours(context)
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        size = _checked(context.cpu_count() if processes is None else processes, initializer)

        process_of = type(self).Process  # not self, which the engine would keep alive

        def make_process(tasks: Any, results: Any) -> Any:
            process = process_of(context, target=work, args=(tasks, results, initializer, initargs, maxtasksperchild))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            return process

        self._begin(Engine(ProcessFloor(size, make_process, _not_sent), _terminated))

    def _begin(self, engine: Engine) -> None:
        engine.start()
        self._engine = engine
        self._pool = engine.floor.crew.members
        self._state = RUN

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802 - its name there
        """Make a worker that is not started yet; a subclass may make another."""
        return ctx.Process(*args, **kwds)

    # ---- work --------------------------------------------------------------------------------------

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> Any:
        """Return ``func(*args, **kwds)``, called in a worker."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callback[T] = None,
        error_callback: Callback[BaseException] = None,
    ) -> ApplyResult[T]:
        """Begin it and return at once. Callbacks are called by one thread of the pool, one after the other."""
        engine = self._running()
        result: ApplyResult[T] = ApplyResult(self, _title(func), callback, error_callback)
        engine.submit(call(ONCE, self._pack(func), args, kwds), result)
        return result

    def map(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None) -> list[T]:
        """Return ``[func(item) for item in iterable]``, calls done by the workers, `chunksize` in one task."""
        return self.map_async(func, iterable, chunksize).get()

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """As ``map()``, with ``func(*item)``."""
        return self.starmap_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[S], T],
        iterable: Iterable[S],
        chunksize: int | None = None,
        callback: Callback[list[T]] = None,
        error_callback: Callback[BaseException] = None,
    ) -> MapResult[T]:
        """Begin a ``map()`` and return at once."""
        return self._map(EACH, func, iterable, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback[list[T]] = None,
        error_callback: Callback[BaseException] = None,
    ) -> MapResult[T]:
        """Begin a ``starmap()`` and return at once."""
        return self._map(STAR, func, iterable, chunksize, callback, error_callback)

    def _map(
        self,
        how: int,
        func: Callable[..., T],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callback[list[T]],
        error_callback: Callback[BaseException],
    ) -> MapResult[T]:
        engine = self._running()
        items: Any = iterable if hasattr(iterable, "__len__") else list(iterable)
        if chunksize is None:
            chunksize = max(1, -(-len(items) // (len(self._pool) * 4 or 1)))
        _check_chunksize(chunksize)
        result: MapResult[T] = MapResult(self, _title(func), callback, error_callback)
        engine.feed(Sequence(_chunks(how, self._pack(func), items, chunksize), result, _batch(items, chunksize)))
        return result

    def imap(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = 1) -> IMapIterator[T]:
        """Return an iterator over ``func(item)`` in order, which takes the input as far as the workers can use it soon."""
        return self._imap(IMapIterator, func, iterable, chunksize)

    def imap_unordered(
        self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = 1
    ) -> IMapIterator[T]:
        """As ``imap()``, the results as they come."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize)

    def _imap(
        self, kind: type[IMapIterator[T]], func: Callable[..., T], iterable: Iterable[Any], chunksize: int | None
    ) -> IMapIterator[T]:
        engine = self._running()
        size = 1 if chunksize is None else chunksize
        _check_chunksize(size)
        result = kind(self, _title(func), is_chunked=size > 1)
        packed = self._pack(func)
        tasks = _calls(packed, iterable) if size == 1 else _chunks(EACH, packed, iterable, size)
        engine.feed(Sequence(tasks, result, _batch(iterable, size)))
        return result

    def _pack(self, func: Callable[..., Any]) -> Packed:
        return pack(func)

    # ---- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more work; the workers leave when all is done."""
        if self._state == RUN and self._engine is not None:
            self._state = CLOSE
            self._engine.close()

    def terminate(self) -> None:
        """End the workers now. Who waits for what was not done gets ``concurrent.futures.CancelledError``."""
        self._state = TERMINATE
        if self._engine is not None:
            self._engine.terminate()

    def join(self) -> None:
        """Wait until the workers have left; ValueError before ``close()`` or ``terminate()``."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in {CLOSE, TERMINATE} or self._engine is None:
            raise ValueError("In unknown state")
        self._engine.join()

    def __enter__(self) -> Self:
        self._running()
        return self

    def __exit__(self, *exc: object) -> None:
        self.terminate()

    def __del__(self, _warn: Callable[..., None] = warnings.warn, RUN: str = RUN) -> None:  # noqa: N803 - as there
        engine = self._engine
        if engine is not None and engine.is_mine():
            if self._state == RUN:
                _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
            engine.stop()

    # ---- what else programs look at ----------------------------------------------------------------------

    def _running(self) -> Engine:
        if self._state != RUN or self._engine is None:
            raise ValueError("Pool not running")
        if not self._engine.is_mine():
            raise ValueError("Pool not running: it belongs to the process that made it")
        return self._engine

    def _check_running(self) -> None:
        self._running()

    def _repopulate_pool(self) -> None:
        """Replace now who has left, which happens by itself too."""
        self._running().floor.crew.fill()

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} state={self._state} pool_size={len(self._pool)}>"

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")


class ThreadPool(Pool, _theirs.ThreadPool):
    """A pool of threads of this process: nothing is pickled, and the initializer and the tasks see the same objects."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        self._pool = []
        size = _checked(cpu_count() if processes is None else processes, initializer)
        self._begin(Engine(ThreadFloor(size, initializer, initargs), _terminated))

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802, ARG004
        """Make a thread under the name of a process."""
        from multiprocessing.dummy import Process  # noqa: PLC0415 - nothing here needs it

        return Process(*args, **kwds)

    def _pack(self, func: Callable[..., Any]) -> Packed:
        return 0, func


def _checked(size: int, initializer: object) -> int:
    if size < 1:
        raise ValueError("Number of processes must be at least 1")
    if initializer is not None and not callable(initializer):
        raise TypeError("initializer must be a callable")
    return size


def _check_chunksize(chunksize: int) -> None:
    if chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")


def _ours(context: Any) -> Any:
    """Return our context in the place of one of theirs, whose processes nobody would know to have died."""
    if context is None or type(context) is _context.DefaultContext:
        return default.get_context()
    if type(context).__module__ == _context.__name__:
        return default.get_context(context.get_start_method())
    return context


def _title(func: Callable[..., Any]) -> str:
    return f"{getattr(func, '__qualname__', None) or type(func).__qualname__}()"


def _calls(packed: Packed, iterable: Iterable[Any]) -> Iterator[Any]:
    how, function = packed
    return ((how, function, (item,), None) for item in iterable)


def _chunks(how: int, packed: Packed, iterable: Iterable[Any], size: int) -> Iterator[Any]:
    items = iter(iterable)
    while chunk := tuple(itertools.islice(items, size)):
        yield call(how, packed, chunk)


def _batch(iterable: Iterable[Any], chunksize: int) -> int:
    return max(1, BATCH // chunksize) if type(iterable) in AT_HAND else 1
