"""Atomic: each operation is one step, for threads and processes, and what does not fit changes nothing."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import procession
from procession import Atomic
from tests.helpers import METHODS, child, kill, thread, unmade

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def test_starts_with_its_value() -> None:
    assert Atomic().load() == 0
    assert Atomic(SMALLEST).value == SMALLEST
    assert Atomic(np.int8(-3)).value == -3  # type: ignore[arg-type]


def test_each_operation_returns_what_it_says() -> None:
    number = Atomic(5)
    assert number.add(3) == 8
    assert number.add() == 9
    assert number.add(-4) == 5
    assert number.exchange(20) == 5
    assert not number.compare_exchange(5, 6)
    assert number.load() == 20
    assert number.compare_exchange(20, 21)
    number.store(-1)
    assert number.value == int(number) == -1
    number.value = 7
    number += 2
    number -= 1
    assert number.load() == 8
    assert type(number) is Atomic


@pytest.mark.parametrize(("value", "n"), [(LARGEST, 1), (SMALLEST, -1), (LARGEST - 5, 6), (1, LARGEST)])
def test_a_sum_that_does_not_fit_changes_nothing(value: int, n: int) -> None:
    number = Atomic(value, name="visitors")
    with pytest.raises(OverflowError, match=f"'visitors' has 64 bits: with {n} added it would not fit"):
        number.add(n)
    assert number.load() == value


def test_a_number_that_does_not_fit_is_refused() -> None:
    number = Atomic(1)
    for call in (Atomic, number.store, number.add, number.exchange, lambda n: number.compare_exchange(1, n)):
        with pytest.raises(OverflowError, match="must be from -2"):
            call(LARGEST + 1)
    with pytest.raises(OverflowError):
        number.value = SMALLEST - 1
    assert number.load() == 1


@pytest.mark.parametrize("wrong", [1.0, "1", None])
def test_no_integer(wrong: Any) -> None:
    number = Atomic(1)
    for call in (Atomic, number.store, number.add, number.exchange, lambda n: number.compare_exchange(n, 1)):
        with pytest.raises(TypeError, match=f"must be an integer, not {type(wrong).__name__}"):
            call(wrong)
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del number.value
    with pytest.raises(TypeError, match="takes expected and desired"):
        number.compare_exchange(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes one number"):
        number.add(1, 2)  # type: ignore[call-arg]


def test_name_and_repr() -> None:
    assert repr(Atomic(3, name="served")) == "<Atomic 'served' 3>"
    assert Atomic().name.startswith("Atomic-")


def test_unmade_says_so() -> None:
    number = unmade(Atomic())
    for call in (number.load, number.add, lambda: number.store(1), lambda: number.exchange(1)):
        with pytest.raises(RuntimeError, match=r"__init__\(\) was not called"):
            call()


def test_no_two_threads_are_given_the_same_step() -> None:
    number, seen = Atomic(), [[], []]  # type: ignore[var-annotated]
    barrier = threading.Barrier(2)

    def take(mine: list[int]) -> None:
        barrier.wait()
        mine += [number.add() for _ in range(20_000)]

    with thread(take, seen[0]) as one, thread(take, seen[1]) as two:
        one.result()
        two.result()
    assert sorted(seen[0] + seen[1]) == list(range(1, 40_001))


def add_many(number: Atomic, times: int) -> None:
    for _ in range(times):
        number.add()


@pytest.mark.parametrize("method", METHODS)
def test_processes_lose_no_step(method: str) -> None:
    number = Atomic()
    with child(add_many, number, 20_000, method=method), child(add_many, number, 20_000, method=method):
        add_many(number, 20_000)
    assert number.load() == 60_000


def swap_up(number: Atomic, times: int) -> None:
    """Add by compare_exchange."""
    for _ in range(times):
        while not number.compare_exchange(seen := number.load(), seen + 1):
            pass


def test_compare_exchange_loses_no_step() -> None:
    number = Atomic()
    with child(swap_up, number, 5000), child(swap_up, number, 5000):
        pass
    assert number.load() == 10_000


def add_twins(first: Atomic, second: Atomic) -> None:
    while True:
        first.add()
        second.add()


def test_a_killed_process_has_done_a_step_or_has_not() -> None:
    first, second = Atomic(), Atomic()
    for _ in range(10):
        with child(add_twins, first, second) as process:
            seen = second.load()
            while second.load() < seen + 1000:
                pass
            kill(process)
    assert 0 <= first.load() - second.load() <= 10


def test_it_travels_in_items() -> None:
    number, jobs = Atomic(1), procession.Queue[Atomic]()
    jobs.put(number)
    jobs.get().add()
    assert number.load() == 2
