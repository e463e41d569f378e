"""The end of a queue: what is left in it is taken, and then every item is counted."""

from __future__ import annotations

import queue as stdlib_queue
import random
import time
from typing import Any

import procession
from procession._memory.domain import domains
from tests.stress import workers
from tests.stress.books import judge_leases
from tests.stress.items import identify
from tests.stress.leasers import Hand
from tests.stress.ledger import ITEMS, Ledger
from tests.stress.pace import LOOK
from tests.stress.seats import STUCK, QueueUnderTest, Stuck
from tests.stress.tally import Tally

__all__ = ["count_leased", "count_plain"]


def count_plain(
    ledger: Ledger, tally: Tally, under: QueueUnderTest, line: int, seed: int, *, spared: bool, sure: set[int]
) -> None:
    """Count a queue without leases. `line`: of one that takes what no consumer was left for."""
    workers.consume(ledger, line, under.queue, seed)
    verdict = ledger.judge(under.producers, under.consumers, spared=spared)
    tally.items += verdict.passed
    tally.in_hand += verdict.in_hand
    tally.lost += verdict.lost
    tally.doubled += verdict.doubled + verdict.invented
    tally.hands += verdict.hands
    tally.torn += verdict.torn + verdict.scattered
    if verdict.lost or verdict.doubled or verdict.invented or verdict.torn or verdict.scattered:
        tally.fault(f"{under.queue!r}: {verdict}")
    if under.queue.qsize():
        tally.lost += under.queue.qsize()
        tally.fault(f"{under.queue!r} is not empty, but gives nothing")


def count_leased(
    ledger: Ledger, tally: Tally, under: QueueUnderTest, line: int, seed: int, *, spared: bool, sure: set[int]
) -> None:
    """Count a queue with leases: nothing may be lost, whoever was killed; then ack what clean ends left."""
    queue: Any = under.queue
    drain(ledger, line, queue, seed)
    statistics = queue.statistics()
    dead = {identify(letter.item): letter.deliveries for letter in queue.dead_letters(clear=True)}
    books = judge_leases(ledger, under.producers, under.consumers, statistics.left, dead, frozenset({*sure, line}))
    if under.most and any(deliveries != under.most for deliveries in dead.values()):
        tally.miscounted += 1
        tally.fault(f"{queue!r} has dead letters before or after {under.most} deliveries: {dead}")
    tally.items += books.passed
    tally.deliveries += books.deliveries
    tally.redelivered += books.redelivered
    tally.twice += books.twice
    tally.dead += books.dead
    tally.left_by_clean += books.left
    tally.lost += books.lost
    tally.doubled += books.doubled + books.invented
    tally.torn += books.torn
    tally.miscounted += books.miscounted
    tally.misnamed += books.misnamed
    tally.unnoted += books.uncounted
    if books.faults:
        tally.fault(f"{queue!r}: {books}\n  {statistics}")
    for producer in under.producers:  # so that whoever joins sees that they are done
        for at in range(ledger.line(producer).attempting):
            ledger.deliver(producer * ITEMS + at)
    for _ in statistics.left:
        queue.task_done()
    try:
        queue.task_done()
    except ValueError:
        return
    tally.miscounted += 1
    tally.fault(f"{queue!r}: everything is done, and task_done() is taken once more: {queue.statistics()}")


def drain(ledger: Ledger, line: int, queue: Any, seed: int) -> None:
    """Take and ack what is there and what comes back from the dead, until nobody holds anything but who left it."""
    hand = Hand(ledger, line, queue, seed)
    rng = random.Random(seed)
    moved = time.monotonic()
    while (statistics := queue.statistics()).unfinished > len(statistics.left):
        try:
            if rng.random() < 0.5:
                hand.take_one(LOOK)
            else:
                hand.take(rng.choice((1, 50)), LOOK)
        except (stdlib_queue.Empty, procession.ShutDown):
            domains.current().sweep()
            time.sleep(LOOK)
        if len(hand):
            hand.ack(len(hand))
            moved = time.monotonic()
        if time.monotonic() - moved > STUCK:
            raise Stuck(f"{statistics.unfinished} unfinished, {len(statistics.left)} left: {statistics}")
    hand.kept.drop_all()
