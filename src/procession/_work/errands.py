"""The thread that does what may have to wait for the lock of a queue.

A worker that is stopped (SIGSTOP) may hold such a lock, until it goes on or is killed. It is the overseer that kills it, so the
overseer itself never waits for one.
"""

import queue
import threading
from collections.abc import Callable

__all__ = ["Errands"]


class Errands(threading.Thread):
    """Calls what it is given, one after the other; `failed` is told what one of them raised."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        super().__init__(name="procession-errands", daemon=True)
        self._failed = failed
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()

    def add(self, errand: Callable[[], object]) -> None:
        """Let it be called, behind all that were added before."""
        self._queue.put(errand)

    def dismiss(self) -> None:
        """Let it end, when all is done."""
        self._queue.put(None)

    def end(self) -> None:
        """Wait until all is done."""
        self.dismiss()
        self.join()

    def run(self) -> None:
        """Work until ``end()``."""
        while (errand := self._queue.get()) is not None:
            try:
                errand()
            except BaseException as error:  # noqa: BLE001 - no memory, for one: whoever waits is told
                self._failed(error)
            del errand
