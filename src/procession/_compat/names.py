"""The functions of the default context, flat."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from procession._compat.contexts import Context, default
from procession._compat.cpus import cpu_count as cpu_count

if TYPE_CHECKING:
    from multiprocessing import managers

    from procession.pool import Pool as _Pool


__all__ = [
    "Manager",
    "Pool",
    "allow_connection_pickling",
    "cpu_count",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]

reducer: Any = default.reducer  # multiprocessing.reduction


def Manager() -> "managers.SyncManager":  # noqa: N802 - its name there
    """Return a manager whose server runs: the standard library's class, with a process of ours."""
    manager: managers.SyncManager = default.Manager()
    return manager


def Pool(  # noqa: N802 - its name there
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
    maxtasksperchild: int | None = None,
) -> "_Pool":
    """Return a pool of `processes`, by default as many as ``cpu_count()``; its methods: ``procession.pool.Pool``."""
    made: _Pool = default.Pool(processes, initializer, initargs, maxtasksperchild)
    return made


def get_context(method: str | None = None) -> Context:
    """Return the context of "fork", "spawn" or "forkserver"; None: of the default, which stands firm from then on.

    A ``multiprocessing.context.BaseContext``, so concurrent.futures, joblib, torch and others take it. ValueError for
    another word.

    >>> get_context("spawn").get_start_method()
    'spawn'
    """
    return default.get_context(method)


def get_all_start_methods() -> list[str]:
    """Return the start methods that there are; the first is the default."""
    return default.get_all_start_methods()


@overload
def get_start_method(allow_none: Literal[False] = False) -> str: ...
@overload
def get_start_method(allow_none: bool) -> str | None: ...
def get_start_method(allow_none: bool = False) -> str | None:
    """Return the default start method, which stands firm from then on; with `allow_none`: None if it is still open."""
    return default.get_start_method(allow_none)


def set_start_method(method: str | None, force: bool = False) -> None:
    """Choose the default start method, for ``multiprocessing`` too. RuntimeError if it stands firm and not `force`."""
    default.set_start_method(method, force)


def set_executable(executable: str) -> None:
    """Choose the interpreter that children of spawn and forkserver run, for ``multiprocessing`` too."""
    default.set_executable(executable)


def set_forkserver_preload(module_names: list[str]) -> None:
    """Say what templates import besides what this process has imported; ``[]``: nothing at all."""
    default.set_forkserver_preload(module_names)


def freeze_support() -> None:
    """Do nothing: it is for programs that are packed for Windows."""
    default.freeze_support()


def allow_connection_pickling() -> None:
    """Do nothing that is not done already: connections and sockets can be sent."""
    default.allow_connection_pickling()


def get_logger() -> logging.Logger:
    """Return the logger "multiprocessing", which both libraries share."""
    return default.get_logger()


def log_to_stderr(level: str | int | None = None) -> logging.Logger:
    """Let that logger write to stderr too, from `level` on, and return it."""
    return default.log_to_stderr(level)
