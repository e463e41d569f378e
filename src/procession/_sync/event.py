"""A flag that processes wait for."""

from typing import Any

from procession import _core
from procession._base.arguments import label
from procession._base.public import public
from procession._base.statistics import EventStatistics
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared
from procession._sync.doorbell import WithDoorbell

__all__ = ["Event"]


@public
class Event(WithDoorbell, _core.Event):
    """The drop-in for ``multiprocessing.Event``: ``is_set set clear wait``.

    ``wait()`` returns True if the event was set at any time since the call, even if it is cleared again by
    then. ``set()`` is one store without a lock: whoever is killed in it has set the event for all or for nobody, and
    a signal handler may call it. `name`: a label, shown everywhere.

    >>> ready = Event(name="ready")
    >>> ready.wait(timeout=0)
    False
    >>> ready.set()
    >>> ready.wait(), ready.is_set()
    (True, True)
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(domains.current(), label("Event", name))

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def statistics(self) -> EventStatistics:
        """Whether it is set, how often it was, and who waits, at this instant."""
        is_set, sets, waiting = self._look()
        return EventStatistics(name=self.name, is_set=is_set, sets=sets, waiting=waiting)

    def __repr__(self) -> str:
        now = self.statistics()
        waiting = f", {now.waiting} waiting," if now.waiting else ""
        # It ends as that of the standard library does.
        return f"<{type(self).__qualname__} at {id(self):#x} '{now.name}'{waiting} {'set' if now.is_set else 'unset'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)
