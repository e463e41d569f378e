"""By which methods the tortured are started, and how often by each."""

from __future__ import annotations

import random

__all__ = ["SHARES", "choose", "parse_mix", "show_mix"]

# A spawned process costs as much as twenty others: few of them, so that a run of given length has many kills.
SHARES = {"fork": 0.6, "spawn": 0.1, "forkserver": 0.3}


def parse_mix(text: str) -> dict[str, float]:
    """Read ``fork,spawn=0.5``: methods, each with its share of the starts if it shall have another than usual."""
    mix: dict[str, float] = {}
    for word in text.split(","):
        method, given, share = word.partition("=")
        if method not in SHARES:
            raise ValueError(f"{method!r} is none of {', '.join(SHARES)}")
        mix[method] = float(share or 0) if given else SHARES[method]
        if not mix[method] > 0:
            raise ValueError(f"the share of {method} must be above 0")
    return mix


def show_mix(mix: dict[str, float]) -> str:
    """Write what parse_mix reads."""
    return ",".join(method if share == SHARES[method] else f"{method}={share:g}" for method, share in mix.items())


def choose(rng: random.Random, mix: dict[str, float]) -> str:
    """Draw a method."""
    return rng.choices(list(mix), list(mix.values()))[0]
