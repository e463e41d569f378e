"""Managers, as ``multiprocessing.managers`` names them: the standard library's classes, with a server process of ours."""

import contextlib
from collections.abc import Iterable
from multiprocessing import managers as _managers
from multiprocessing.managers import ArrayProxy as ArrayProxy  # type: ignore[attr-defined]
from multiprocessing.managers import BaseProxy as BaseProxy
from multiprocessing.managers import DictProxy as DictProxy
from multiprocessing.managers import ListProxy as ListProxy
from multiprocessing.managers import Namespace as Namespace
from multiprocessing.managers import Token as Token
from multiprocessing.managers import ValueProxy as ValueProxy
from typing import Any

from procession import shared_memory
from procession._compat.contexts import default
from procession.pool import Pool

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
        # Of all of them this is what is needed: SharedMemoryManager's own would start a resource tracker.
        _managers.BaseManager.__init__(self, address, authkey, serializer, ctx, shutdown_timeout=shutdown_timeout)  # type: ignore[arg-type]


class BaseManager(_Ours, _managers.BaseManager):
    """The standard library's BaseManager; its server is a process of ours."""


class SyncManager(_Ours, _managers.SyncManager):
    """The standard library's SyncManager; its server is a process of ours, and its ``Pool()`` a pool of ours."""


SyncManager.register("Pool", Pool, _managers.PoolProxy)  # type: ignore[attr-defined]


class _Blocks:
    """The blocks that a server removes with itself: what its base class keeps in the place of this looks for other memory."""

    def __init__(self) -> None:
        self.segment_names: list[str] = []

    def register_segment(self, name: str) -> None:
        self.segment_names.append(name)

    def destroy_segment(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody has unlinked it already
            block = shared_memory.SharedMemory(name)
            block.close()
            block.unlink()
        self.segment_names.remove(name)

    def unlink(self) -> None:
        with contextlib.ExitStack() as all_of_them:  # one that fails does not keep the others
            for name in self.segment_names[:]:
                all_of_them.callback(self.destroy_segment, name)


class _Server(_managers.SharedMemoryServer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shared_memory_context = _Blocks()


class SharedMemoryManager(_Ours, _managers.SharedMemoryManager):
    """The standard library's SharedMemoryManager over a process and over shared memory of ours: there is no resource tracker.

    What is made by it goes with ``shutdown()``; what is made while its server has been killed raises, and is not left.
    """

    _Server = _Server

    def SharedMemory(self, size: int) -> shared_memory.SharedMemory:  # type: ignore[override]  # noqa: N802
        """A new block of so many bytes, which goes with the manager."""
        block = shared_memory.SharedMemory(None, create=True, size=size)
        self._track(block)
        return block

    def ShareableList(self, sequence: Iterable[Any]) -> shared_memory.ShareableList:  # type: ignore[override]  # noqa: N802
        """A new list of these, which goes with the manager."""
        made = shared_memory.ShareableList(sequence)
        self._track(made.shm)
        return made

    def _track(self, block: shared_memory.SharedMemory) -> None:
        try:
            with self._Client(self._address, authkey=self._authkey) as connection:  # type: ignore[attr-defined]
                _managers.dispatch(connection, None, "track_segment", (block.name,))  # type: ignore[attr-defined]
        except BaseException:
            block.close()
            block.unlink()
            raise
