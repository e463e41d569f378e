"""Two programs share queues, a lock and a counter, and either is killed at a random moment: the other goes on, and nothing is lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAIR = Path(__file__).with_name("pair.py")


def start(role: str, report: Path, *more: str) -> subprocess.Popen[str]:
    report.touch()
    command = [sys.executable, "-W", "error", str(PAIR), role, str(report), *more]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_survivor_misses_nothing_and_sees_nothing_twice(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    for turn in range(15):
        reports = [tmp_path / f"{turn}.{half}" for half in (0, 1)]
        first = start("first", reports[0])
        second = start("second", reports[1], str(first.pid))
        pair = (first, second)
        try:
            time.sleep(chance.random() / 5)
            victim = chance.randrange(2)
            pair[victim].kill()
            pair[victim].wait()
            told = reports[victim].read_text()
            done = {what: told.count(what) for what in "pga"}  # and at most one more of each
            time.sleep(chance.random() / 50)
            answer, _ = pair[1 - victim].communicate("stop\n")
        finally:
            for program in pair:
                program.kill()
                program.communicate()
        seen = json.loads(answer)
        # What the victim had put is there, in order, whole and once; what it had not told it may have put.
        assert seen["got"] == list(range(len(seen["got"])))
        assert done["p"] <= len(seen["got"]) <= done["p"] + 1
        # What the survivor had put and the victim had not taken is there.
        assert seen["left"] == list(range(seen["puts"] - len(seen["left"]), seen["puts"]))
        assert done["g"] <= seen["puts"] - len(seen["left"]) <= done["g"] + 1
        # Nobody added beside another.
        assert done["a"] <= seen["total"] - seen["added"] <= done["a"] + 1
        assert seen["added"] > 0
