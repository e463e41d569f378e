"""Those around a queue with leases: who takes items and acks them, at once or later or never, and who joins.

``task_done()`` names no item: it acks what its process has had in hand for the longest time.
"""

from __future__ import annotations

import os
import queue as stdlib_queue
import random
import time
from collections import deque
from typing import Any

import procession
from tests.stress.arrays import Kept
from tests.stress.items import Broken, identify
from tests.stress.ledger import ACKED, ACKING, ENDED, FAILED, ITEMS, RECEIPTS, Ledger
from tests.stress.pace import LOOK, NICENESS, nap

__all__ = ["Hand", "consume_leased", "sit_in_join"]

MANY = 200  # items that one call asks for at most


class Hand:
    """What a consumer has taken and not acked, the oldest first."""

    def __init__(self, ledger: Ledger, number: int, queue: Any, seed: int) -> None:
        self.ledger = ledger
        self.number = number
        self.line = ledger.line(number)
        self.queue = queue
        self.kept = Kept(random.Random(seed))
        self._held: deque[tuple[int, int]] = deque()  # place of the receipt, identity
        self._fresh: dict[int, int] = {}  # for each producer the last item that came to us as the first of all

    def __len__(self) -> int:
        return len(self._held)

    def take(self, count: int, timeout: float | None) -> None:
        """Get up to so many, without asking for their ids."""
        self.line.asking = count
        try:
            items = [self.queue.get(timeout=timeout)] if count == 1 else self.queue.get_many(count, timeout=timeout)
            self._note([(item, None, 0) for item in items])
        finally:
            self.line.asking = 0

    def take_one(self, timeout: float | None) -> None:
        """Get one, and its id."""
        self.line.asking = 1
        try:
            item, number, deliveries = self.queue.get_item(timeout=timeout)
            self._note([(item, number, deliveries)])
        finally:
            self.line.asking = 0

    def _note(self, got: list[tuple[Any, int | None, int]]) -> None:
        identities = [identify(item) for item, _, _ in got]
        told = [(identity, number, times) for identity, (_, number, times) in zip(identities, got, strict=True)]
        places = self.ledger.note(self.number, told)
        self.line.received += len(got)
        for place, (identity, _, deliveries), (item, _, _) in zip(places, told, got, strict=True):
            self._held.append((place, identity))
            self._see_order(identity, deliveries)
            if bulk := self.kept.add(identity, item):
                self.line.bulky += 1
                self.line.bulk += bulk

    def _see_order(self, identity: int, deliveries: int) -> None:
        producer, at = divmod(identity, ITEMS)
        if deliveries == 1:  # what comes again is older
            if self._fresh.get(producer, -1) >= at:
                raise Broken(f"item {at} of producer {producer} came after its item {self._fresh[producer]}")
            self._fresh[producer] = at

    def ack(self, count: int) -> None:
        """Say of the oldest that they are done."""
        for _ in range(min(count, len(self._held))):
            place, identity = self._held.popleft()
            self.ledger.mark(self.number, place, ACKING)
            self.ledger.deliver(identity)
            self.queue.task_done()
            self.ledger.mark(self.number, place, ACKED)


def consume_leased(ledger: Ledger, number: int, queue: Any, seed: int, ending: int = ENDED) -> None:
    """Get and ack until the queue has ended; or, by `ending`, leave or fail with items in hand before that."""
    rng = random.Random(seed)
    line = ledger.line(number)
    line.pid = os.getpid()
    hand = Hand(ledger, number, queue, seed)
    until = rng.choice((1, 30, 1000)) if ending != ENDED else RECEIPTS - MANY
    os.nice(NICENESS)
    line.began = 1
    while True:
        line.beats += 1
        timeout = rng.random() * 0.01 if rng.random() < 0.1 else None
        try:
            if rng.random() < 0.5:
                hand.take(rng.choice((1, 1, 1, 2, 16, MANY)), timeout)
            else:
                hand.take_one(timeout)
        except stdlib_queue.Empty:
            hand.ack(1)
        except procession.ShutDown:
            hand.ack(len(hand))
            hand.kept.drop_all()
            line.ending = ENDED
            return
        if line.receipts >= until and (hand or ending == ENDED):
            break
        nap(rng, 0.05)
        if rng.random() < 0.7 or len(hand) > 2 * MANY or ledger.finishing:  # else it forgets them for a while
            hand.ack(len(hand) if rng.random() < 0.6 else rng.randrange(len(hand) + 1))
    if ending == ENDED:
        hand.ack(len(hand))
    line.ending = ending
    if ending == FAILED:
        raise SystemExit(1)


def sit_in_join(ledger: Ledger, number: int, queue: Any, under: int, seed: int) -> None:
    """Join again and again. When a join returns, what had been put before it is done, or somebody is just saying so.

    `under`: the queue's number; 0: what its producers have put is not looked at.
    """
    rng = random.Random(seed)
    line = ledger.line(number)
    os.nice(NICENESS)
    line.began = 1
    while True:
        line.beats += 1
        ended = ledger.drained
        lines = [producer for producer in range(ledger.count) if 0 < under == ledger.line(producer).queue]
        before = [(producer, ledger.line(producer).committed) for producer in lines]
        how = rng.random()
        joined = queue.join() if how < 0.5 else queue.join(timeout=rng.random() * 0.05)
        if joined is False:
            if how < 0.5:
                raise Broken(f"join() of {queue!r} without a timeout says that it ran out")
        elif forgotten := {producer: count for producer, put in before if (count := ledger.not_done(producer, put))}:
            raise Broken(f"join() of {queue!r} returned before {forgotten} items (by producer) were done")
        else:
            line.received += 1
        if ended:
            return
        time.sleep(LOOK * rng.choice((1, 1, 10)))
