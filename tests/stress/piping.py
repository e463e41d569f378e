"""A torture of its own for pipes: SIGKILL at random of those at either end.

    python -m tests.stress.piping --kills 500 --seed 1

At each end sits a process that is killed at any moment, and replaced, sometimes only when the peer has been told of it. Held against:
somebody who is alive and does not get on, a death that the peer is not told of, a message that is broken, missing, doubled or out of
order, bytes that are left. Missing may be one message for each death of its receiver: what he had in his hands.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from typing import Any

import procession
from procession._memory.domain import domains

STUCK = 30.0  # seconds in which one that is alive does nothing
LANES = 6  # every other one is duplex
SEATS = 2 * LANES
METHODS = ["fork", "fork", "fork", "forkserver"]
SMALL = [0, 10, 1000]  # so that two who send to each other never both wait for room
SIZES = [*SMALL, 60_000, 400_000]  # these go in buffers, and soon fill a pipe


class Notes:
    """What the processes tell, a number for each seat: written by one store, so that no death leaves half of it."""

    def __init__(self) -> None:
        self.beats = procession.shared_array(SEATS, "q")
        self.ends = procession.shared_array(SEATS, "q")  # how often it was told that the other end is over
        self.received = procession.shared_array(SEATS, "q")  # the last message: life << 43 | number << 15 | deaths

    def receive(self, seat: int, deaths: int, message: tuple[int, int, bytes]) -> None:
        """Compare with the last message that was noted at this seat, perhaps by another process; `deaths` were there before it came."""
        life, number, payload = message
        assert payload == bytes([number % 256]) * len(payload), f"message {number} is broken"
        last = int(self.received[seat])
        last_life, last_number, more = last >> 43, last >> 15 & 0xFFFFFFF, deaths - (last & 0x7FFF)
        assert life >= last_life, f"a message of life {life} after one of {last_life}"
        gap = number - (last_number if life == last_life else 0)
        assert 1 <= gap <= 1 + more, f"message {life}:{number} after {last_life}:{last_number}, {more} deaths"
        self.received[seat] = life << 43 | number << 15 | deaths
        self.beats[seat] += 1


Place = tuple[Notes, int, int, int]  # seat, life, deaths at this seat


class Voice:
    """Messages of one life at one end, where others have died before."""

    def __init__(self, place: Place, connection: Any, sizes: list[int]) -> None:
        self.notes, self.seat, self.life, self.deaths = place
        self.connection, self.sizes = connection, sizes
        self.number = 0
        self.rng = random.Random(self.life)

    def send(self) -> bool:
        """False: nobody is there."""
        payload = bytes([(self.number + 1) % 256]) * self.rng.choice(self.sizes)
        try:
            self.connection.send((self.life, self.number + 1, payload))
        except BrokenPipeError:
            self.nobody_is_there()
            return False
        self.number += 1
        self.notes.beats[self.seat] += 1
        return True

    def receive(self) -> bool:
        """False: nobody is there."""
        try:
            if self.rng.random() < 0.3:
                self.connection.poll(None)
            message = self.connection.recv()
        except EOFError:
            self.nobody_is_there()
            return False
        self.notes.receive(self.seat, self.deaths, message)
        return True

    def nobody_is_there(self) -> None:
        self.notes.ends[self.seat] += 1
        time.sleep(0.001)


def write(place: Place, connection: Any) -> None:
    """Send, as fast as there is room."""
    voice = Voice(place, connection, SIZES)
    while True:
        voice.send()


def read(place: Place, connection: Any) -> None:
    """Receive all."""
    voice = Voice(place, connection, SIZES)
    while True:
        voice.receive()


def ask(place: Place, connection: Any) -> None:
    """Send, and wait for an answer; ask again if who should answer is dead."""
    voice = Voice(place, connection, SMALL)
    while True:
        if voice.send():
            voice.receive()


def answer(place: Place, connection: Any) -> None:
    """Answer each message, and say something first: the question may have been in the hands of a dead one."""
    voice = Voice(place, connection, SMALL)
    voice.send()
    while True:
        if voice.receive():
            voice.send()


class Torture:
    """The pipes, the seats at their ends, and who sits there."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.notes = Notes()
        self.pipes = [procession.Pipe(duplex=lane % 2 == 1, name=f"lane {lane}") for lane in range(LANES)]
        self.processes: list[Any] = [None] * SEATS
        self.last: list[tuple[int, float]] = [(0, 0.0)] * SEATS
        self.deaths = [0] * SEATS
        self.lives = self.kills = self.told = 0
        self.worst = 0.0

    def sit(self, seat: int) -> None:
        lane, side = divmod(seat, 2)
        target = ((read, write), (ask, answer))[lane % 2][side]
        method = self.rng.choice(METHODS)
        self.lives += 1
        args = ((self.notes, seat, self.lives, self.deaths[seat]), self.pipes[lane][side])
        process = procession.Process(target=target, args=args, daemon=True, start_method=method)
        process.start()
        self.processes[seat] = process
        self.last[seat] = (int(self.notes.beats[seat]), time.monotonic())

    def look(self) -> None:
        now = time.monotonic()
        for seat, process in enumerate(self.processes):
            if process is None:
                continue
            if process.exitcode is not None:
                raise RuntimeError(f"seat {seat} ended by itself: {process.outcome}")
            if self.notes.beats[seat] != self.last[seat][0]:
                self.last[seat] = (int(self.notes.beats[seat]), now)
            elif now - self.last[seat][1] > STUCK:
                raise RuntimeError(f"stuck: pid {process.pid} at seat {seat}, {self.pipes[seat // 2][seat % 2]!r}")

    def strike(self) -> None:
        seat = self.rng.randrange(SEATS)
        before = int(self.notes.ends[seat ^ 1])
        self.processes[seat].kill()
        self.processes[seat].join()
        self.processes[seat].close()
        self.processes[seat] = None
        self.kills += 1
        self.deaths[seat] += 1
        if self.rng.random() < 0.5:
            self.wait_until_told(seat ^ 1, before)
        self.sit(seat)

    def wait_until_told(self, seat: int, before: int) -> None:
        """The peer, who lives, must be told that nobody is left, though all others have inherited the end."""
        began = time.monotonic()
        while self.notes.ends[seat] == before:
            if time.monotonic() - began > STUCK:
                raise RuntimeError(f"not told of a death: seat {seat}, {self.pipes[seat // 2][seat % 2]!r}")
            time.sleep(0.0005)
        self.worst = max(self.worst, time.monotonic() - began)
        self.told += 1

    def get_on(self, times: int) -> None:
        """Until everybody has got on so often without anybody being killed."""
        goal = [int(beat) + times for beat in self.notes.beats]
        while any(self.notes.beats[seat] < beats for seat, beats in enumerate(goal)):
            self.look()
            time.sleep(0.002)

    def run(self, kills: int) -> None:
        for seat in range(SEATS):
            self.sit(seat)
        try:
            while self.kills < kills:
                time.sleep(self.rng.uniform(0, 0.02))
                self.look()
                self.strike()
            self.get_on(5)
        finally:
            for process in filter(None, self.processes):
                process.kill()
                process.join()
                process.close()
        for pair in self.pipes:
            for connection in pair:
                connection.close()
        domains.current().sweep()


def torture(kills: int, seed: int) -> Torture:
    """A whole run; RuntimeError says what went wrong."""
    domain = domains.current()
    gc.collect()
    domain.sweep()
    before = {kind: domain.used()[kind] for kind in ("payloads", "segments")}
    done = Torture(seed)
    done.run(kills)
    messages = done.notes.beats.sum()
    done.notes.__dict__.clear()
    gc.collect()
    domain.sweep()
    left = {kind: domain.used()[kind] - count for kind, count in before.items()}
    # Less than before is no leak: what was free already is given back after some idle seconds.
    if any(count > 0 for count in left.values()):
        raise RuntimeError(f"bytes are left behind: {left}")
    if messages < kills:
        raise RuntimeError(f"only {messages} messages: nothing was tested")
    return done


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=500)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = options.parse_args()
    print(f"python -m tests.stress.piping --kills {given.kills} --seed {given.seed}", flush=True)
    began = time.monotonic()
    done = torture(given.kills, given.seed)
    print(
        f"{done.kills} kills, {done.told} of them waited for until the peer was told, {done.worst * 1000:.0f} ms at worst; "
        f"{time.monotonic() - began:.1f} s: nobody stuck, no message broken, lost or doubled, nothing left behind"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
