"""A short torture of what is shared without a queue, with a seed for each run; and that it is not blind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from queue import Empty
from typing import Any

import pytest

import procession
from tests.stress import places, sharing


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ones_hold_up_nobody(seed: int) -> None:
    assert places.torture(sharing.Sharing, 60, seed).kills >= 60


def add_without_lock(beats: Any, seat: int, place: sharing.Counted) -> None:
    while True:
        number = place.counter.value
        time.sleep(0)
        place.counter.value = number + 1
        place.added[seat] += 1
        beats[seat] += 1


class Careless(sharing.Sharing):
    """Two add to the value without its lock."""

    def furnish(self) -> Sequence[places.Sitter]:
        seats = super().furnish()
        return [(add_without_lock if does is sharing.add_under_lock else does, place) for does, place in seats]


def add_to_all_without_lock(beats: Any, seat: int, place: sharing.Counted) -> None:
    array = place.counter.get_obj()
    while True:
        numbers = array[:]
        time.sleep(0)
        array[:] = [number + 1 for number in numbers]
        place.added[seat] += 1
        beats[seat] += 1


class CarelessWithArray(sharing.Sharing):
    """Two add to the array without its lock."""

    def furnish(self) -> Sequence[places.Sitter]:
        seats = super().furnish()
        return [(add_to_all_without_lock if does is sharing.add_to_all else does, place) for does, place in seats]


@pytest.mark.parametrize(("kind", "name"), [(Careless, "Value"), (CarelessWithArray, "Array")])
def test_lost_additions_are_found(kind: type[sharing.Sharing], name: str) -> None:
    with pytest.raises(RuntimeError, match=name + r": \d+ after \d+ additions and \d+ deaths"):
        places.torture(kind, 30, 1)


class Twice:
    """A queue that gives items twice, or in the order in which they came."""

    def __init__(self, items: list[tuple[int, int, int]]) -> None:
        self.items = items

    def get(self, block: bool) -> tuple[int, int, int]:
        if not self.items:
            raise Empty
        return self.items.pop(0)


@pytest.mark.parametrize(
    ("items", "fault"),
    [
        ([(1, 0, 1), (1, 0, 2)], None),
        ([(1, 0, 1), (1, 0, 1), (2, 0, 2)], "taken twice"),
        ([(2, 0, 1), (1, 0, 2)], "of rank 1 came after one of 2"),
        ([(1, 0, 1)], "1 items lost by 0 deaths"),
        ([(1, 0, 1), (1, 0, 2), (1, 0, 4)], "seat 0 has never put"),
    ],
)
def test_items_lost_doubled_or_out_of_order_are_found(items: list[tuple[int, int, int]], fault: str | None) -> None:
    judged = sharing.Sharing(1)
    judged.sorted.queue = Twice(items)
    judged.sorted.put[0], judged.sorted.tried[0] = 2, 3
    with pytest.raises(RuntimeError, match=fault) if fault else contextlib.nullcontext():
        judged.judge_items()
    judged.close()


def test_half_a_word_is_found() -> None:
    with pytest.raises(AssertionError, match="half a word"):
        sharing.write_word(procession.shared_array(1, "q"), 0, ["", "aab"])
