"""Taking a lock and giving it back: alone, and with others who want it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK, Part, perform

MUTEX, LOCK, MP_LOCK = "procession.Mutex", "procession.Lock", "multiprocessing.Lock"
LOCKS: dict[str, Callable[[], Any]] = {MUTEX: procession.Mutex, LOCK: procession.Lock, MP_LOCK: FORK.Lock}


def with_statement(lock: Any, count: int) -> Part:
    with lock:
        pass
    yield
    for _ in range(count):
        with lock:
            pass


def method_calls(lock: Any, count: int) -> Part:
    acquire, release = lock.acquire, lock.release
    acquire()
    release()
    yield
    for _ in range(count):
        acquire()
        release()


def pairs(kind: str, way: Callable[[Any, int], Part], processes: int) -> Callable[[int], Sample]:
    """Measures how often all together take it in a second."""

    def measure(count: int) -> Sample:
        lock = LOCKS[kind]()
        each = max(count // processes, 1)
        seconds = perform([partial(way, lock, each)] * processes).seconds
        return Sample(seconds, each * processes / seconds)

    return measure


def case(title: str, way: Callable[[Any, int], Part], processes: int, mutex: float, lock: float) -> Case:
    return Case(
        title,
        "pairs/s",
        {kind: pairs(kind, way, processes) for kind in LOCKS},
        [Ratio(MUTEX, MP_LOCK, mutex), Ratio(LOCK, MP_LOCK, lock)],
    )


CLAIM = Claim(
    "locks",
    "acquire and release",
    [
        case("alone, with statement", with_statement, 1, mutex=0.9, lock=0.8),
        case("alone, method calls", method_calls, 1, mutex=0.9, lock=0.8),
        case("2 processes, with statement", with_statement, 2, mutex=2, lock=2),
        case("4 processes, with statement", with_statement, 4, mutex=2, lock=2),
    ],
)
