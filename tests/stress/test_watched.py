"""What the torture says of a thing that is stuck."""

from __future__ import annotations

import os

import pytest

import procession
from tests.stress.seats import STUCK, Stuck, Watched
from tests.stress.tally import Tally


def test_stuck_thing_is_shown_as_it_is_now() -> None:
    semaphore = procession.Semaphore(1, name="cell")
    watched = Watched("takes of", semaphore, lambda: 0, lambda: [os.getpid()])
    tally = Tally()
    watched.look(0.0, tally)
    semaphore.acquire()
    now = repr(semaphore)
    watched.look(STUCK / 2, tally)  # from here on it is told what the movers have had of a CPU
    with pytest.raises(Stuck) as stuck:
        watched.look(10 * STUCK, tally)
    assert str(stuck.value).startswith(f"takes of {now} for ")
    semaphore.release()
    assert repr(semaphore) != now
