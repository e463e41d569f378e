"""A torture of its own for what is shared without a queue, and for the queue that sorts: SIGKILL at random of all who use it.

    python -m tests.stress.sharing --kills 500 --seed 1

A PriorityQueue, a Value and an Array under their locks, an Atomic, a FileLock, a ShareableList, named memory and a broadcast; who sits there is killed at
any moment (``places.py``). Held against: an item that is lost without having been in a dead one's hands, doubled, or out of order;
an addition that is lost, or counted twice; two in one lock; half a value; memory that a dead one has made.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

import procession
from procession import shared_memory
from tests.stress import places

ITEMS = 1 << 20  # of one seat; a run must not come to its end
WAITING = 300  # items at most, about
RANKS = 8
PAIRS = 2  # seats that do the same
WORDS = 4  # of the list, and of the array
BLOCK = 70_000  # bytes
NUMBERS = 20_000


class Sorted:
    """A queue, and what was put and taken: a word or byte of each is one store, so no death leaves half of it."""

    def __init__(self, seats: int) -> None:
        self.queue: Any = procession.PriorityQueue(name="ranks")
        self.tried = procession.shared_array(seats, "q")
        self.put = procession.shared_array(seats, "q")  # of those, by the last one whose put returned
        self.taken = procession.shared_array((seats, ITEMS), "u1")

    def take(self, block: bool) -> tuple[int, int, int]:
        item: tuple[int, int, int] = self.queue.get(block)
        _, seat, number = item
        self.taken[seat, number] += 1
        return item


class Counted:
    """A counter, and how often each seat has added to it: never more than one less than it has."""

    def __init__(self, seats: int, counter: Any) -> None:
        self.counter = counter
        self.added = procession.shared_array(seats, "q")


def put_ranked(beats: Any, seat: int, place: Sorted) -> None:
    """Put items whose ranks are drawn."""
    rng = random.Random()
    while True:
        beats[seat] += 1
        if place.queue.qsize() > WAITING or rng.random() < 0.02:
            time.sleep(0.001)
            continue
        number = int(place.tried[seat]) + 1
        place.tried[seat] = number
        place.queue.put((rng.randrange(RANKS), seat, number))
        place.put[seat] = number


def get_ranked(beats: Any, seat: int, place: Sorted) -> None:
    """Get them."""
    while True:
        place.take(block=True)
        beats[seat] += 1


def add_under_lock(beats: Any, seat: int, place: Counted) -> None:
    """Read, add and write, with the lock of the value."""
    while True:
        with place.counter.get_lock():
            place.counter.value = place.counter.value + 1
            place.added[seat] += 1
        beats[seat] += 1


def add_to_all(beats: Any, seat: int, place: Counted) -> None:
    """Add to each number of an array, with the lock of the array: who is killed in between has added to some."""
    array = place.counter
    while True:
        with array.get_lock():
            array[:] = [number + 1 for number in array[:]]
            place.added[seat] += 1
        beats[seat] += 1


def add_atomically(beats: Any, seat: int, place: Counted) -> None:
    """Add without a lock."""
    while True:
        place.counter.add(1)
        place.added[seat] += 1
        beats[seat] += 1


def add_in_file(beats: Any, seat: int, place: Counted) -> None:
    """Read, add and write a number in a file, with a lock that is a file."""
    lock = procession.FileLock(f"{place.counter}.lock")
    file = os.open(place.counter, os.O_RDWR)
    while True:
        with lock:
            number = int.from_bytes(os.pread(file, 8, 0), "little") + 1
            os.pwrite(file, number.to_bytes(8, "little"), 0)
            place.added[seat] += 1
        beats[seat] += 1


def write_word(beats: Any, seat: int, place: Any) -> None:
    """Replace one word again and again, and look at all: each is whole. Two seats write two words."""
    rng = random.Random()
    while True:
        place[seat % WORDS] = rng.choice("abcdef") * rng.randrange(1, 40)
        for word in place:
            assert len(set(word)) == 1, f"half a word: {word!r}"
        beats[seat] += 1


def make_block(beats: Any, seat: int, _: None) -> None:
    """Make named memory, open it by its name, and unlink it. A name that is taken: the memory of a dead one has stayed."""
    name = f"block {seat}"
    while True:
        block = shared_memory.SharedMemory(name, create=True, size=BLOCK)
        block.buf[:] = bytes([seat]) * len(block.buf)
        other = shared_memory.SharedMemory(name)
        assert bytes(other.buf[:]) == bytes([seat]) * len(other.buf)
        other.close()
        block.unlink()
        block.close()
        beats[seat] += 1


def read_numbers(beats: Any, seat: int, place: Any) -> None:
    """Look at what was broadcast."""
    numbers = place.value["numbers"]
    while True:
        assert numbers[int(beats[seat]) % NUMBERS] == int(beats[seat]) % NUMBERS
        beats[seat] += 1
        time.sleep(0.0005)


class Sharing(places.Places):
    """One of each."""

    def furnish(self) -> Sequence[places.Sitter]:
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name, "count")
        file.write_bytes(bytes(8))
        does: list[Callable[..., None]] = [
            put_ranked,
            get_ranked,
            add_under_lock,
            add_to_all,
            add_atomically,
            add_in_file,
            write_word,
            make_block,
            read_numbers,
        ]
        seats = PAIRS * len(does)
        self.sorted = Sorted(seats)
        self.value = Counted(seats, procession.Value("q", 0))
        self.array = Counted(seats, procession.Array("q", WORDS))
        self.atomic = Counted(seats, procession.Atomic())
        self.file = Counted(seats, str(file))
        self.words = shared_memory.ShareableList(["a" * 40] * WORDS)
        numbers = procession.broadcast({"numbers": np.arange(NUMBERS)})
        places_of: list[Any] = [self.sorted, self.sorted, self.value, self.array, self.atomic, self.file]
        places_of += [self.words, None, numbers]
        return [sitter for sitter in zip(does, places_of, strict=True) for _ in range(PAIRS)]

    def judge(self) -> None:
        file = int.from_bytes(Path(self.file.counter).read_bytes(), "little")
        self.judge_count("Value", self.value, int(self.value.counter.value), add_under_lock)
        for number in self.array.counter[:]:
            self.judge_count("Array", self.array, number, add_to_all)
        self.judge_count("Atomic", self.atomic, int(self.atomic.counter), add_atomically)
        self.judge_count("FileLock", self.file, file, add_in_file)
        self.judge_items()

    def close(self) -> None:
        self.words.shm.unlink()  # its name would keep it
        self.folder.cleanup()

    def judge_count(self, name: str, place: Counted, count: int, target: Any) -> None:
        """Each one that was killed may have added and not said so."""
        added, deaths = int(place.added.sum()), self.deaths_of(target)
        if not added <= count <= added + deaths:
            raise RuntimeError(f"{name}: {count} after {added} additions and {deaths} deaths")

    def judge_items(self) -> None:
        last = 0
        while True:
            try:
                rank, _, _ = self.sorted.take(block=False)
            except Empty:
                break
            if rank < last:
                raise RuntimeError(f"PriorityQueue: an item of rank {rank} came after one of {last}")
            last = rank
        taken, lost = self.sorted.taken, 0
        for seat, (put, tried) in enumerate(zip(self.sorted.put, self.sorted.tried, strict=True)):
            lost += int((taken[seat, 1 : put + 1] == 0).sum())
            if taken[seat, tried + 1 :].any() or taken[seat, 0]:
                raise RuntimeError(f"PriorityQueue: an item that seat {seat} has never put")
        if (taken > 1).any():
            raise RuntimeError(f"PriorityQueue: {int((taken > 1).sum())} items were taken twice")
        # In the hands of a dead consumer, or of a producer that was killed between its number and its put.
        deaths = self.deaths_of(get_ranked) + self.deaths_of(put_ranked)
        if lost > deaths:
            raise RuntimeError(f"PriorityQueue: {lost} items lost by {deaths} deaths")


if __name__ == "__main__":
    places.run(Sharing, "tests.stress.sharing", __doc__)
