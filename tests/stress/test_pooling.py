"""A short torture of pools, with a seed for each run; and that it is not blind."""

from __future__ import annotations

from typing import Any

import pytest

from procession._channels.joinable import JoinableQueue
from procession._work import engine, floor
from tests.stress import pooling


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_workers_hold_up_nobody(seed: int) -> None:
    done = pooling.torture(80, seed)
    assert done.kills >= 80
    assert done.tasks > done.deaths > 0


def test_tasks_that_are_waited_for_in_vain_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.Engine, "_bury", lambda *_: None)
    monkeypatch.setattr(pooling, "STUCK", 1.0)
    with pytest.raises(pooling.Fault, match="stuck"):
        pooling.torture(80, 1)


def test_tasks_that_are_done_twice_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def redelivering(**given: Any) -> Any:
        return JoinableQueue(**{**given, "max_deliveries": 2})

    monkeypatch.setattr(floor, "JoinableQueue", redelivering)
    with pytest.raises(pooling.Fault, match=r"began [23] times|begun twice"):
        pooling.torture(200, 1)


def test_results_that_are_mistaken_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = floor.ProcessFloor.receive

    def mistaken(self: Any) -> list[Any]:
        results = receive(self)
        good = [result for result in results if result[1] is True]
        if len(good) > 1:
            at, other = results.index(good[0]), results.index(good[1])
            results[at], results[other] = (good[0][0], True, good[1][2]), (good[1][0], True, good[0][2])
        return results

    monkeypatch.setattr(floor.ProcessFloor, "receive", mistaken)
    with pytest.raises(pooling.Fault, match="got the result of"):
        pooling.torture(80, 1)
