"""The thread that sends what cannot be sent at once: tasks of which there are many, or for which there is no room yet.

It takes the input as far as workers can use it soon: at most MOST tasks are under way. So an input without an end is no matter.
"""

import itertools
import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from procession._base.errors import ShutDown
from procession._work.task import Call

if TYPE_CHECKING:
    from procession._work.engine import Engine, Sink

__all__ = ["Feeder", "Sequence"]

MOST = 1024  # tasks under way, from which on the feeder waits
FEW = MOST // 2  # and until there are so few


class Sequence(NamedTuple):
    """Tasks whose results go to one sink, with the indices 0, 1, 2 ..."""

    tasks: Iterator[Call]  # may be a user's: it may raise, wait, and have no end
    sink: "Sink"
    batch: int  # so many may be taken from `tasks` before the first of them is sent; more than 1 if it never waits


class Feeder(threading.Thread):
    """Sends sequences, one after the other."""

    def __init__(self, engine: "Engine") -> None:
        super().__init__(name="procession-feeder", daemon=True)
        self._engine = engine
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waits = False
        self.backlog: deque[Sequence] = deque()  # the first is being sent
        self.is_abroad = False  # in a user's iterator, which may wait for ever

    def add(self, sequence: Sequence) -> None:
        """Let it be sent when all before it are."""
        self.backlog.append(sequence)
        self._bell.put(None)

    def look(self) -> None:
        """Something has changed: there is more room, or the end is there."""
        if self._waits and (len(self._engine.pending) <= FEW or self._engine.is_over):
            self._waits = False
            self._bell.put(None)

    def wake(self) -> None:
        """Let it see that the end is there."""
        self._bell.put(None)

    def run(self) -> None:
        """Send until the engine is at its end."""
        try:
            while not self._engine.is_over:
                if self.backlog:
                    sequence = self.backlog[0]
                    self._send_all(sequence)
                    self._engine.sent_all(sequence)
                    del sequence
                else:
                    self._bell.get()
        except ShutDown:
            pass  # the engine is at its end: it tells whoever waits, and empties the backlog
        except BaseException as error:
            if not self._engine.is_over:
                self._engine.give_up(error)
                raise

    def _send_all(self, sequence: Sequence) -> None:
        index = 0
        while True:
            self.is_abroad = True
            try:
                tasks = list(itertools.islice(sequence.tasks, sequence.batch))
            except BaseException as error:  # noqa: BLE001 - whatever a user's iterator raises
                self._engine.call(sequence.sink.settle, [(index, False, error)])
                index += 1
                break
            finally:
                self.is_abroad = False
            if self._engine.is_over:
                raise ShutDown
            if not tasks:
                break
            self._wait_for_room()
            self._engine.send(tasks, sequence.sink, index)
            index += len(tasks)
            del tasks
        self._engine.call(sequence.sink.set_length, index)

    def _wait_for_room(self) -> None:
        if len(self._engine.pending) < MOST:
            return
        self._waits = True
        while self._waits:
            self.look()  # it may have come before we said so
            if self._waits:
                self._bell.get()
        if self._engine.is_over:
            raise ShutDown
