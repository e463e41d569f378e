"""Where tasks and results lie between the owner and processes: one queue for each.

The tasks are in a queue with leases. A task of which a worker died is given to nobody else: it is a dead letter, or,
if its worker left with exit code 0, is left over.
"""

import contextlib
import itertools
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

from procession._base.errors import DomainFull
from procession._channels.joinable import JoinableQueue
from procession._channels.queue import SimpleQueue
from procession._sync.doorbell import Doorbell
from procession._work.crew import RETRY, ProcessCrew
from procession._work.failure import NotSent, unpack_error
from procession._work.parcel import Parcel, opened
from procession._work.task import Call
from procession._work.words import SAYS, Word

__all__ = ["ProcessFloor", "Result"]

Result = tuple[int, Any, Any]  # number, whether it went well, value or exception; or SAYS, a Word, more

MAX_BYTES = 64 << 20  # of tasks that wait: one larger task may wait alone
MOST = 512  # results taken at once


class ProcessFloor:
    """`make_process(tasks, results)` makes a worker that is not started yet."""

    def __init__(
        self,
        size: int,
        make_process: Callable[[JoinableQueue[Any], SimpleQueue[Any]], Any],
        not_sent: Callable[[NotSent], BaseException],
    ) -> None:
        self._tasks: JoinableQueue[Any] = JoinableQueue(max_bytes=MAX_BYTES, max_deliveries=1, name="tasks")
        self._results: SimpleQueue[Any] = SimpleQueue(name="results")
        self._numbers = itertools.count()
        self._room: Doorbell | None = None
        self._not_sent = not_sent
        self.crew = ProcessCrew(size, lambda: make_process(self._tasks, self._results), self._tasks._bury)

    def send(self, task: Call) -> int:
        """Put a task and return its number, which is its ordinal in the queue; one sender at a time, and none waits for room.

        Raises what pickling raises, queue.Full, DomainFull, ShutDown.
        """
        # In one step: Ctrl-C cannot come between the put and the count of it.
        return next(zip(map(self._tasks.put, (task,), (False,)), self._numbers, strict=False))[1]

    def send_many(self, tasks: Sequence[Call]) -> list[int]:
        """Put them, in any thread but the main one; `items_put` of an exception, queue.Full too, says how many were put."""
        self._tasks.put_many(tasks, False)
        return self.sent(len(tasks))

    def sent(self, count: int) -> list[int]:
        """Return the numbers of the next tasks, which were put already."""
        return list(itertools.islice(self._numbers, count))

    def wait_for_room(self) -> None:
        """Sleep until there may be more of it than when this was called last; for one thread alone."""
        if self._room is None:
            self._room = Doorbell(self._tasks, "put", edge=True)
            self._room.fileno()  # whatever changes from now on makes it readable
            return
        room = self._room
        poll = select.poll()
        poll.register(room.fileno(), select.POLLIN)
        poll.poll()
        room.clear()

    def receive(self) -> list[Result]:
        """Wait for results."""
        try:
            records = self._results.get_many(MOST)
        except BaseException as error:  # noqa: BLE001 - whatever unpickling a result raises
            records = _rest_and_failures(error)
        else:
            opened()
        return [self._open(record) for record in records]

    def _open(self, record: Any) -> Result:
        if type(record) is Parcel:
            return record.number, True, record.content
        number, went_well, value = record
        if went_well is False and type(value) is bytes:
            return number, False, self.unpack(value)
        return number, went_well, value

    def unpack(self, packed: bytes) -> BaseException:
        """Return a worker's exception."""
        return unpack_error(packed, self._not_sent)

    def say(self, word: Word, more: Any = None) -> None:
        """Put a word behind the results; not for the reader, who makes room when memory has ended."""
        while True:
            try:
                return self._results.put((SAYS, word.value, more))
            except DomainFull:
                time.sleep(RETRY)

    def shut(self, immediate: bool) -> None:
        """No task can be put any more; workers leave when none waits, or with `immediate` before their next one."""
        self._tasks.shutdown(immediate)

    def close(self) -> None:
        """Let go of both queues, at once: the garbage collector may come late."""
        room, self._room = self._room, None
        if room is not None:
            room.close()
        del self._tasks, self._results, self.crew.make, self.crew.bury


def _rest_and_failures(error: Any) -> list[Any]:
    """Return what was unpickled, and for each result that was not, what was raised."""
    try:
        rest, others = error.items, error.others
    except AttributeError:
        raise error from None
    for name in ("items", "others"):  # they would keep results alive
        object.__delattr__(error, name)  # not its own: it may be a frozen dataclass
    got = {item.number for item in rest if type(item) is Parcel}
    numbers = [number for number in opened() if number not in got]
    for failure in (error, *others):
        with contextlib.suppress(Exception):  # whatever its __setattr__ raises
            failure.add_note("This was raised here, when the result of a task was unpickled; its worker had sent it.")
    return [*rest, *zip(numbers, itertools.repeat(False), (error, *others), strict=False)]
