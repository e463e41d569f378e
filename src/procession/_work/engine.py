"""Tasks to workers, results to whoever waits for them.

    submit, feed -> [feeder] -> tasks -> worker -> results -> [reader] -> Sink.settle
                                           |
                                 it ends: [overseer] sees it, says what it had in hand, hires another

Three threads of the owner: the overseer waits for the ends of workers, the reader for results, the feeder for room. Each task
is settled once: by its result, or by the death of its worker, which the overseer puts behind all that the worker had sent.
Whatever they are, a floor has the queues and a crew the workers: processes (``floor.py``), threads (``threads.py``).
"""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Items
from typing import Any, Protocol

from procession._base.errors import ShutDown
from procession._process.stdlib import at_exit
from procession._work.crew import Bell, Grave
from procession._work.death import TOO_MANY_STARTS, crew_died, worker_died
from procession._work.feeder import MOST, Feeder, Sequence
from procession._work.task import Call
from procession._work.words import SAYS, Word

__all__ = ["Engine", "Sink"]

Settled = tuple[int, Any, Any]  # index in its sink, whether it went well, value or exception


class Sink(Protocol):
    """Where results go. Called by the reader alone, one call after the other, and raises nothing."""

    title: str  # what its tasks do, for messages

    def settle(self, results: list[Settled]) -> None:
        """Take some results."""

    def set_length(self, length: int) -> None:
        """So many there are, with those that have been settled."""

    def abandon(self, error: BaseException) -> None:
        """Nothing more will come, when the reader has ended; if all has come already, nothing happens."""


