"""What the smaller tortures share: seats at some places, and who sits there is killed at any moment and replaced.

A sitter is a function of (beats, seat, place) that never returns; each time it gets on it adds to its own beat. Held against: somebody
who is alive and does not get on, and whoever ends by himself: a wrong thing that he saw is an exception.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import procession
from procession._memory.domain import domains

LEFT = ("payloads", "segments")
STUCK = 30.0  # seconds in which one that is alive does nothing
METHODS = ["fork", "fork", "fork", "forkserver"]


class Result(NamedTuple):
    """What a run came to."""

    kills: int
    beats: int  # how often somebody got on
    worst: dict[str, float]  # seconds in which one that was alive did not get on; the start of a new one counts too
    more: str = ""  # what else there is to tell


Sitter = tuple[Callable[..., None], Any]  # and the place


class Places:
    """The seats, and who sits there."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seats: Sequence[Sitter] = self.furnish()
        self.beats = procession.shared_array(len(self.seats), "q", name="beats")
        self.processes: list[Any] = [None] * len(self.seats)
        self.last: list[tuple[int, float]] = [(0, 0.0)] * len(self.seats)
        self.begun = [False] * len(self.seats)  # has it got on once: what a start takes is not counted
        self.deaths = [0] * len(self.seats)
        self.worst = dict.fromkeys((target.__name__ for target, _ in self.seats), 0.0)

    # -- what a torture says of itself

    def furnish(self) -> Sequence[Sitter]:
        """Make the places and say who sits there."""
        raise NotImplementedError

    def drive(self) -> None:
        """Do what somebody must do so that those who wait can get on."""
        time.sleep(self.rng.uniform(0, 0.01))

    def arguments(self, seat: int) -> tuple[Any, ...]:
        """What who sits there is given."""
        return self.beats, seat, self.seats[seat][1]

    def judge(self) -> None:
        """Look at what is left when all have been killed: RuntimeError says what is wrong."""

    def close(self) -> None:
        """Give back what does not go by itself."""

    def tell(self) -> str:
        """What else the run has to tell."""
        return ""

    # -- the rest

    @property
    def kills(self) -> int:
        """How many so far."""
        return sum(self.deaths)

    def deaths_of(self, target: Callable[..., None]) -> int:
        """How many of those who did this."""
        return sum(dead for dead, (does, _) in zip(self.deaths, self.seats, strict=True) if does is target)

    def sit(self, seat: int) -> None:
        process = procession.Process(
            target=self.seats[seat][0], args=self.arguments(seat), daemon=True, start_method=self.rng.choice(METHODS)
        )
        process.start()
        self.processes[seat] = process
        self.last[seat] = (int(self.beats[seat]), time.monotonic())
        self.begun[seat] = False

    def look(self) -> None:
        now = time.monotonic()
        for seat, process in enumerate(self.processes):
            beats, since = self.last[seat]
            target, place = self.seats[seat]
            if process is None:
                continue
            if process.exitcode is not None:
                raise RuntimeError(f"{target.__name__} ended by itself: {process.outcome}")
            if self.beats[seat] != beats:
                self.last[seat] = (int(self.beats[seat]), now)
                self.begun[seat] = True
            elif self.begun[seat]:
                self.worst[target.__name__] = max(self.worst[target.__name__], now - since)
            if now - self.last[seat][1] > STUCK:
                raise RuntimeError(f"stuck: pid {process.pid}, {target.__name__}, {place!r}")

    def choose(self) -> int:
        """Whom to kill next."""
        return self.rng.randrange(len(self.seats))

    def strike(self) -> None:
        seat = self.choose()
        self.end(seat)
        self.after_death(seat)
        self.sit(seat)

    def after_death(self, seat: int) -> None:
        """Before the seat is taken again."""

    def end(self, seat: int) -> None:
        self.deaths[seat] += 1
        process = self.processes[seat]
        process.kill()
        process.join()
        process.close()
        self.processes[seat] = None

    def get_on(self, times: int) -> None:
        """Until everybody has got on so often without anybody being killed."""
        goal = [int(beat) + times for beat in self.beats]
        while any(self.beats[seat] < beats for seat, beats in enumerate(goal)):
            self.drive()
            self.look()

    def run(self, kills: int) -> None:
        for seat in range(len(self.seats)):
            self.sit(seat)
        try:
            while self.kills < kills:
                for _ in range(self.rng.randrange(1, 12)):
                    self.drive()
                self.look()
                self.strike()
            self.get_on(5)
        finally:
            for seat, process in enumerate(self.processes):
                if process is not None:
                    self.end(seat)
        try:
            domains.current().sweep()
            self.judge()
        finally:
            self.close()


def torture(kind: type[Places], kills: int, seed: int) -> Result:
    """A whole run; RuntimeError says what went wrong."""
    domain = domains.current()
    gc.collect()
    domain.sweep()
    before = {what: domain.used()[what] for what in LEFT}
    done = kind(seed)
    done.run(kills)
    result = Result(done.kills, int(done.beats.sum()), done.worst, done.tell())
    del done
    gc.collect()
    domain.sweep()
    left = {what: domain.used()[what] - count for what, count in before.items()}
    # Less than before is no leak: what was free already is given back after some idle seconds.
    if any(count > 0 for count in left.values()):
        raise RuntimeError(f"left behind: {left}")
    return result


def run(kind: type[Places], module: str, description: str | None) -> None:
    """Run one from the command line, and say what came out."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--kills", type=int, default=500)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = options.parse_args()
    print(f"python -m {module} --kills {given.kills} --seed {given.seed}", flush=True)
    began = time.monotonic()
    done = torture(kind, given.kills, given.seed)
    gaps = ", ".join(f"{name} {gap * 1000:.0f} ms" for name, gap in done.worst.items())
    print(
        f"{done.kills} kills, {done.beats} times somebody got on; worst gaps: {gaps} (there the start of a new one "
        f"counts too); {time.monotonic() - began:.1f} s: nobody stuck, nothing wrong, nothing left behind{done.more}"
    )
