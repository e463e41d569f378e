"""The Process of each context: one class for each start method, named as ``multiprocessing`` names them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from procession._process.popen import Popen
from procession._process.process import STARTS, Process
from procession._process.settings import Orphan

__all__ = ["ForkProcess", "ForkServerProcess", "SpawnProcess"]


class _FixedProcess(Process):
    """A Process whose start method is its class's."""

    _start_method: str  # type: ignore[assignment]  # in the child it becomes the default, as there

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        start_method: str | None = None,
        orphan: Orphan = "kill",
    ) -> None:
        mine = self._start_method
        if start_method not in {None, mine}:
            raise ValueError(f"start_method of a process from get_context({mine!r}) is {mine!r}, not {start_method!r}")
        super().__init__(group, target, name, args, kwargs, daemon=daemon, start_method=mine, orphan=orphan)


class ForkProcess(_FixedProcess):
    """A Process that begins as a copy of this one: ``get_context("fork").Process``."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process: Any) -> Popen:  # noqa: N802 - BaseProcess.start calls it
        return STARTS["fork"](process)


class SpawnProcess(_FixedProcess):
    """A Process that is a new interpreter: ``get_context("spawn").Process``."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process: Any) -> Popen:  # noqa: N802 - BaseProcess.start calls it
        return STARTS["spawn"](process)

    @staticmethod
    def _after_fork() -> None:
        """Nothing was copied, so nothing is to be forgotten."""


class ForkServerProcess(_FixedProcess):
    """A Process that a template makes: ``get_context("forkserver").Process``."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process: Any) -> Popen:  # noqa: N802 - BaseProcess.start calls it
        return STARTS["forkserver"](process)
