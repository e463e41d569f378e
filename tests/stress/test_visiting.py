"""A short torture of programs that use each other's objects, with a seed for each run; and that it is not blind."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest

import procession
from procession._memory.domain import domains
from tests.stress import places, visiting


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ones_hold_up_nobody(seed: int) -> None:
    assert places.torture(visiting.Visiting, 40, seed).kills >= 40


def come(town: visiting.Town, seat: int, shop: int) -> visiting.Trader:
    while True:
        try:
            return visiting.Trader(town, seat, 0, procession.attach(int(town.pids[shop])))
        except (ValueError, ProcessLookupError, procession.NotFound):
            time.sleep(0.001)  # it is not open yet, or dead


def visit_without_lock(beats: Any, seat: int, place: tuple[visiting.Town, int]) -> None:
    town, shop = place
    trader = come(town, seat, shop)
    trader.lock = nullcontext()
    while True:
        trader.guard()
        beats[seat] += 1


class Careless(visiting.Visiting):
    """The visitors do without the lock."""

    def furnish(self) -> Sequence[places.Sitter]:
        return [(visit_without_lock if does is visiting.visit else does, place) for does, place in super().furnish()]


def test_two_under_one_lock_are_found(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended by itself"):
        places.torture(Careless, 30, 1)
    assert "under the lock" in capfd.readouterr().err  # a shop may be the one who saw it


class Deaf(visiting.Visiting):
    """Who waits at the queue of a shop waits for ever when the shop is gone."""

    def furnish(self) -> Sequence[places.Sitter]:
        return [(wait_for_ever if does is visiting.visit else does, place) for does, place in super().furnish()]


def wait_for_ever(beats: Any, seat: int, place: tuple[visiting.Town, int]) -> None:
    town, shop = place
    jobs = come(town, seat, shop).jobs
    while True:
        jobs.get()
        beats[seat] += 1


def test_who_does_not_get_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STUCK", 3.0)
    with pytest.raises(RuntimeError, match=r"stuck: pid \d+, wait_for_ever"):
        places.torture(Deaf, 1000, 1)


def test_who_keeps_the_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = visiting.Visiting(1)
    judged.town.taken[0, 1] = 1
    judged.judge()
    judged.town.inodes[1] = os.fstat(domains.current().fd).st_ino
    monkeypatch.setattr(places, "STUCK", 0.1)
    with pytest.raises(RuntimeError, match=rf"still have the memory of a shop: \[.*\b{os.getpid()}\b"):
        judged.judge()


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ((0, 2, b"\2\2"), None),
        ((0, 1, b"\1"), "0:1 is taken twice"),
        ((0, 4, b"\4"), "0:4, and 3 were put"),
        ((0, 0, b""), "0:0, and 3 were put"),
        ((0, 3, b"\3\2"), "0:3 is changed"),
    ],
)
def test_an_item_doubled_or_changed_is_found(item: tuple[int, int, bytes], fault: str | None) -> None:
    town = visiting.make_town()
    town.tried[0] = 3
    town.take((0, 1, b"\1\1"))
    with pytest.raises(AssertionError, match=fault) if fault else nullcontext():
        town.take(item)


def test_a_value_of_another_is_found() -> None:
    shop: dict[str, Any] = {"jobs": None, "lock": procession.Lock(), "stock": procession.SharedDict()}
    trader = visiting.Trader(visiting.make_town(), 0, 0, shop)
    trader.guard()
    shop["stock"]["inside"] = (1, 0, 0)
    with pytest.raises(AssertionError, match="is under the lock"):
        trader.guard()
    trader.town.lives[1] = 1  # that one is dead
    trader.guard()
    trader.write()
