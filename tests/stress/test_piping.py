"""A short torture of those at the ends of pipes, with a seed for each run; and that it is not blind."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

import procession
from tests.stress import piping, places


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ones_hold_up_nobody(seed: int) -> None:
    assert places.torture(piping.Piping, 60, seed).kills >= 60


def test_a_pipe_that_tells_nobody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its descriptors are inherited by everybody, so no death is an end of file.
    def pipe(duplex: bool, name: str) -> Any:
        return multiprocessing.Pipe(duplex)

    monkeypatch.setattr(procession, "Pipe", pipe)
    monkeypatch.setattr(places, "STUCK", 2.0)
    monkeypatch.setattr(places, "METHODS", ["fork"])
    with pytest.raises(RuntimeError, match=r"not told of a death|stuck|ended by itself"):
        places.torture(piping.Piping, 20, 1)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ((3, 7, b"\7\7"), "message 3:7 after 3:7"),
        ((3, 6, b""), "message 3:6 after 3:7"),
        ((3, 10, b""), "message 3:10 after 3:7, 1 deaths"),
        ((2, 8, b""), "of life 2 after one of 3"),
        ((4, 3, b""), "message 4:3 after 3:7, 1 deaths"),
        ((3, 8, b"\x08\x07"), "is broken"),
    ],
)
def test_a_message_lost_or_doubled_is_found(message: tuple[int, int, bytes], fault: str) -> None:
    notes = piping.Notes()
    for number in range(1, 8):
        notes.receive(0, 0, (3, number, bytes([number]) * number))
    with pytest.raises(AssertionError, match=fault):
        notes.receive(0, 1, message)
    notes.receive(0, 1, (3, 9, b""))  # one was in the hands of the dead
