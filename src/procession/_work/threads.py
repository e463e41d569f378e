"""The floor and the crew of a pool of threads: nothing is pickled, and nobody can be killed."""

import itertools
import queue
import select
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from procession._base.errors import ShutDown
from procession._work.crew import Bell, Grave
from procession._work.floor import Result
from procession._work.task import Call, perform
from procession._work.words import SAYS, Word

__all__ = ["ThreadFloor"]

MOST = 512  # results taken at once


class ThreadFloor:
    """Queues of this process, and `size` threads between them."""

    def __init__(self, size: int, initializer: Callable[..., object] | None, initargs: Iterable[Any]) -> None:
        self._tasks: queue.SimpleQueue[tuple[int, Call] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._is_shut = False
        self._size = size
        self.crew = ThreadCrew(size, self._work, initializer, initargs)

    def send(self, task: Call, block: bool) -> int:  # noqa: ARG002 - there is always room
        """Put a task and return its number; raises ShutDown."""
        if self._is_shut:
            raise ShutDown
        number = next(self._numbers)
        self._tasks.put((number, task))
        return number

    def send_many(self, tasks: Sequence[Call]) -> list[int]:
        """Put them all."""
        return [self.send(task, True) for task in tasks]

    def sent(self, count: int) -> list[int]:  # noqa: ARG002
        """Nothing is ever put in part."""
        return []

    def receive(self) -> list[Result]:
        """Wait for results."""
        results = [self._results.get()]
        try:
            while len(results) < MOST:
                results.append(self._results.get_nowait())
        except queue.Empty:
            pass
        return results

    def unpack(self, error: BaseException) -> BaseException:
        """It came as it is."""
        return error

    def say(self, word: Word, more: Any = None) -> None:
        """Put a word behind the results."""
        self._results.put((SAYS, word.value, more))

    def shut(self, immediate: bool) -> None:
        """No task can be put any more; workers leave when none waits, or with `immediate` before their next one."""
        self._is_shut = True
        try:
            while immediate:
                self._tasks.get_nowait()
        except queue.Empty:
            pass
        for _ in range(self._size):
            self._tasks.put(None)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _work(self, initializer: Callable[..., object] | None, initargs: Iterable[Any]) -> None:
        if initializer is not None:
            try:
                initializer(*initargs)
            except BaseException as error:  # noqa: BLE001 - the owner raises it
                self._results.put((SAYS, Word.FAILED.value, error))
                return
        while (item := self._tasks.get()) is not None:
            number, task = item
            try:
                self._results.put((number, True, perform(task, {})))
            except BaseException as error:  # noqa: BLE001 - whatever a task raises is its result
                self._results.put((number, False, error))
            del item, task


class ThreadCrew:
    """Threads, of which none ends before its time."""

    def __init__(
        self,
        size: int,
        work: Callable[..., None],
        initializer: Callable[..., object] | None,
        initargs: Iterable[Any],
    ) -> None:
        self.members: list[threading.Thread] = []
        self._size = size
        self._target = work
        self._args = (initializer, initargs)

    def fill(self) -> None:
        """Start all, the first time."""
        while len(self.members) < self._size:
            thread = threading.Thread(target=self._target, args=self._args, daemon=True)
            thread.name = thread.name.replace("Thread", "PoolWorker")
            thread.start()
            self.members.append(thread)

    def wait(self, bell: Bell) -> None:
        """Sleep until the bell rings."""
        poll = select.poll()
        poll.register(bell.fileno(), select.POLLIN)
        poll.poll()
        bell.hear()

    def is_there(self) -> bool:
        """Return whether there are ends to wait for: ``join()`` does that."""
        return False

    def ended(self) -> list[Grave]:
        """Nobody's tasks are lost with him."""
        return []

    def end(self) -> None:
        """They leave before their next task; it is not waited for."""

    def join(self) -> None:
        """Wait until all have left."""
        for thread in self.members:
            thread.join()
