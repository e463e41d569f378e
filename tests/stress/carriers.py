"""Shared arrays that go round: each carrier takes one, looks at it, writes to it, and passes it on.

An array is one piece of memory for all who have it, so what may change is told from what may not: its body follows from
its number and is never written again. A body that is another's shows memory that was given out twice, or freed too early.
"""

from __future__ import annotations

import os
import queue as stdlib_queue
import random
from typing import Any

import procession
from tests.stress.arrays import HAS_NUMPY, LARGEST, Broken, expected
from tests.stress.ledger import ITEMS, Ledger
from tests.stress.pace import NICENESS, nap

__all__ = ["BODY", "can_carry", "carry", "check_body", "make_shared"]

WANTED = 4  # arrays that go round
WORDS = 4  # at the beginning, free for all to write: times passed on, last writer; the others are spare
BODY = WORDS * 8


def can_carry() -> bool:
    """Can there be shared arrays?"""
    return HAS_NUMPY and hasattr(procession, "shared_array")


def make_shared(rng: random.Random, number: int) -> Any:
    """Make an array that tells its number."""
    length = rng.choice((64, 4096, 32 << 10, 100 << 10, 1 << 20, LARGEST))
    array = procession.shared_array(BODY + length, "u1", fill=rng.choice((0, None)))
    array[:BODY] = 0
    array[BODY:] = memoryview(expected(number, length))
    return array


def check_body(number: int, body: Any) -> None:
    """Broken if this is not the body of that array."""
    found = bytes(body.data)
    if found != expected(number, len(found)):
        raise Broken(f"torn: shared array {number:#x} of {len(found)} bytes is now {found[:32].hex()}")


def carry(ledger: Ledger, number: int, circle: Any, first: tuple[int, Any], seed: int) -> None:
    """Pass arrays on until it is told to finish. `first`: one that came as an argument of the start."""
    rng = random.Random(seed)
    line = ledger.line(number)
    leased = hasattr(circle, "task_done")
    made = 0
    identity, array = first
    kept = [(identity, array[BODY:])]  # views, which keep the memory alive
    os.nice(NICENESS)
    line.began = 1
    while not ledger.finishing:
        line.beats += 1
        try:
            identity, hops, array = circle.get(timeout=rng.random() * 0.01)
        except stdlib_queue.Empty:
            if circle.qsize() < WANTED and made < ITEMS:
                circle.put((number * ITEMS + made, 0, make_shared(rng, number * ITEMS + made)))
                made += 1
            continue
        line.received += 1
        check_body(identity, array[BODY:])
        words = array[:BODY].view("<u8")
        if words[0] < hops and not leased:  # what was redelivered may go round twice
            raise Broken(f"shared array {identity:#x} was passed on {hops} times, and tells of {words[0]}")
        words[0] = hops + 1
        words[1] = os.getpid()
        kept.append((identity, array[BODY:]))
        if rng.random() < 0.95:  # else it leaves the circle, and lives as long as somebody keeps it
            circle.put((identity, hops + 1, array))
        if leased:
            circle.task_done()
        line.bulky += 1
        line.bulk += array.nbytes
        del array, words
        while len(kept) > rng.randrange(1, 5):
            check_body(*kept.pop(rng.randrange(len(kept))))
        nap(rng, 0.3)
    for one in kept:
        check_body(*one)
