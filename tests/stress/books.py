"""The count of a queue with leases, when all who took from it are gone: every item is done once, and nothing is lost.

*Done*: its last consumer acked it, or left it behind by a clean end, and then the queue's statistics name it.
Every other consumer that had it died of it: it ended abnormally with the item in hand. The item's ``deliveries``, as
the last one saw it, is one more than those deaths. Of some deaths no receipt tells: who was killed between the commit
of its get and its note of it, had at most what it had asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.stress.ledger import ACKED, ACKING, FAILED, ITEMS, LEFT, Ledger, Receipt

__all__ = ["Books", "LeftItem", "judge_leases"]


class LeftItem(Protocol):
    """What a queue's statistics tell of an item that was left by a clean end."""

    @property
    def id(self) -> int: ...
    @property
    def deliveries(self) -> int: ...
    @property
    def pid(self) -> int: ...


@dataclass
class Books:
    """What became of the items of one queue with leases."""

    passed: int = 0
    deliveries: int = 0  # receipts of consumers
    redelivered: int = 0  # deliveries after the first, as counted by the queue where somebody asked, else by receipts
    twice: int = 0  # of these, what had reached a consumer's hands before, so that it may have been processed
    left: int = 0  # by clean ends
    dead: int = 0  # given up: dead letters
    lost: int = 0
    doubled: int = 0  # done twice, or given out again after it was done
    invented: int = 0  # delivered, and nobody tried to put them
    torn: int = 0  # gaps in what a put_many that was killed had committed
    miscounted: int = 0  # `deliveries` is not what the deaths make it, or an id is not its own
    misnamed: int = 0  # left, and the statistics name it wrongly or not at all
    uncounted: int = 0  # deaths that only the queue knows
    unnoted: int = 0  # the most that they can be
    examples: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.lost + self.doubled + self.invented + self.torn + self.miscounted + self.misnamed

    def fault(self, kind: str, text: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < 5:
            self.examples.append(f"{kind}: {text}")


@dataclass
class _Item:
    """The receipts of one item, by what became of them."""

    identity: int
    done: list[Receipt] = field(default_factory=list)
    perhaps: list[Receipt] = field(default_factory=list)  # killed while it acked
    died: list[Receipt] = field(default_factory=list)
    dead: int = 0  # deliveries, if it is a dead letter

    def __str__(self) -> str:
        told = [
            f"line {one.line} {what} id {one.number} deliveries {one.deliveries}"
            for what in ("done", "perhaps", "died")
            for one in getattr(self, what)
        ]
        return f"{self.identity:#x} ({'; '.join(told)})"

    @property
    def receipts(self) -> list[Receipt]:
        return [*self.done, *self.perhaps, *self.died]


def judge_leases(
    ledger: Ledger,
    producers: list[int],
    consumers: list[int],
    named: Iterable[LeftItem],
    dead: Mapping[int, int] | None = None,
    sure: frozenset[int] = frozenset(),
) -> Books:
    """Add up one queue.

    `named`: what its statistics say was left; `dead`: identities of its dead letters with their deliveries; `sure`: the
    lines of those who are known to have ended with exit code 0. Who was killed while it ended may be taken for either,
    and the names decide.
    """
    books = Books()
    left_by: dict[int, list[LeftItem]] = defaultdict(list)
    for item in named:
        left_by[item.pid].append(item)
    items: dict[int, _Item] = {}
    for number in consumers:
        line = ledger.line(number)
        receipts = ledger.receipts(number)
        books.deliveries += len(receipts)
        for receipt in receipts:
            entry = items.setdefault(receipt.identity, _Item(receipt.identity))
            if receipt.state == ACKED:
                entry.done.append(receipt)
            elif receipt.state == ACKING:
                entry.perhaps.append(receipt)
            elif line.ending == LEFT and (number in sure or line.pid in left_by):
                entry.done.append(receipt)
            else:
                entry.died.append(receipt)
        held = [receipt for receipt in receipts if receipt.state not in (ACKED, ACKING)]
        if line.ending == LEFT and (number in sure or line.pid in left_by):
            books.left += len(held)
            _compare(books, line.pid, held, left_by.pop(line.pid, []))
        if line.ending != LEFT and number not in sure:
            books.unnoted += line.asking
        elif line.ending == FAILED and number in sure:
            books.fault("misnamed", f"the consumer of line {number} failed, and ended with code 0")
    for pid, others in left_by.items():
        books.fault("misnamed", f"{len(others)} items are said to be left by pid {pid}, which did not leave any")
    for identity, deliveries in (dead or {}).items():
        items.setdefault(identity, _Item(identity)).dead = deliveries
    _count_items(books, items)
    _compare_puts(books, ledger, producers, items)
    return books


def _compare(books: Books, pid: int, held: list[Receipt], named: list[LeftItem]) -> None:
    """Are the items that one left those that the statistics name?"""
    known = Counter(receipt.number for receipt in held if receipt.number is not None)
    ids = Counter(item.id for item in named)
    if len(held) != len(named) or known - ids:
        books.fault("misnamed", f"pid {pid} left {len(held)} items, {sorted(known)}, and {sorted(ids)} are named")
        return
    told = {receipt.number: receipt.deliveries for receipt in held}
    for item in named:
        if told.get(item.id, item.deliveries) != item.deliveries:
            books.fault("misnamed", f"item {item.id} of pid {pid} was delivered {told[item.id]} times, not {item}")


def _count_items(books: Books, items: dict[int, _Item]) -> None:
    owners: dict[int, int] = {}
    for identity, item in items.items():
        ids = {receipt.number for receipt in item.receipts if receipt.number is not None}
        for number in ids:
            other = owners.setdefault(number, identity)
            if other != identity or len(ids) > 1:
                books.fault("miscounted", f"{identity:#x} has the ids {ids}, and {other:#x} has {number} too")
        if item.dead:
            books.dead += 1
            if item.done:
                books.fault("doubled", f"{item} was done, and is a dead letter")
            books.twice += max(0, len(item.receipts) - 1)
            books.redelivered += item.dead - 1
            books.uncounted += max(0, item.dead - len(item.receipts))
            if item.dead < len(item.died):
                books.fault("miscounted", f"{item} is a dead letter after {item.dead} deliveries")
            continue
        if len(item.done) > 1:
            books.fault("doubled", f"{item} was done {len(item.done)} times")
        elif not item.done and not item.perhaps:
            books.fault("lost", f"{item} was in hand of the dead, and never came again")
        else:
            books.passed += 1
        _count_deliveries(books, item)
    if books.uncounted > books.unnoted:
        books.fault("miscounted", f"{books.uncounted} deaths with items in hand, and at most {books.unnoted} can be")


def _count_deliveries(books: Books, item: _Item) -> None:
    # If somebody is known to have done it, those who perhaps did have not.
    died = len(item.died) + (len(item.perhaps) if item.done else len(item.perhaps) - 1 if item.perhaps else 0)
    books.twice += died
    told = sorted(receipt.deliveries for receipt in item.receipts if receipt.deliveries)
    if len(set(told)) != len(told):
        books.fault("miscounted", f"{item} was delivered as {told}")
    last = (item.done or item.perhaps or item.died)[-1]
    if not last.deliveries:
        books.redelivered += died
        return
    if told[-1] > last.deliveries:
        books.fault("doubled", f"{item} was given out again after it was done")
    elif last.deliveries < 1 + died and item.done:
        books.fault("miscounted", f"{item}: {died} died with it")
    books.redelivered += last.deliveries - 1
    books.uncounted += max(0, last.deliveries - 1 - died)


def _compare_puts(books: Books, ledger: Ledger, producers: list[int], items: dict[int, _Item]) -> None:
    """Was all that was put delivered, and nothing else?"""
    numbers: dict[int, list[int]] = defaultdict(list)
    for identity in items:
        producer, at = divmod(identity, ITEMS)
        numbers[producer].append(at)
    for producer in producers:
        line = ledger.line(producer)
        committed, attempting = line.committed, max(line.attempting, line.committed)
        came = sorted(numbers.pop(producer, []))
        seen = set(came)
        for at in range(committed):
            if at not in seen:
                books.fault("lost", f"item {at} of producer {producer} was put and never delivered")
        beyond = [at for at in came if at >= committed]
        if beyond != [*range(committed, committed + len(beyond))]:  # commits are whole, and follow each other
            books.fault("torn", f"of the items from {committed} of producer {producer} came {beyond}")
        if beyond and beyond[-1] >= attempting:
            books.fault("invented", f"producer {producer} tried {attempting} items, and {beyond[-1]} came")
    for producer, came in numbers.items():
        books.fault("invented", f"{len(came)} items came of {producer}, which puts to another queue")
