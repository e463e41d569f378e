"""Templates are killed at random instants while many children are started: none is lost or doubled, nothing is left."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sized
from typing import Any

import pytest

import procession
from procession._process import templates as module
from procession._process.templates import templates

THREADS, STARTS = 3, 60


class Killer(threading.Thread):
    """Kills what serves or is on trial, and stops it before at times, so that it dies with a question unread.

    On a busy machine too there is a start between two kills.
    """

    def __init__(self, seed: int, results: Sized) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.results = results
        self.done = threading.Event()
        self.kills = 0

    def run(self) -> None:
        seen = -1
        while not self.done.wait(self.rng.random() * self.rng.choice((0.002, 0.02, 0.2))):
            if len(self.results) == seen:
                continue
            seen = len(self.results)
            trial = templates.trial
            victims = [templates.serving, trial.template if trial is not None else None]
            children = [child for victim in victims if (child := getattr(victim, "child", None)) is not None]
            if not children:
                continue
            child = self.rng.choice(children)
            if self.rng.random() < 0.3:
                child.signal(signal.SIGSTOP)
                time.sleep(self.rng.random() * 0.01)
                if self.rng.random() < 0.5:  # a moment in which it takes the question, and may answer
                    child.signal(signal.SIGCONT)
                    time.sleep(self.rng.random() * 0.001)
            self.kills += child.signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_templates_lose_and_double_no_child(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    out: Any = procession.SimpleQueue()
    started: list[int] = []

    def start_some(first: int) -> None:
        for number in range(first, first + STARTS):
            process = procession.Process(target=out.put, args=(number,), start_method="forkserver")
            process.start()
            process.join()
            assert str(process.outcome) == "finished"
            process.close()
            started.append(number)

    killer = Killer(seed, started)
    threads = [threading.Thread(target=start_some, args=(1000 * i,)) for i in range(THREADS)]
    killer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    killer.done.set()
    killer.join()
    came: Counter[int] = Counter()
    while not out.empty():
        came[out.get()] += 1
    assert came == Counter(started)
    assert len(started) == THREADS * STARTS
    assert killer.kills > 0
    while templates.tend():
        time.sleep(0.01)
