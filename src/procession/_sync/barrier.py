"""A point at which processes wait for each other."""

from collections.abc import Callable
from typing import Any

from procession import _core
from procession._base.arguments import integer, label, seconds
from procession._base.public import public
from procession._base.statistics import BarrierStatistics
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared

__all__ = ["Barrier"]

MOST = 0xFFFFFF  # parties


@public
class Barrier(_core.Barrier):
    """The drop-in for ``multiprocessing.Barrier``: `parties` threads or processes wait for each other.

    `action`: called, by the one that arrives last, before the others go on. `timeout`: seconds, for each ``wait()``
    that is not given one. `name`: a label, shown everywhere.

    The barrier is *broken*, for all that wait and all that come later until ``reset()``, when one of those that wait
    does not go on with the others: its timeout is over, it is killed or its process ends otherwise, a signal handler
    raises in it; or when the action raises, or somebody calls ``abort()``. The ``threading.BrokenBarrierError`` says which
    and who. A process that dies before it has come to the barrier is not known to it: give a timeout.

    >>> start = Barrier(1, name="start")
    >>> start.wait()
    0
    >>> start.abort()
    >>> start.broken
    True
    """

    # Of one that was found by its name: they are its maker's alone.
    _action: Callable[[], object] | None = None
    _timeout: float | None = None

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        number = integer(parties, "parties")
        if not 1 <= number <= MOST:
            raise ValueError(f"parties must be from 1 to {MOST}, not {number}")
        if action is not None and not callable(action):
            raise TypeError(f"action must be callable, not {type(action).__name__}")
        if timeout is not None:
            seconds(timeout)  # here, and not in whoever waits first
        super().__init__(domains.current(), number, label("Barrier", name))
        self._action = action
        self._timeout = timeout

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have arrived; return which one this is, from 0 to ``parties - 1``.

        Raises ``threading.BrokenBarrierError`` if the barrier is broken or reset before that, or after `timeout`
        seconds, which breaks it. Once all are there, the action takes the time it takes.
        """
        return self._wait(self._timeout if timeout is None else timeout, self._action)

    @property
    def parties(self) -> int:
        """How many it takes to pass."""
        return self._look()[0]

    @property
    def n_waiting(self) -> int:
        """How many wait just now."""
        return self._look()[1]

    @property
    def broken(self) -> bool:
        """Is it broken, until somebody calls ``reset()``?"""
        return self._look()[2]

    def statistics(self) -> BarrierStatistics:
        """Who waits at this instant, and why it is broken if it is."""
        parties, waiting, broken, rounds, reason = self._look()
        return BarrierStatistics(
            name=self.name, parties=parties, waiting=waiting, broken=broken, rounds=rounds, reason=reason
        )

    def __repr__(self) -> str:
        now = self.statistics()
        state = f"broken: {now.reason}" if now.broken else f"{now.waiting} of {now.parties} waiting"
        return f"<{type(self).__name__} '{now.name}' {state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)
