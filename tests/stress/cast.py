"""Who plays in a round: queues, locks, a circle of shared arrays, and the seats around them, drawn at random."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import procession
from tests.stress import broken, carriers, filers, leasers, mix, workers
from tests.stress.ledger import FAILED, ITEMS, LEFT, Ledger
from tests.stress.seats import LockUnderTest, QueueUnderTest, Seat, SemaphoreUnderTest

__all__ = ["Cast"]

LEASED = 0.6  # of the queues
BULKY = 0.08  # of the items of a queue that has large ones at all
ENDING = 0.4  # of the consumers of a queue with leavers


class Cast:
    """Makes them. `numbers`: where the next free line of the ledger comes from."""

    def __init__(
        self,
        options: argparse.Namespace,
        rng: random.Random,
        ledger: Ledger,
        numbers: Iterator[int],
        *,
        spared: bool,
    ) -> None:
        self.options = options
        self.rng = rng
        self.ledger = ledger
        self.numbers = numbers
        self.spared = spared
        self.queues = [self._queue(number) for number in range(1, rng.randrange(2, 4))]
        kinds: list[Callable[[], Any]] = [procession.Mutex, procession.Lock, procession.RLock]
        if rng.random() < 0.5:
            kinds[0] = lambda: procession.Mutex(on_owner_death=workers.repaired)
        self.folder = tempfile.TemporaryDirectory(prefix="torture-")
        kinds.append(lambda: procession.FileLock(f"{self.folder.name}/lock"))
        self.locks = [LockUnderTest(kind(), i, ledger.lock_cell(i)) for i, kind in enumerate(kinds)]
        self.semaphores = [self._semaphore(len(kinds))]
        self.circle: Any = None
        if options.queue == "procession" and carriers.can_carry() and rng.random() < 0.5:
            self.circle = rng.choice((procession.Queue, procession.JoinableQueue))()
        self.carriers: list[int] = []
        self.files: Any = None
        if options.queue == "procession" and rng.random() < 0.6:
            self.files = filers.make_files()
        self.filers: list[int] = []
        self.seats = list(self._seats())

    def seed(self) -> int:
        return self.rng.randrange(1 << 30)

    def method(self) -> str:
        return mix.choose(self.rng, self.options.start_methods)

    # -- what they sit around

    def _queue(self, number: int) -> QueueUnderTest:
        rng = self.rng
        high = rng.choice((30, 300, 3000))
        if self.options.queue != "procession":
            wrong = broken.QUEUES[self.options.queue]
            bulky = 6 * BULKY if self.options.queue in broken.OF_ARRAYS else 0.0
            leased = hasattr(wrong, "task_done")
            return QueueUnderTest(wrong(), number, high, bulky, leased, leavers=leased)
        bulky = BULKY if rng.random() < 0.5 else 0.0
        under = QueueUnderTest(None, number, min(high, 30) if bulky else high, bulky)
        cls: Callable[..., Any] = procession.JoinableQueue if rng.random() < LEASED else procession.Queue
        under.leased = cls is not procession.Queue
        bounds: dict[str, int] = {}
        kind = rng.randrange(5)
        if kind == 0:
            bounds["maxsize"] = rng.choice((1, 2, 7, 64, 1000))
        elif kind == 1:
            bounds["max_bytes"] = rng.choice((100, 5000, 200_000, 3_000_000))
        elif kind == 2 and not under.leased:
            cls = procession.SimpleQueue
        elif kind == 2:
            under.most = bounds["max_deliveries"] = rng.randrange(1, 4)
        under.queue = cls(**bounds)
        under.leavers = under.leased and rng.random() < 0.6
        return under

    def _semaphore(self, cell: int) -> SemaphoreUnderTest:
        permits = self.rng.randrange(1, 4)
        kind = self.rng.choice((procession.Semaphore, procession.BoundedSemaphore))
        return SemaphoreUnderTest(kind(permits), permits, procession.Lock(), cell, self.ledger.lock_cell(cell))

    # -- what those at the seats are given; each of them is noted by its line

    def producer(self, under: QueueUnderTest) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.producers.append(line)
            self.ledger.line(line).queue = under.number
            return self.ledger, line, under.queue, under.high, under.bulky, self.seed()

        return arguments

    def consumer(self, under: QueueUnderTest, *, steady: bool = False) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.consumers.append(line)
            if under.leavers and not steady and self.rng.random() < ENDING:
                return self.ledger, line, under.queue, self.seed(), self.rng.choice((LEFT, FAILED))
            return self.ledger, line, under.queue, self.seed()

        return arguments

    def consume(self, under: QueueUnderTest) -> Callable[..., None]:
        return leasers.consume_leased if under.leased else workers.consume

    def joiner(self, under: QueueUnderTest) -> Callable[[int], tuple[Any, ...]]:
        # Dead letters are not done, and yet not waited for.
        watched = under.number if under.most is None else 0
        return lambda line: (self.ledger, line, under.queue, watched, self.seed())

    def holder(self, under: LockUnderTest) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.holders.append(line)
            return self.ledger, line, under.lock, under.cell_number, self.seed()

        return arguments

    def sitter(self, under: SemaphoreUnderTest) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.sitters.append(line)
            return self.ledger, line, under.semaphore, under.permits, under.guard, under.cell_number, self.seed()

        return arguments

    def carrier(self) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            self.carriers.append(line)
            identity = line * ITEMS + ITEMS - 1  # no carrier makes so many
            return self.ledger, line, self.circle, (identity, carriers.make_shared(self.rng, identity)), self.seed()

        return arguments

    def filer(self) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            self.filers.append(line)
            return self.ledger, line, self.files, self.seed()

        return arguments

    def parent(self) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under = self.rng.choice(self.queues)
            jobs: list[Any] = [
                (workers.produce, self.producer(under)(next(self.numbers))),
                (workers.hold, self.holder(self.rng.choice(self.locks))(next(self.numbers))),
                (workers.sit, self.sitter(self.rng.choice(self.semaphores))(next(self.numbers))),
            ]
            if not self.spared:
                jobs.append((self.consume(under), self.consumer(under, steady=True)(next(self.numbers))))
            return self.ledger, line, jobs, self.method()

        return arguments

    def _seats(self) -> Iterator[Seat]:
        for under in self.queues:
            for _ in range(self.rng.randrange(1, 4)):
                yield Seat("producer", workers.produce, self.producer(under))
            for _ in range(self.rng.randrange(1, 4)):
                yield Seat("consumer", self.consume(under), self.consumer(under))
            if under.leased:
                yield Seat("joiner", leasers.sit_in_join, self.joiner(under))
        for lock in self.locks:
            for _ in range(self.rng.randrange(1, 3)):
                yield Seat("holder", workers.hold, self.holder(lock))
        for semaphore in self.semaphores:
            for _ in range(self.rng.randrange(1, 4)):
                yield Seat("sitter", workers.sit, self.sitter(semaphore))
        if self.circle is not None:
            for _ in range(self.rng.randrange(1, 3)):
                yield Seat("carrier", carriers.carry, self.carrier())
        if self.files is not None:
            for _ in range(self.rng.randrange(1, 4)):
                yield Seat("filer", filers.file, self.filer())
        if self.options.queue == "procession" and self.rng.random() < 0.7:
            yield Seat("parent", workers.parent, self.parent())

    def let_go(self) -> None:
        """Forget everything, so that it can be seen whether anything stays."""
        for seat in self.seats:
            seat.arguments = lambda _line: ()
        self.queues.clear()
        self.locks.clear()
        self.folder.cleanup()
        self.semaphores.clear()
        self.circle = self.files = None