class Engine:
    """Runs from ``start()`` until ``close()`` and the last task's end, or until ``terminate()``.

    `stopped`: makes the exception of whoever waits for a task that ``terminate()`` gives up.
    """

    def __init__(self, floor: Any, stopped: Callable[[], BaseException]) -> None:
        self.pending: dict[int, tuple[Sink, int]] = {}  # number of a task -> whose it is, its index there
        self.is_over = False  # nothing more is sent
        self.floor = floor
        self._stopped = stopped
        self._owner = os.getpid()
        self._gate = threading.Lock()  # whoever sends; and whoever asks whether something was sent
        self._bell = Bell()
        self._closing = self._terminating = False
        self._error: BaseException | None = None  # why no worker can work
        self._graves: deque[Grave] = deque()
        self._aside: deque[tuple[Callable[[Any], None], Any]] = deque()  # what the reader is to call
        self._ready: set[int] = set()  # pids of workers that have begun
        self._early = 0  # workers that ended before they had begun, in a row
        self._feeder = Feeder(self)
        self._reader = threading.Thread(target=self._read, name="procession-reader", daemon=True)
        self._overseer = threading.Thread(target=self._oversee, name="procession-overseer", daemon=True)
        self._forget_exit: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Hire the workers; raises what starting one raises, and then none is left."""
        try:
            self.floor.crew.fill()  # before there are threads: workers may be forked
        except BaseException:
            self.floor.crew.end()
            self._bell.close()
            self.floor.close()
            raise
        self._forget_exit = at_exit(self.terminate)
        try:
            for thread in (self._reader, self._feeder, self._overseer):
                thread.start()
        except RuntimeError:  # no thread can be started: without the overseer nobody else ends what was
            self._forget_exit()
            self.is_over = True
            self.floor.crew.end()
            self.floor.say(Word.END)
            self._feeder.wake()
            raise

    # ---- for whoever has work -----------------------------------------------------------------

    def submit(self, task: Call, sink: Sink) -> None:
        """Send one task, now if nothing waits before it, and never wait for room. Its index is 0."""
        if not self._feeder.backlog and len(self.pending) < MOST and self._gate.acquire(blocking=False):
            try:
                self._send_one(task, sink, 0, block=False)
            except (queue.Full, ShutDown):
                pass
            else:
                return
            finally:
                self._gate.release()
        self.feed(Sequence(iter((task,)), sink, 1))

    def feed(self, sequence: Sequence) -> None:
        """Send tasks when there is room for them."""
        self._feeder.add(sequence)
        if self.is_over:
            with self._gate:
                self._abandon_all()

    def is_mine(self) -> bool:
        """Return whether this is the process that made it, and not a fork of that."""
        return self._owner == os.getpid()

    # ---- sending --------------------------------------------------------------------------------

    def _send_one(self, task: Call, sink: Sink, index: int, block: bool) -> None:
        """With the gate held."""
        if self.is_over:
            raise ShutDown
        try:
            number = self.floor.send(task, block)
        except (queue.Full, ShutDown):
            raise
        except Exception as error:  # noqa: BLE001 - whatever pickling raises
            self.call(sink.settle, [(index, False, error)])
        else:
            self.pending[number] = (sink, index)

    def send(self, tasks: Items[Call], sink: Sink, index: int) -> None:
        """For the feeder: send them, waiting for room; their indices begin with `index`."""
        with self._gate:
            sent = self._send_many(tasks, sink, index) if len(tasks) > 1 else 0
            for offset in range(sent, len(tasks)):
                self._send_one(tasks[offset], sink, index + offset, block=True)

    def _send_many(self, tasks: Items[Call], sink: Sink, index: int) -> int:
        if self.is_over:
            raise ShutDown
        try:
            numbers = self.floor.send_many(tasks)
        except Exception as error:  # noqa: BLE001 - one of them does not pickle, or memory has ended: one by one
            numbers = self.floor.sent(getattr(error, "items_put", 0))
        for offset, number in enumerate(numbers):
            self.pending[number] = (sink, index + offset)
        return len(numbers)

    def call(self, function: Callable[[Any], None], argument: Any) -> None:
        """Let the reader call it."""
        if threading.current_thread() is self._reader:  # in a callback
            function(argument)
        else:
            self._aside.append((function, argument))
            self.floor.say(Word.ASIDE)

    def sent_all(self, sequence: Sequence) -> None:
        """For the feeder: nothing of it waits any more, unless it was given up meanwhile."""
        with self._gate:
            if self._feeder.backlog and self._feeder.backlog[0] is sequence:
                self._feeder.backlog.popleft()
        self.look()

    # ---- the reader ----------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while self._settle(self.floor.receive()):
                pass
        except BaseException as error:
            self.give_up(error)
            raise

    def _settle(self, results: list[Any]) -> bool:
        """Give results to their sinks; False at the end."""
        run: list[Settled] = []  # of one sink, which is told once
        last: Sink | None = None
        goes_on = True
        for number, went_well, value in results:
            entry = None if number == SAYS else self._entry(number)
            if last is not None and (entry is None or entry[0] is not last):
                last.settle(run)
                last, run = None, []
            if entry is not None:
                last = entry[0]
                run.append((entry[1], went_well, value))
            elif number == SAYS:
                goes_on &= self._hear(Word(went_well), value)
        if last is not None:
            last.settle(run)
        self._feeder.look()
        self.look()
        return goes_on

    def _entry(self, number: int) -> tuple[Sink, int] | None:
        entry = self.pending.pop(number, None)
        if entry is None:
            with self._gate:  # it may be here before its sender has written down whose it is
                entry = self.pending.pop(number, None)
        return entry

    def _hear(self, word: Word, more: Any) -> bool:
        if word == Word.READY:
            self._ready.add(more)
            self._early = 0
        elif word == Word.FAILED:
            self.give_up(self.floor.unpack(more))
        elif word == Word.BURIED:
            self._bury(self._graves.popleft())
        elif word == Word.ASIDE:
            function, argument = self._aside.popleft()
            function(argument)
        return word != Word.END

    def _bury(self, grave: Grave) -> None:
        """All that the dead worker had sent has been settled: what is left of its tasks, it had in hand."""
        for number in grave.numbers:
            entry = self._entry(number)
            if entry is not None:
                entry[0].settle([(entry[1], False, worker_died(grave, entry[0].title))])
        if grave.pid in self._ready:
            self._ready.discard(grave.pid)
            return
        self._early += 1
        error = getattr(grave.outcome, "exception", None)
        if error is not None:
            self.give_up(error)  # as with an initializer that fails: the next one would do the same
        elif self._early >= TOO_MANY_STARTS:
            self.give_up(crew_died(grave, self._early))

    # ---- the overseer ---------------------------------------------------------------------------

    def look(self) -> None:
        """Tell the overseer if the last task is done."""
        if self._closing and self._is_idle():
            self._bell.ring()

    def _is_idle(self) -> bool:
        return not self.pending and not self._feeder.backlog and not self._aside

    def give_up(self, error: BaseException) -> None:
        """End the workers: whoever waits, or comes, is told why."""
        if self._error is None:
            self._error = error
        self._bell.ring()

    def _oversee(self) -> None:
        try:
            self._keep_the_crew()
        except BaseException as error:
            self._error = self._error or error
            raise
        finally:
            self._finish()

    def _keep_the_crew(self) -> None:
        crew = self.floor.crew
        while not (self._terminating or self._error or (self._closing and self._is_idle())):
            crew.wait(self._bell)
            self._mourn()
            if self._terminating or self._error or (self._closing and self._is_idle()):
                return
            try:
                crew.fill()
            except Exception as error:  # noqa: BLE001 - no memory, no process: the others go on, if there are any
                if not crew.members:
                    self.give_up(error)

    def _mourn(self) -> None:
        for grave in self.floor.crew.ended():
            self._graves.append(grave)
            self.floor.say(Word.BURIED)

    def _finish(self) -> None:
        """The workers leave, or are made to; then nothing more comes, and who still waits is told so."""
        crew = self.floor.crew
        in_peace = not (self._terminating or self._error)
        self.floor.shut(immediate=not in_peace)
        if in_peace:
            self._see_them_off()
        self.is_over = True
        self._feeder.look()
        self._feeder.wake()
        crew.end()
        self.floor.say(Word.END)
        self._reader.join()
        with self._gate:
            self._abandon_all()
        while self._aside:  # said behind the end
            function, argument = self._aside.popleft()
            function(argument)
        if not self._feeder.is_abroad:
            self._feeder.join(1.0)
        self.floor.close()
        self._bell.close()
        self._forget_exit()

    def _see_them_off(self) -> None:
        while self.floor.crew.is_there() and not self._terminating:
            self.floor.crew.wait(self._bell)
            self._mourn()

    def _abandon_all(self) -> None:
        """With the gate held, at the end."""
        error = self._error or self._stopped()
        sinks = {id(sink): sink for sink, _ in self.pending.values()}
        self.pending.clear()
        while self._feeder.backlog:
            sink = self._feeder.backlog.popleft().sink
            sinks[id(sink)] = sink
        for sink in sinks.values():
            sink.abandon(error)

    # ---- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """No more work will come: the workers leave when all is done."""
        self._closing = True
        self._bell.ring()

    def stop(self) -> None:
        """As ``terminate()``, without waiting for it: may be called anywhere, by the garbage collector too."""
        if self.is_mine():
            self._terminating = True
            self._bell.ring()

    def terminate(self) -> None:
        """End the workers and give up what is not done; waits until they are gone, but in a callback."""
        self.stop()
        if self.is_mine() and threading.current_thread() not in self._threads():
            self._overseer.join()

    def join(self) -> None:
        """Wait until all have left."""
        for thread in self._threads():
            if thread is threading.current_thread():
                raise RuntimeError("a pool cannot be joined by what it calls itself: call join() elsewhere")
        self._overseer.join()
        self.floor.crew.join()

    def _threads(self) -> tuple[threading.Thread, ...]:
        return self._overseer, self._reader, self._feeder
