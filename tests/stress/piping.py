"""A torture of its own for pipes: SIGKILL at random of those at either end.

    python -m tests.stress.piping --kills 500 --seed 1

At each end sits a process (``places.py``) that is replaced sometimes only when the peer has been told of its death. Held against:
somebody who is alive and does not get on, a death that the peer is not told of, a message that is broken, missing, doubled or out of
order, bytes that are left. Missing may be one message for each death of its receiver: what he had in his hands.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import procession
from tests.stress import places

LANES = 6  # every other one is duplex
SEATS = 2 * LANES
SMALL = [0, 10, 1000]  # so that two who send to each other never both wait for room
SIZES = [*SMALL, 60_000, 400_000]  # these go in buffers, and soon fill a pipe


class Notes:
    """What the processes tell, a number for each seat: written by one store, so that no death leaves half of it."""

    def __init__(self) -> None:
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


Place = tuple[Notes, Any, int, int, int]  # beats, seat, life, deaths at this seat


class Voice:
    """Messages of one life at one end, where others have died before."""

    def __init__(self, place: Place, connection: Any, sizes: list[int]) -> None:
        self.notes, self.beats, self.seat, self.life, self.deaths = place
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
        self.beats[self.seat] += 1
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
        self.beats[self.seat] += 1
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


class Piping(places.Places):
    """The pipes, and who sits at their ends."""

    def furnish(self) -> Sequence[places.Sitter]:
        self.notes = Notes()
        self.pipes = [procession.Pipe(duplex=lane % 2 == 1, name=f"lane {lane}") for lane in range(LANES)]
        self.lives = self.told = 0
        self.late = 0.0
        return [
            (target, self.pipes[lane][side])
            for lane in range(LANES)
            for side, target in enumerate(((read, write), (ask, answer))[lane % 2])
        ]

    def arguments(self, seat: int) -> tuple[Any, ...]:
        self.lives += 1
        return (self.notes, self.beats, seat, self.lives, self.deaths[seat]), self.seats[seat][1]

    def end(self, seat: int) -> None:
        self.ends_before = int(self.notes.ends[seat ^ 1])
        super().end(seat)

    def after_death(self, seat: int) -> None:
        """Sometimes wait: the peer, who lives, must be told that nobody is left, though all others have inherited the end."""
        if self.rng.random() < 0.5:
            return
        began = time.monotonic()
        while self.notes.ends[seat ^ 1] == self.ends_before:
            if time.monotonic() - began > places.STUCK:
                raise RuntimeError(f"not told of a death: seat {seat}, {self.seats[seat][1]!r}")
            time.sleep(0.0005)
        self.late = max(self.late, time.monotonic() - began)
        self.told += 1

    def judge(self) -> None:
        for pair in self.pipes:
            for connection in pair:
                connection.close()
        if self.beats.sum() < self.kills:
            raise RuntimeError(f"only {self.beats.sum()} messages: nothing was tested")

    def tell(self) -> str:
        return f"; {self.told} times waited until the peer was told, {self.late * 1000:.0f} ms at worst"


if __name__ == "__main__":
    places.run(Piping, "tests.stress.piping", __doc__)
