"""A message there and one back over a Pipe, small and large."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import Part, perform

OURS = "procession.Pipe"
MP_PIPE = "multiprocessing.Pipe"
PIPES: dict[str, Callable[[], Any]] = {OURS: procession.Pipe, MP_PIPE: multiprocessing.Pipe}
LARGE = os.urandom(1 << 20)  # not zeros: pages that nobody wrote are one page, and reading them costs nothing


def ask(connection: Any, message: bytes | None, count: int) -> Part:
    """The median of the round trips, in seconds. None: small objects; else bytes."""
    send, recv = (
        (connection.send, connection.recv) if message is None else (connection.send_bytes, connection.recv_bytes)
    )
    clock = time.perf_counter
    send(message)
    recv()
    yield
    trips = []
    for _ in range(count):
        begin = clock()
        send(message)
        recv()
        trips.append(clock() - begin)
    return statistics.median(trips)


def answer(connection: Any, message: bytes | None, count: int) -> Part:
    send, recv = (
        (connection.send, connection.recv) if message is None else (connection.send_bytes, connection.recv_bytes)
    )
    send(recv())
    yield
    for _ in range(count):
        send(recv())


def round_trips(peer: str, message: bytes | None) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        ours, theirs = PIPES[peer]()
        with ours, theirs:
            outcome = perform([partial(ask, ours, message, count), partial(answer, theirs, message, count)])
        return Sample(outcome.seconds, outcome.returned[0] * 1e6)

    return measure


def case(title: str, message: bytes | None, claimed: float) -> Case:
    return Case(
        title,
        "us",
        {peer: round_trips(peer, message) for peer in PIPES},
        [Ratio(OURS, MP_PIPE, claimed)],
        more_is_better=False,
    )


CLAIM = Claim(
    "pipes",
    "there and back over a Pipe, median",
    [case("small object", None, 3), case("16 bytes", bytes(16), 3), case("1 MiB of bytes", LARGE, 5)],
)
