"""A torture of its own for events, conditions and barriers: SIGKILL at random of those who wait, notify, set and meet.

    python -m tests.stress.waiting --kills 500 --seed 1

At each of three places sit some processes that are killed at any moment, and replaced. Held against: somebody who is alive and does not
get on, a line of the dead that is left, bytes that are left. A driver, who is never killed, notifies and sets
all the time; among the workers there are some that do so too, and are killed in it.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

import procession
from procession._memory.domain import domains

STUCK = 30.0  # seconds in which one that is alive does nothing
PARTIES = 3
SEATS = 12
METHODS = ["fork", "fork", "fork", "forkserver"]


def wait_at_condition(beats: Any, seat: int, condition: Any) -> None:
    """Be notified again and again; every third time notify others."""
    while True:
        with condition:
            condition.wait()
            if beats[seat] % 3 == 0:
                condition.notify(2)
        beats[seat] += 1


def wait_for_event(beats: Any, seat: int, event: Any) -> None:
    """See it set again and again; every third time set and clear it oneself."""
    while True:
        event.wait()
        if beats[seat] % 3 == 0:
            event.set()
        event.clear()
        beats[seat] += 1


def meet_at_barrier(beats: Any, seat: int, barrier: Any) -> None:
    """Meet the others, or mend what one of them has broken by its death."""
    while True:
        try:
            barrier.wait()
        except BrokenBarrierError:
            if barrier.broken:
                barrier.reset()
        beats[seat] += 1


class Torture:
    """The places, the seats at them, and who sits there."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        lock: Any = self.rng.choice([procession.Lock, procession.RLock])()
        self.condition = procession.Condition(lock)
        self.event = procession.Event()
        self.barrier = procession.Barrier(PARTIES)
        self.beats = procession.shared_array(SEATS, "q")
        places: list[tuple[Callable[..., None], Any]] = [
            (wait_at_condition, self.condition),
            (wait_for_event, self.event),
            (meet_at_barrier, self.barrier),
        ]
        self.seats = [places[seat % len(places)] for seat in range(SEATS - 3)]
        self.processes: list[Any] = [None] * len(self.seats)
        self.last: list[tuple[int, float]] = [(0, 0.0)] * len(self.seats)
        self.kills = 0
        self.begun = [False] * len(self.seats)  # has it got on once: what a start takes is not counted
        self.worst = dict.fromkeys((target.__name__ for target, _ in places), 0.0)

    def sit(self, seat: int) -> None:
        target, what = self.seats[seat]
        method = self.rng.choice(METHODS)
        process = procession.Process(target=target, args=(self.beats, seat, what), daemon=True, start_method=method)
        process.start()
        self.processes[seat] = process
        self.last[seat] = (int(self.beats[seat]), time.monotonic())
        self.begun[seat] = False

    def drive(self) -> None:
        """What somebody must do so that those who wait can get on."""
        with self.condition:
            self.condition.notify(self.rng.choice((1, 1, 2, 100)))
        self.event.set()
        time.sleep(self.rng.uniform(0, 0.002))

    def look(self) -> None:
        now = time.monotonic()
        for seat, process in enumerate(self.processes):
            beats, since = self.last[seat]
            if process.exitcode is not None:
                raise RuntimeError(f"{self.seats[seat][0].__name__} ended by itself: {process.outcome}")
            if self.beats[seat] != beats:
                self.last[seat] = (int(self.beats[seat]), now)
                self.begun[seat] = True
            elif self.begun[seat]:
                name = self.seats[seat][0].__name__
                self.worst[name] = max(self.worst[name], now - since)
            if now - self.last[seat][1] > STUCK:
                what = self.seats[seat][1]
                raise RuntimeError(f"stuck: pid {process.pid}, {self.seats[seat][0].__name__}, {what!r}")

    def strike(self) -> None:
        seat = self.rng.randrange(len(self.seats))
        self.processes[seat].kill()
        self.processes[seat].join()
        self.processes[seat].close()
        self.kills += 1
        self.sit(seat)

    def get_on(self, times: int) -> None:
        """Until everybody has got on so often without anybody being killed."""
        goal = [int(beat) + times for beat in self.beats[: len(self.seats)]]
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
            for process in self.processes:
                process.kill()
                process.join()
                process.close()
        domains.current().sweep()
        if self.condition.statistics()[1:] != (0, 0) or self.barrier.n_waiting != 0:
            raise RuntimeError(f"lines of the dead are left: {self.condition!r}, {self.barrier!r}")


def torture(kills: int, seed: int) -> Torture:
    """A whole run; RuntimeError says what went wrong."""
    done = Torture(seed)
    done.run(kills)
    return done


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=500)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = options.parse_args()
    print(f"python -m tests.stress.waiting --kills {given.kills} --seed {given.seed}", flush=True)
    began = time.monotonic()
    done = torture(given.kills, given.seed)
    gaps = ", ".join(f"{name} {gap * 1000:.0f} ms" for name, gap in done.worst.items())
    print(
        f"{done.kills} kills, {sum(done.beats)} times somebody got on; worst gaps: {gaps} (there the start of a new one "
        f"counts too); {time.monotonic() - began:.1f} s: nobody stuck, nothing left behind"
    )
    del done
    gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
