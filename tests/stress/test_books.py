"""The count of a queue with leases finds each fault, and takes nothing sound for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.stress.books import Books, judge_leases
from tests.stress.ledger import ACKED, ACKING, ENDED, FAILED, HELD, ITEMS, LEFT, Ledger

PRODUCER = 7


class Left(NamedTuple):
    id: int
    deliveries: int
    pid: int


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger(lines=8)
    yield ledger
    ledger.close()


def judge(
    ledger: Ledger,
    consumers: list[tuple[int, int, list[tuple[int, int, int]]]],
    named: list[Left] | None = None,
    *,
    put: int = 1,
    tried: int = 1,
    sure: bool = True,
) -> Books:
    """Judge consumers, each (how it ended, asking, [(item, deliveries, state)]); 0 deliveries: taken without its id."""
    ledger.line(PRODUCER).committed, ledger.line(PRODUCER).attempting = put, max(put, tried)
    for number, (ending, asking, receipts) in enumerate(consumers):
        line = ledger.line(number)
        line.pid, line.ending, line.asking = 100 + number, ending, asking
        for item, deliveries, state in receipts:
            told = (PRODUCER * ITEMS + item, item + 50 if deliveries else None, deliveries)
            [place] = ledger.note(number, [told])
            ledger.mark(number, place, state)
    known = frozenset(n for n, (ending, _, _) in enumerate(consumers) if sure and ending in (LEFT, ENDED))
    return judge_leases(ledger, [PRODUCER], [*range(len(consumers))], named or [], sure=known)


SOUND = {
    "acked": ([(ENDED, 0, [(0, 1, ACKED)])], []),
    "taken without its id": ([(ENDED, 0, [(0, 0, ACKED)])], []),
    "redelivered once": ([(0, 0, [(0, 1, HELD)]), (ENDED, 0, [(0, 2, ACKED)])], []),
    "redelivered after a failure": ([(FAILED, 0, [(0, 1, HELD)]), (ENDED, 0, [(0, 2, ACKED)])], []),
    "killed while it acked, done": ([(0, 0, [(0, 1, ACKING)])], []),
    "killed while it acked, not done": ([(0, 0, [(0, 1, ACKING)]), (ENDED, 0, [(0, 2, ACKED)])], []),
    "a death that nobody noted": ([(0, 1, []), (ENDED, 0, [(0, 2, ACKED)])], []),
    "left": ([(LEFT, 0, [(0, 1, HELD)])], [Left(50, 1, 100)]),
    "left, taken without its id": ([(LEFT, 0, [(0, 0, HELD)])], [Left(50, 1, 100)]),
}
FAULTS = {
    "not delivered": ("lost", [], []),
    "not redelivered": ("lost", [(0, 0, [(0, 1, HELD)])], []),
    "not redelivered after a failure": ("lost", [(FAILED, 0, [(0, 1, HELD)])], []),
    "done twice": ("doubled", [(ENDED, 0, [(0, 0, ACKED)]), (ENDED, 0, [(0, 0, ACKED)])], []),
    "given out after it was done": ("doubled", [(ENDED, 0, [(0, 1, ACKED)]), (0, 0, [(0, 2, HELD)])], []),
    "redelivered and not counted": ("miscounted", [(0, 0, [(0, 0, HELD)]), (ENDED, 0, [(0, 1, ACKED)])], []),
    "counted, and nobody died": ("miscounted", [(ENDED, 0, [(0, 2, ACKED)])], []),
    "two times the first": ("miscounted", [(0, 0, [(0, 1, HELD)]), (ENDED, 0, [(0, 1, ACKED)])], []),
    "left and not named": ("misnamed", [(LEFT, 0, [(0, 1, HELD)])], []),
    "left and named otherwise": ("misnamed", [(LEFT, 0, [(0, 1, HELD)])], [Left(51, 1, 100)]),
    "left and named with other deliveries": ("misnamed", [(LEFT, 0, [(0, 1, HELD)])], [Left(50, 3, 100)]),
    "named and not left": ("misnamed", [(ENDED, 0, [(0, 1, ACKED)])], [Left(50, 1, 100)]),
    "nobody put it": ("invented", [(ENDED, 0, [(0, 1, ACKED), (1, 1, ACKED)])], []),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_books(ledger: Ledger, name: str) -> None:
    consumers, named = SOUND[name]
    books = judge(ledger, consumers, named)
    assert not books.faults, books
    assert books.passed == 1


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found(ledger: Ledger, name: str) -> None:
    kind, consumers, named = FAULTS[name]
    assert getattr(judge(ledger, consumers, named), kind) > 0


def test_a_put_that_was_killed_is_whole_or_not_there(ledger: Ledger) -> None:
    consumers = [(ENDED, 0, [(0, 1, ACKED), (2, 1, ACKED)])]
    assert judge(ledger, consumers, put=0, tried=3).torn == 1


def test_what_was_attempted_may_come(ledger: Ledger) -> None:
    consumers = [(ENDED, 0, [(0, 1, ACKED), (1, 1, ACKED)])]
    assert not judge(ledger, consumers, put=0, tried=3).faults


def test_who_was_killed_while_it_left_is_taken_for_what_the_statistics_say(ledger: Ledger) -> None:
    consumers = [(LEFT, 0, [(0, 1, HELD)]), (ENDED, 0, [(0, 2, ACKED)])]
    books = judge(ledger, consumers, sure=False)
    assert (books.faults, books.left, books.redelivered, books.twice) == (0, 0, 1, 1)


def test_dead_letters(ledger: Ledger) -> None:
    ledger.line(PRODUCER).committed = 2
    ledger.note(0, [(PRODUCER * ITEMS, 50, 1)])
    books = judge_leases(ledger, [PRODUCER], [0], [], {PRODUCER * ITEMS: 1, PRODUCER * ITEMS + 1: 2})
    assert (books.dead, books.redelivered, books.uncounted, books.miscounted) == (2, 1, 2, 1)  # nobody asked


def test_dead_letter_that_was_done(ledger: Ledger) -> None:
    ledger.line(PRODUCER).committed = 1
    [place] = ledger.note(0, [(PRODUCER * ITEMS, 50, 1)])
    ledger.mark(0, place, ACKED)
    assert judge_leases(ledger, [PRODUCER], [0], [], {PRODUCER * ITEMS: 1}).doubled == 1


def test_sums(ledger: Ledger) -> None:
    consumers = [
        (0, 1, [(0, 1, HELD), (1, 0, HELD)]),
        (LEFT, 0, [(2, 1, HELD)]),
        (ENDED, 0, [(0, 3, ACKED), (1, 2, ACKED), (3, 1, ACKED)]),
    ]
    books = judge(ledger, consumers, [Left(52, 1, 101)], put=4)
    assert not books.faults, books
    assert (books.passed, books.deliveries, books.redelivered, books.twice, books.left) == (4, 6, 3, 2, 1)
    assert (books.uncounted, books.unnoted) == (1, 1)
