"""``get_context()``, and the names of ``multiprocessing`` that are functions.

A context of ours *is* a ``multiprocessing.context.BaseContext``, so whatever takes one takes it. Which start method is
the default is written down in one place for both libraries: a program that sets it here is obeyed there.
"""

from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any, Literal, overload

from procession._compat import stdlib
from procession._compat.cpus import cpu_count
from procession._compat.lazy import lazy
from procession._compat.processes import ForkProcess, ForkServerProcess, SpawnProcess
from procession._process import process

if TYPE_CHECKING:
    from procession._channels import joinable, queue
    from procession._sync import barrier, condition, event, locks, semaphore

__all__ = ["Context", "DefaultContext", "default"]


class Context(BaseContext):
    """Where a program gets its objects from; ``Process`` starts children by the context's own method.

    Objects do not depend on the context that made them: all may be used with processes of any start method.
    """

    Process: "type[process.Process]"

    # ---- the table: what is ours ---------------------------------------------------------------

    Array: Any = lazy("procession._shared.value")
    Barrier: "type[barrier.Barrier]" = lazy("procession._sync.barrier")  # type: ignore[assignment]
    BoundedSemaphore: "type[semaphore.BoundedSemaphore]" = lazy("procession._sync.semaphore")  # type: ignore[assignment]
    Condition: "type[condition.Condition]" = lazy("procession._sync.condition")  # type: ignore[assignment]
    Event: "type[event.Event]" = lazy("procession._sync.event")  # type: ignore[assignment]
    JoinableQueue: "type[joinable.JoinableQueue[Any]]" = lazy("procession._channels.joinable")  # type: ignore[assignment]
    Lock: "type[locks.Lock]" = lazy("procession._sync.locks")  # type: ignore[assignment]
    Pipe: Any = lazy("procession._channels.pipe")
    Queue: "type[queue.Queue[Any]]" = lazy("procession._channels.queue")  # type: ignore[assignment]
    RLock: "type[locks.RLock]" = lazy("procession._sync.locks")  # type: ignore[assignment]
    RawArray: Any = lazy("procession._shared.value")
    RawValue: Any = lazy("procession._shared.value")
    Semaphore: "type[semaphore.Semaphore]" = lazy("procession._sync.semaphore")  # type: ignore[assignment]
    SimpleQueue: "type[queue.SimpleQueue[Any]]" = lazy("procession._channels.queue")  # type: ignore[assignment]
    Value: Any = lazy("procession._shared.value")

    # ---- what is more than a class -------------------------------------------------------------

    def cpu_count(self) -> int:
        """Return the number of CPUs that this process can keep busy: affinity and control groups count."""
        return cpu_count()

    def Pool(  # noqa: N802
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> Any:
        """Return a :class:`procession.pool.Pool`."""
        from procession.pool import Pool  # noqa: PLC0415 - few programs need it, and it imports much

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def Manager(self) -> Any:  # noqa: N802
        """Return a manager whose server runs: the standard library's class, with a process of ours."""
        from procession.managers import SyncManager  # noqa: PLC0415 - few programs need it, and it imports much

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def get_context(self, method: str | None = None) -> "Context":  # type: ignore[override]
        """Return the context of a start method; None: this one. ValueError for another word."""
        return self if method is None else concrete(method)


class ForkContext(Context):
    """The context of "fork"."""

    _name = "fork"
    Process: "type[process.Process]" = ForkProcess


class SpawnContext(Context):
    """The context of "spawn"."""

    _name = "spawn"
    Process: "type[process.Process]" = SpawnProcess


class ForkServerContext(Context):
    """The context of "forkserver"."""

    _name = "forkserver"
    Process: "type[process.Process]" = ForkServerProcess


CONCRETE: dict[str, Context] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}


def concrete(method: str) -> Context:
    """Return the one context of that start method."""
    try:
        return CONCRETE[method]
    except (KeyError, TypeError):
        raise ValueError(f"cannot find context for {method!r}: it must be one of {', '.join(CONCRETE)}") from None


class DefaultContext(Context):
    """The context that a program has without choosing one: what ``procession.X`` and ``get_context()`` stand for."""

    Process: "type[process.Process]" = process.Process

    def get_context(self, method: str | None = None) -> Context:  # type: ignore[override]
        """Return the context of a start method; None: of the default one, which stands firm from then on."""
        return concrete(self.get_start_method() if method is None else method)

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the default for this program and ``multiprocessing`` alike; RuntimeError if it stands firm already.

        `force`: change it all the same; with None it is open again.
        """
        if method is not None:
            concrete(method)
        stdlib.default_context.set_start_method(method, force)

    @overload
    def get_start_method(self, allow_none: Literal[False] = False) -> str: ...
    @overload
    def get_start_method(self, allow_none: bool) -> str | None: ...
    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Return the default, which stands firm from then on; with `allow_none`: None if it is still open."""
        return stdlib.default_context.get_start_method(allow_none)

    def get_all_start_methods(self) -> list[str]:
        """Return the start methods that there are; the first is the default."""
        return list(stdlib.default_context.get_all_start_methods())


default = DefaultContext()
