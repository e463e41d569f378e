"""Process: ``multiprocessing.Process``, ended for a known reason and never left behind."""

import os

from procession._memory.domain import domains
from procession._process import stdlib
from procession._process.child import run_reported

# A spawned child imports this file, and needs neither typing nor what its parent starts it with (page 82 of the decisions).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from procession._process.outcome import Outcome
    from procession._process.popen import Popen
    from procession._process.settings import Orphan

__all__ = ["Process"]


def by_fork(process: "Any") -> "Popen":
    """Start it as a copy of this process."""
    from procession._process.start.fork import ForkPopen  # noqa: PLC0415 - a process that starts none needs it not

    return ForkPopen(process)


def by_spawn(process: "Any") -> "Popen":
    """Start it as a new interpreter."""
    from procession._process.start.spawn import SpawnPopen  # noqa: PLC0415 - the same

    return SpawnPopen(process)


def by_forkserver(process: "Any") -> "Popen":
    """Start it by a template."""
    from procession._process.start.forkserver import start_by_forkserver  # noqa: PLC0415 - the same

    return start_by_forkserver(process)


STARTS: "dict[str, Callable[[Any], Popen]]" = {"fork": by_fork, "spawn": by_spawn, "forkserver": by_forkserver}


class _Outcome:
    """A read-only attribute that a subclass, or an instance of one, may use for something else.

    A property would refuse ``self.outcome = Queue()`` in a program that never heard of ours.
    """

    def __init__(self, compute: "Callable[[Process], Outcome | None]") -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance: "Process | None", owner: "type[Any]") -> "Outcome | None":
        return self._compute(instance) if instance is not None else self  # type: ignore[return-value]


class Process(stdlib.BaseProcess):
    """The drop-in for ``multiprocessing.Process``.

    As there: ``start join terminate kill close is_alive run`` and ``name daemon pid exitcode sentinel authkey``.

    `start_method`: ``"fork"``, ``"spawn"`` or ``"forkserver"``; None: what ``multiprocessing.set_start_method`` chose.
    `orphan`: ``"kill"``: if this process is killed, the child and what it ran end within a second;
    ``"keep"``: the child goes on. (In ``multiprocessing`` every child of a killed process goes on.)

    Raises TypeError and ValueError for arguments that cannot be; ``start`` raises what pickling the
    arguments raises (spawn), OSError if no process can be made, DomainFull if the process table is full.

    >>> process = Process(target=print, args=("hello",), start_method="fork")
    >>> process.start()
    >>> process.join()
    >>> process.outcome.kind
    'finished'
    """

    _start_method = None  # multiprocessing's child code reads it: None forces no method on the child

    def __init__(
        self,
        group: None = None,
        target: "Callable[..., object] | None" = None,
        name: str | None = None,
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = None,
        *,
        daemon: bool | None = None,
        start_method: str | None = None,
        orphan: "Orphan" = "kill",
    ) -> None:
        if target is not None and not callable(target):
            raise TypeError(f"target must be callable, not {type(target).__name__}")
        if start_method is not None and start_method not in STARTS:
            raise ValueError(f"start_method must be one of {', '.join(STARTS)} or None, not {start_method!r}")
        if orphan not in {"kill", "keep"}:
            raise ValueError(f"orphan must be 'kill' or 'keep', not {orphan!r}")
        super().__init__(group, target, name, args, {} if kwargs is None else dict(kwargs), daemon=daemon)
        self._procession_settings = start_method, orphan  # settings.py: pickled, so of a type that needs no import

    @staticmethod
    def _Popen(process: "Process") -> "Popen":  # noqa: N802 - BaseProcess.start calls it
        return STARTS[process._procession_settings[0] or stdlib.start_method()](process)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        # In the child. An attribute of the instance, so that a subclass's run() is wrapped as well.
        self.__dict__["run"] = run_reported(self.run, domains.current())
        return int(super()._bootstrap(parent_sentinel))  # type: ignore[misc]

    def __reduce_ex__(self, protocol: "Any") -> "tuple[Any, ...]":
        reduced: tuple[Any, ...] = super().__reduce_ex__(protocol)  # type: ignore[assignment]
        # By the name of its class a child would get all that starts processes.
        return (_make_again, (), reduced[2]) if type(self) is Process else reduced

    def _started(self, what: str) -> "Popen":
        self._check_closed()  # type: ignore[attr-defined]
        popen: Popen | None = self._popen  # type: ignore[attr-defined]
        if popen is None:
            raise ValueError(f"cannot {what} {self!r}: it was not started")
        if self._parent_pid != os.getpid():  # type: ignore[attr-defined]
            raise AssertionError(f"cannot {what} {self!r}: it is a child of another process")
        return popen

    def _check_started(self, what: str) -> None:
        self._check_closed()  # type: ignore[attr-defined]
        if self._popen is None:  # type: ignore[attr-defined]
            # AttributeError, because multiprocessing raises it, though by accident
            raise AttributeError(f"cannot {what} {self!r}: it was not started")

    def terminate(self) -> None:
        """End it by SIGTERM."""
        Process._check_started(self, "terminate")
        super().terminate()

    def kill(self) -> None:
        """End it by SIGKILL."""
        Process._check_started(self, "kill")
        super().kill()

    def suspend(self) -> None:
        """Put it aside: it keeps its state and gets no CPU until ``resume()`` (SIGSTOP).

        A lock that it holds stays held. ValueError if it was not started; no error if it has ended.
        """
        Process._started(self, "suspend").suspend()

    def resume(self) -> None:
        """Let it go on after ``suspend()`` (SIGCONT)."""
        Process._started(self, "resume").resume()

    @_Outcome
    def outcome(self) -> "Outcome | None":
        """How it ended, an :class:`Outcome`; None before that."""
        self._check_closed()  # type: ignore[attr-defined]
        popen: Popen | None = self._popen  # type: ignore[attr-defined]
        return None if popen is None else Process._started(self, "ask").outcome()


def _make_again() -> Process:
    return Process.__new__(Process)


Process.__module__ = "procession"  # as _base/public.py does, which a spawned child needs not
