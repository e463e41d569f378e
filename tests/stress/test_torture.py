"""A short torture passes, and one of a queue that breaks a promise does not."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.stress.arrays import HAS_NUMPY
from tests.stress.mix import SHARES, choose, parse_mix, show_mix

ROOT = Path(__file__).parents[2]


def torture(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tests/stress/torture.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def counted(output: str, name: str) -> int:
    """Read a number of the table at the end."""
    [line] = [line for line in output.splitlines() if line.startswith(f"{name} ")]
    return int(line.removeprefix(name).split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--seed", "1"), ("--seed", "2", "--stop")], ids=["kills", "stops"])
def test_nothing_is_lost_doubled_stuck_or_left(options: tuple[str, ...]) -> None:
    result = torture("--kills", "40", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert counted(result.stdout, "kills") >= 40
    assert counted(result.stdout, "items passed") > 0
    assert counted(result.stdout, "locks entered") > 0
    assert counted(result.stdout, "permits taken") > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("queue", "fault"),
    [
        ("dropping", "lost"),
        ("doubling", "doubled"),
        ("stdlib", "stuck"),
        ("uncounted", "miscounted"),
        ("forgetting", "lost"),
        ("unnamed", "misnamed"),
        ("reusing", "torn"),
        pytest.param("aliasing", "torn", marks=pytest.mark.skipif(not HAS_NUMPY, reason="no numpy")),
    ],
    ids=lambda word: word,
)
def test_broken_queue_is_found_out(queue: str, fault: str) -> None:
    spare = ["--spare-consumers"] * (queue == "dropping")
    # Ends at the first fault.
    result = torture("--kills", "600", "--seed", "1", "--no-trees", "--start-methods", "fork", "--queue", queue, *spare)
    assert result.returncode == 1, result.stdout + result.stderr
    assert counted(result.stdout, fault) > 0, result.stdout + result.stderr
    assert "again: " in result.stdout


def test_mix_of_start_methods() -> None:
    mix = parse_mix("spawn=0.25,forkserver")
    assert parse_mix(show_mix(mix)) == mix == {"spawn": 0.25, "forkserver": SHARES["forkserver"]}
    rng = random.Random(1)
    drawn = Counter(choose(rng, {"fork": 3, "spawn": 1}) for _ in range(1000))
    assert 650 < drawn["fork"] < 850
    assert drawn.total() == drawn["fork"] + drawn["spawn"]


@pytest.mark.parametrize("text", ["threads", "fork=", "fork=0", "fork=-1", ""])
def test_wrong_mix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of|above 0"):
        parse_mix(text)
