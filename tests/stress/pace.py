"""How the tortured share a CPU or two with whoever watches them."""

from __future__ import annotations

import random
import time

__all__ = ["LOOK", "NAP", "NICENESS", "nap"]

LOOK = 0.001  # seconds between two looks of one who waits for something that nobody signals
NICENESS = 5  # so that the driver, and who is just starting, need not wait for a dozen others
NAP = 0.004  # seconds that one rests now and then, so that all of them get on


def nap(rng: random.Random, chance: float) -> None:
    if rng.random() < chance:
        time.sleep(rng.random() * NAP)
