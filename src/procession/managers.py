"""Managers, as ``multiprocessing.managers`` names them: the standard library's classes, with a server process of ours."""

from multiprocessing import managers as _managers
from multiprocessing.managers import ArrayProxy as ArrayProxy  # type: ignore[attr-defined]
from multiprocessing.managers import BaseProxy as BaseProxy
from multiprocessing.managers import DictProxy as DictProxy
from multiprocessing.managers import ListProxy as ListProxy
from multiprocessing.managers import Namespace as Namespace
from multiprocessing.managers import Token as Token
from multiprocessing.managers import ValueProxy as ValueProxy
from typing import Any

from procession._compat.contexts import default

__all__ = ["BaseManager", "BaseProxy", "Namespace", "SharedMemoryManager", "SyncManager", "Token"]


class _Ours:
    """A manager of the standard library whose context is ours unless it is given one."""

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        ctx = default.get_context() if ctx is None else ctx
        super().__init__(address, authkey, serializer, ctx, shutdown_timeout=shutdown_timeout)  # type: ignore[call-arg]


class BaseManager(_Ours, _managers.BaseManager):
    """The standard library's BaseManager; its server is a process of ours."""


class SyncManager(_Ours, _managers.SyncManager):
    """The standard library's SyncManager; its server is a process of ours."""


class SharedMemoryManager(_Ours, _managers.SharedMemoryManager):
    """The standard library's SharedMemoryManager; its server is a process of ours."""
