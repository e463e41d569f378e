"""A pool of processes: what a task costs beside its work."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import procession
from benchmarks.runner import Case, Claim, Ratio, Sample
from benchmarks.team import FORK

OURS, PEER = "procession.Pool", "multiprocessing.Pool"
POOLS: dict[str, Callable[[int], Any]] = {OURS: procession.get_context("fork").Pool, PEER: FORK.Pool}
WORKERS = 2
WARM_UP = 200
TINY = 100_000
MEGABYTE = 1 << 17  # float64


def identity(value: Any) -> Any:
    return value


def one_more(array: Any) -> Any:
    return array + 1


def map_many(pool: Any, count: int) -> None:
    for _ in range(count):
        pool.map(identity, range(TINY))


def apply_each(pool: Any, count: int) -> None:
    for number in range(count):
        pool.apply(identity, (number,))


def iterate(pool: Any, count: int) -> None:
    consume(pool.imap_unordered(identity, range(count)))


def iterate_generator(pool: Any, count: int) -> None:
    consume(pool.imap_unordered(identity, (number for number in range(count))))


def begin_all(pool: Any, count: int) -> None:
    consume(result.get() for result in [pool.apply_async(identity, (number,)) for number in range(count)])


def send_arrays(pool: Any, count: int) -> None:
    array = np.ones(MEGABYTE)
    consume(pool.imap(one_more, (array for _ in range(count))))


def consume(results: Iterable[Any]) -> None:
    for _ in results:
        pass


def measure(kind: str, work: Callable[[Any, int], None], unit: float) -> Callable[[int], Sample]:
    def sample(count: int) -> Sample:
        with POOLS[kind](WORKERS) as pool:
            pool.map(identity, range(WARM_UP), 1)
            begin = time.perf_counter()
            work(pool, count)
            seconds = time.perf_counter() - begin
        return Sample(seconds, seconds / count * unit)

    return sample


def case(title: str, unit: str, work: Callable[[Any, int], None], claimed: float) -> Case:
    scale = {"ms": 1e3, "us": 1e6}[unit]
    return Case(
        title,
        unit,
        {kind: measure(kind, work, scale) for kind in POOLS},
        [Ratio(OURS, PEER, claimed)],
        more_is_better=False,
    )


CLAIM = Claim(
    "pools",
    f"Pool({WORKERS}): tasks that do nothing",
    [
        case(f"map, {TINY} calls in chunks of its own choice", "ms", map_many, 1),
        case("apply, one after the other", "us", apply_each, 3),
        case("imap_unordered, one item in a task, of a range", "us", iterate, 8),
        case("the same, of a generator", "us", iterate_generator, 4),
        case("apply_async of all, then get", "us", begin_all, 2),
        case("imap, arrays of 1 MiB there and back", "us", send_arrays, 1.5),
    ],
)
