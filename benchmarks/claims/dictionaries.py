"""Reading and writing a dict that several processes share, beside the one of multiprocessing's Manager."""

from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Part, perform

OURS, MANAGER = "procession.SharedDict", "multiprocessing.Manager().dict()"
KEYS = [f"key {i}" for i in range(1000)]
VALUE = ("a value", 1, 2.5)

Way = Callable[[Any, int], Part]


def read(shared: Any, count: int) -> Part:
    shared[KEYS[0]]
    yield
    for i in range(count):
        shared[KEYS[i % 1000]]


def write(shared: Any, count: int) -> Part:
    shared[KEYS[0]] = VALUE
    yield
    for i in range(count):
        shared[KEYS[i % 1000]] = VALUE


def mixed(shared: Any, count: int) -> Part:
    """Nine reads to a write."""
    shared[KEYS[0]] = VALUE
    yield
    for i in range(count):
        if i % 10:
            shared[KEYS[i % 1000]]
        else:
            shared[KEYS[i % 1000]] = VALUE


def measure(make: Callable[[], Any], way: Way, processes: int, count: int) -> Sample:
    """All together: calls in a second."""
    shared = make()
    shared.update(dict.fromkeys(KEYS, VALUE))
    each = max(count // processes, 1)
    seconds = perform([partial(way, shared, each)] * processes).seconds
    return Sample(seconds, each * processes / seconds)


def with_manager(way: Way, processes: int, count: int) -> Sample:
    with FORK.Manager() as manager:
        return measure(manager.dict, way, processes, count)


def case(title: str, way: Way, processes: int) -> Case:
    return Case(
        title,
        "calls/s",
        {OURS: partial(measure, procession.SharedDict, way, processes), MANAGER: partial(with_manager, way, processes)},
        [Ratio(OURS, MANAGER, 50)],
    )


CLAIM = Claim(
    "dictionaries",
    "a shared dict of 1,000 items",
    [
        case("read, alone", read, 1),
        case("write, alone", write, 1),
        case("read, 2 processes", read, 2),
        case("write, 2 processes", write, 2),
        case("9 reads to a write, 4 processes", mixed, 4),
        case("read, 4 processes", read, 4),
        case("write, 4 processes", write, 4),
    ],
)
