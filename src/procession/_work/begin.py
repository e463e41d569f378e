"""Whether workers get as far as their first task, and when it is no use to start another."""

import time
from typing import Any

from procession._work.crew import Grave
from procession._work.death import TOO_MANY_STARTS, crew_died, was_killed

__all__ = ["Beginnings"]

FIRST_PAUSE = 0.01  # seconds; twice as long each time
LONGEST_PAUSE = 1.0


class Beginnings:
    """The reader writes it, the overseer asks for ``pause()``.

    A worker that fails by itself before it has begun counts. One that is killed then may be as well as any: workers killed
    within the same second count as one, and the next ones are started after a pause that grows.
    """

    def __init__(self) -> None:
        self._ready: set[int] = set()  # pids of workers that have begun
        self._in_a_row = 0
        self._killed = 0
        self._counted = 0.0  # when one that was killed was counted
        self._not_before = 0.0

    def began(self, pid: int) -> None:
        """The worker's initializer has returned."""
        self._ready.add(pid)
        self._in_a_row = self._killed = 0
        self._counted = self._not_before = 0.0

    def ended(self, grave: Grave) -> BaseException | None:
        """Return why no other worker is to be started, None if one is."""
        if grave.pid in self._ready:
            self._ready.discard(grave.pid)
            return None
        error: Any = getattr(grave.outcome, "exception", None)
        if was_killed(grave) or isinstance(error, KeyboardInterrupt):
            self._count_killed()
        elif error is not None:
            return error  # type: ignore[no-any-return]  # as with an initializer that fails: the next one would do the same
        else:
            self._in_a_row += 1
        return crew_died(grave, self._in_a_row) if self._in_a_row >= TOO_MANY_STARTS else None

    def _count_killed(self) -> None:
        now = time.monotonic()
        self._killed += 1
        self._not_before = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._killed, 10))
        if not self._counted or now - self._counted >= LONGEST_PAUSE:
            self._counted = now
            self._in_a_row += 1

    def pause(self) -> float:
        """Return for how many seconds none is to be started."""
        return max(0.0, self._not_before - time.monotonic())
