"""The queue whose items are not lost with their consumer: it keeps each until ``task_done()``.

    put -> waits -> get: leased -> task_done: done
             ^                |
             +----------------+  its consumer was killed, or failed

Each item is transferred exactly once at a time; it is *processed* at least once, because a consumer can be killed
between its work and its ``task_done()``. ``get_item()`` tells the id and the number of deliveries.
"""

from typing import Generic, NamedTuple, TypeVar

from procession import _core
from procession._base.arguments import bound, integer, label, size
from procession._base.errors import NotRedeliverable
from procession._base.public import public
from procession._base.statistics import Left, QueueStatistics
from procession._channels.queue import Queue
from procession._memory.domain import domains
from procession._memory.ending import watch_end

__all__ = ["DeadLetter", "Item", "JoinableQueue"]

T = TypeVar("T")

ONCE = 1  # why a letter is dead: it carries a descriptor
MOST = 0xFFFF  # deliveries are counted up to this

watch_end()


class Item(NamedTuple, Generic[T]):
    """What ``get_item()`` takes out."""

    item: T
    id: int  # the ordinal of its put in this queue: 0, 1, 2 ...
    deliveries: int  # 1: nobody had it before


class DeadLetter(NamedTuple, Generic[T]):
    """An item that is not given to another consumer. It is not unfinished any more."""

    id: int
    deliveries: int
    process: str  # the name of the consumer that died last, if it was given one
    pid: int
    error: NotRedeliverable
    item: T | None  # None: it cannot be unpickled again


@public
class JoinableQueue(Queue[T], _core.LeasedRing):
    """The drop-in for ``multiprocessing.JoinableQueue``, and more: items of dead consumers come again.

    What was taken stays *unfinished* until ``task_done()``, and ``join()`` waits for all that is unfinished. If a
    consumer is killed, or ends with another exit code than 0, what it had not done is given to the next ``get()``,
    the oldest first. If it ends with exit code 0, its items stay unfinished, as in the standard library, and
    ``statistics().left`` names them.

    `maxsize`, `max_bytes`, `name`: as for Queue; what is in hand of consumers does not count.
    `max_deliveries`: an item whose consumers died so often is given to nobody else; see ``dead_letters()``.

    >>> jobs = JoinableQueue(name="jobs")
    >>> jobs.put("a.py")
    >>> jobs.get_item()
    Item(item='a.py', id=0, deliveries=1)
    >>> jobs.task_done()
    >>> jobs.join()
    True
    """

    def __init__(
        self,
        maxsize: int = 0,
        *,
        max_bytes: int | None = None,
        max_deliveries: int | None = None,
        name: str | None = None,
    ) -> None:
        most = 0 if max_deliveries is None else integer(max_deliveries, "max_deliveries")
        if max_deliveries is not None and not 1 <= most < MOST:
            raise ValueError(f"max_deliveries must be from 1 to {MOST - 1}, or None, not {most}")
        _core.LeasedRing.__init__(
            self,
            domains.current(),
            label("JoinableQueue", name),
            bound(maxsize, "maxsize"),
            size(0 if max_bytes is None else max_bytes, "max_bytes"),
            most,
        )

    def get_item(self, block: bool = True, timeout: float | None = None) -> Item[T]:
        """Take one item out, as ``get`` does; also its id, and how often it was delivered, this time included."""
        return Item(*self._get_item(block, timeout))

    def dead_letters(self, *, clear: bool = False) -> list[DeadLetter[T]]:
        """The items that were given up, by id. With `clear` the queue forgets those that are returned."""
        letters = []
        for id_, deliveries, process, pid, is_dead, reason in sorted(self._leases()[3]):
            if not is_dead:
                continue
            error = NotRedeliverable(_why(self.name, id_, deliveries, reason))
            item = None
            try:
                found = self._letter(id_, False, reason != ONCE)
                if found is None:
                    continue  # another process has cleared it meanwhile
                item = found[0]
            except Exception as cause:  # noqa: BLE001 - whatever its unpickling raises
                error.__cause__ = cause
            # Only now: whoever is interrupted or killed before it has lost nothing.
            if clear and self._letter(id_, True, False) is None:
                continue  # it is the other process that returns it
            letters.append(DeadLetter(id_, deliveries, process, pid, error, item))
        return letters

    def _bury(self, pid: int) -> list[int]:
        """Return the ids of what the dead process had in hand and nobody else gets; its dead letters are forgotten."""
        lines = [line for line in self._leases()[3] if line[3] == pid]
        for id_, *_, is_dead, _ in lines:
            if is_dead:
                self._letter(id_, True, False)
        return [line[0] for line in lines]

    def statistics(self) -> QueueStatistics:
        """Items, bytes and waiters at this instant, and what is unfinished."""
        unfinished, leased, _, lines = self._leases()
        return (
            super()
            .statistics()
            ._replace(
                unfinished=unfinished,
                leased=leased,
                left=tuple(Left(*line[:4]) for line in lines if not line[4]),
                dead_letters=sum(line[4] for line in lines),
            )
        )


def _why(name: str, id_: int, deliveries: int, reason: int) -> str:
    if reason == ONCE:
        return (
            f"item {id_} of JoinableQueue '{name}' carries a file descriptor, which can be taken over once only, and "
            "its consumer died. Send what the descriptor was opened from instead."
        )
    return f"item {id_} of JoinableQueue '{name}': {deliveries} consumers died before they had done it"
