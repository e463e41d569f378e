"""Pipes: two connections, with all that a Connection of ``multiprocessing`` can do.

    Pipe() -> (Connection, Connection)      a ring in shared memory for each direction

A message is committed by one store, so senders never interleave, and one that is killed in the middle has sent nothing.
An end is over when all that used it are dead or have closed it, and so has who made the pipe: whoever was forked
meanwhile and has only inherited it keeps nobody waiting (``core/pipe.h``).
"""

from __future__ import annotations

import multiprocessing.connection as _standard
from collections.abc import Callable
from typing import Any, Self

from procession import _core
from procession._base import stdlib
from procession._base.arguments import label
from procession._base.statistics import ConnectionStatistics
from procession._memory import serialize as serialize  # gives the core its pickler
from procession._memory.domain import domains
from procession._memory.ending import watch_end
from procession._memory.handle import connections_in, reduce_shared
from procession._sync.doorbell import FOR, Pairs, WithDoorbell

__all__ = ["Connection", "Pipe"]

watch_end()  # the last user of an end that ends badly ends it, whoever keeps it

MAX_BYTES = 1 << 20  # that wait in one direction; the standard library's pipe takes about 64 KiB, its socket pair 200


class Connection(WithDoorbell, _core.Connection, _standard.Connection):
    """One end of a pipe; made by :func:`Pipe`.

    ``send recv send_bytes recv_bytes recv_bytes_into poll close``, the attributes ``closed readable writable``, and
    ``with`` are those of ``multiprocessing.connection.Connection``, and raise what they raise there. Objects and bytes share
    one stream: ``recv()`` unpickles what ``send_bytes()`` sent, ``recv_bytes()`` gives the pickle of what ``send()`` sent.

    It may be an argument of a process that is being started, and travel in an item of a queue or in a message of another
    connection. Under fork the child has it anyway, and counts as its user once it sends, receives or polls.
    """

    def __init__(self) -> None:
        raise TypeError("a Connection is made by Pipe()")

    def __del__(self) -> None:
        """Nothing: the core gives up what it holds."""

    def close(self) -> None:
        """This connection is used no more. Whoever waits at it in another thread gets OSError. May be called twice."""
        super().close()
        self._drop_bell()

    def fileno(self) -> int:
        """Return a descriptor of this process that is readable while ``recv()`` need not wait; OSError if it is closed.

        It is made by the first call and lives until ``close()``. It is for ``select``, ``multiprocessing.connection.wait`` and
        event loops; nothing can be read from it.
        """
        if self.closed:
            raise OSError("handle is closed")
        return super().fileno()

    def _waits_on(self, want: str) -> Pairs:
        ring = self._rings[want == "put"]
        ends: Pairs = ((self, FOR[want]),)
        return ends if ring is None else ((_core.Ring._attach(self._domain, *ring), FOR[want]), *ends)

    def __getstate__(self) -> dict[str, Any] | None:
        return {name: value for name, value in self.__dict__.items() if name != "_bell"} or None

    @property
    def name(self) -> str:
        """The label given to the pipe; it need not be unique."""
        return self._label or ""

    def statistics(self) -> ConnectionStatistics:
        """What is under way in both directions, and who waits, at this instant. OSError if it is closed."""
        incoming, incoming_bytes, outgoing, outgoing_bytes, waiting, over = self._look()
        return ConnectionStatistics(
            name=self.name,
            incoming=incoming,
            incoming_bytes=incoming_bytes,
            outgoing=outgoing,
            outgoing_bytes=outgoing_bytes,
            max_bytes=MAX_BYTES,
            waiting=waiting,
            peer_ended=over,
        )

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__} '{self.name}' closed>"
        now = self.statistics()
        notes = [f"{now.incoming} to receive"] if self.readable else []
        notes += [f"{now.outgoing} not received yet"] if self.writable else []
        notes += [f"{now.waiting} waiting"] if now.waiting else []
        notes += ["the other end is over"] if now.peer_ended else []
        return f"<{type(self).__name__} '{now.name}' {', '.join(notes)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.closed:
            raise OSError("handle is closed")
        return reduce_shared(self)


def Pipe(duplex: bool = True, *, name: str | None = None) -> tuple[Connection, Connection]:  # noqa: N802 - as there
    """Make a pipe; return the connections at its two ends.

    With `duplex` both send and receive; without it the first only receives and the second only sends. `name`: a label,
    shown everywhere.

    ``send()`` waits while more than 1 MiB is under way in its direction; one larger message may travel alone. Raises DomainFull
    if memory ran out.

    >>> ours, theirs = Pipe(name="orders")
    >>> ours.send(("a.py", 1))
    >>> theirs.recv()
    ('a.py', 1)
    >>> theirs.close()
    >>> ours.recv()
    Traceback (most recent call last):
    ...
    EOFError: nobody is left at the other end of Connection 'orders', and nothing was left there
    """
    return Connection._pair(domains.current(), label("Pipe", name), bool(duplex), MAX_BYTES)


def _hand_on(process: object) -> Callable[[], None]:
    """A child of ``multiprocessing`` is about to be forked."""
    connections = connections_in(process)
    for connection in connections:
        connection._hand_at_fork(True)

    def done() -> None:
        for connection in connections:
            if not connection.closed:
                connection._hand_at_fork(False)

    return done


stdlib.tell_forks(_hand_on)
