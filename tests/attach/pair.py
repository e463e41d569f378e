"""One of two programs that share queues, a lock and a counter, and of which either is killed at any time.

    pair.py first REPORT           makes them and says its pid
    pair.py second REPORT PID      attaches to them

Each puts numbers from 0 on into one queue, takes the other's from the other queue, and adds to the counter under the lock; what it
has done it appends to the file REPORT, one letter each, after it has done it. At a line on stdin it stops, takes what is left in both
queues, and prints what it has seen.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import Any

import procession as mp

LARGE = 100_000  # bytes of every seventh item, which travels in a buffer of its own


def made(number: int) -> Any:
    return (number, bytes([number % 256]) * LARGE) if number % 7 == 0 else number


def number_in(item: Any) -> int:
    if isinstance(item, tuple):
        number, content = item
        assert content == bytes([number % 256]) * LARGE
        return int(number)
    return int(item)


class Half:
    """What one program does."""

    def __init__(self, report: str, out: Any, into: Any, lock: Any, counter: Any) -> None:
        self.report = os.open(report, os.O_WRONLY | os.O_APPEND)
        self.out, self.into, self.lock, self.counter = out, into, lock, counter
        self.stop = False
        self.puts = self.added = 0
        self.got: list[int] = []

    def tell(self, letter: bytes) -> None:
        os.write(self.report, letter)

    def put(self) -> None:
        while not self.stop:
            try:
                self.out.put(made(self.puts), timeout=0.02)
            except queue.Full:
                continue
            self.puts += 1
            self.tell(b"p")

    def get(self) -> None:
        while not self.stop:
            try:
                item = self.into.get(timeout=0.02)
            except queue.Empty:
                continue
            self.tell(b"g")
            self.got.append(number_in(item))

    def add(self) -> None:
        while not self.stop:
            with self.lock:
                before = int(self.counter[0])
                self.counter[0] = before + 1
            self.added += 1
            self.tell(b"a")

    def run(self) -> dict[str, Any]:
        threads = [threading.Thread(target=work) for work in (self.put, self.get, self.add)]
        for thread in threads:
            thread.start()
        sys.stdin.readline()
        self.stop = True
        for thread in threads:
            thread.join()
        with self.lock:
            total = int(self.counter[0])
        return {
            "puts": self.puts,
            "got": self.got + [number_in(item) for item in rest(self.into)],
            "left": [number_in(item) for item in rest(self.out)],
            "added": self.added,
            "total": total,
        }


def rest(one: Any) -> list[Any]:
    return one.get_many(10_000) if not one.empty() else []


def main() -> None:
    role, report, *more = sys.argv[1:]
    if role == "first":
        there, back = mp.Queue[Any](20, name="there"), mp.Queue[Any](20, name="back")
        lock, counter = mp.Lock(name="lock"), mp.shared_array(1, "i8", name="counter")
        half = Half(report, there, back, lock, counter)
    else:
        run = mp.attach(int(more[0]))
        half = Half(report, run["back"], run["there"], run["lock"], run["counter"])
        del run
    print("ready", flush=True)
    print(json.dumps(half.run()), flush=True)


if __name__ == "__main__":
    main()
