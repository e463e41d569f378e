"""A torture of its own for events, conditions and barriers: SIGKILL at random of those who wait, notify, set and meet.

    python -m tests.stress.waiting --kills 500 --seed 1

At each of three places sit some processes (``places.py``). Held against: somebody who is alive and does not
get on, and a line of the dead that is left. A driver, who is never killed, notifies and sets
all the time; among the workers there are some that do so too, and are killed in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import BrokenBarrierError
from typing import Any

import procession
from tests.stress import places

PARTIES = 3
EACH = 3  # at one place


def wait_at_condition(beats: Any, seat: int, condition: Any) -> None:
    """Be notified again and again; every third time notify others."""
    while True:
        with condition:
            condition.wait()
            if beats[seat] % 3 == 0:
                condition.notify(2)
        beats[seat] += 1


def wait_for_event(beats: Any, seat: int, event: Any) -> None:
    """See it set again and again; every third time set and clear it oneself."""
    while True:
        event.wait()
        if beats[seat] % 3 == 0:
            event.set()
        event.clear()
        beats[seat] += 1


def meet_at_barrier(beats: Any, seat: int, barrier: Any) -> None:
    """Meet the others, or mend what one of them has broken by its death."""
    while True:
        try:
            barrier.wait()
        except BrokenBarrierError:
            if barrier.broken:
                barrier.reset()
        beats[seat] += 1


class Waiting(places.Places):
    """A condition, an event and a barrier."""

    def furnish(self) -> Sequence[places.Sitter]:
        lock: Any = self.rng.choice([procession.Lock, procession.RLock])()
        self.condition = procession.Condition(lock)
        self.event = procession.Event()
        self.barrier = procession.Barrier(PARTIES)
        return [
            (wait_at_condition, self.condition),
            (wait_for_event, self.event),
            (meet_at_barrier, self.barrier),
        ] * EACH

    def drive(self) -> None:
        with self.condition:
            self.condition.notify(self.rng.choice((1, 1, 2, 100)))
        self.event.set()
        super().drive()

    def judge(self) -> None:
        if self.condition.statistics()[1:] != (0, 0) or self.barrier.n_waiting != 0:
            raise RuntimeError(f"lines of the dead are left: {self.condition!r}, {self.barrier!r}")


if __name__ == "__main__":
    places.run(Waiting, "tests.stress.waiting", __doc__)
