"""A short torture of those who wait for events, conditions and barriers, with a seed for each run."""

from __future__ import annotations

import pytest

from tests.stress import places
from tests.stress.waiting import Waiting


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ones_hold_up_nobody(seed: int) -> None:
    assert places.torture(Waiting, 60, seed).kills >= 60
