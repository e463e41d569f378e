"""One counter and one stream through a file, a pipe, a queue and shared memory, with a lock and without.

Two processes add to the counter, or send, at the same time. What the table shows:

* A file can share data too, but more slowly than memory, and it is as unsafe.
* Neither they nor a pipe have a lock inside. Without one, two processes read the same number and one addition is lost;
  two write at the same place and one message is gone, or the halves of two stand between each other. (What is short enough
  a pipe takes whole: PIPE_BUF, 4096 bytes, in pipe(7). The additions are.)
* A queue has its lock inside.
* A lock makes all of them safe, and costs speed. (It may also save some: two writers that get in each other's way at every
  step can be slower than two that take turns.)

Nothing is made up: what is lost was lost just now, on this machine. Two CPUs lose more than one does.
"""

import argparse
import os
import tempfile
import time

import procession as mp

WRITERS = 2
SIZE = 20_000  # bytes of a message of the stream: more than a pipe takes in one piece


class NoLock:
    """What is used as a lock where there shall be none."""

    def __enter__(self):
        return True

    def __exit__(self, *exc):
        pass


def number(data):
    return int.from_bytes(data, "little")


def digits(value):
    return value.to_bytes(8, "little")


# ---- the counter: add(lock) in each writer, total() afterwards ----------------------------


class FileCounter:
    """Eight bytes of a file, read and written again."""

    name = "file"

    def __init__(self, count):
        self.file = tempfile.TemporaryFile(buffering=0)
        self.file.write(digits(0))

    def add(self, lock):
        with lock:
            value = number(os.pread(self.file.fileno(), 8, 0))
            os.pwrite(self.file.fileno(), digits(value + 1), 0)

    def total(self):
        with self.file:
            return number(os.pread(self.file.fileno(), 8, 0))


class PipeCounter:
    """A byte for each addition; whoever wants the sum counts them."""

    name = "pipe"

    def __init__(self, count):
        self.reader, self.writer = os.pipe()
        self.sum = mp.RawValue("q")
        self.counter = mp.Process(target=self.count, start_method="fork")
        self.counter.start()

    def count(self):
        os.close(self.writer)
        while data := os.read(self.reader, 65536):
            self.sum.value += len(data)

    def add(self, lock):
        with lock:
            os.write(self.writer, b"+")

    def total(self):
        os.close(self.writer)  # the last one: the counter sees the end
        self.counter.join()
        os.close(self.reader)
        return self.sum.value


class QueueCounter:
    """An item for each addition."""

    name = "queue"

    def __init__(self, count):
        self.queue = mp.Queue()

    def add(self, lock):
        with lock:
            self.queue.put(1)

    def total(self):
        total = 0
        while not self.queue.empty():
            total += sum(self.queue.get_many(10_000))
        return total


class MemoryCounter:
    """A number in shared memory."""

    name = "shared memory"

    def __init__(self, count):
        self.number = mp.RawValue("q")

    def add(self, lock):
        with lock:
            self.number.value += 1  # a read and a write

    def total(self):
        return self.number.value


# ---- the stream: send(message, lock) in each writer, received() afterwards -----------------


class FileStream:
    """Each message is written behind the last one."""

    name = "file"

    def __init__(self, count):
        self.file = tempfile.TemporaryFile(buffering=0)

    def send(self, message, lock):
        with lock:
            os.pwrite(self.file.fileno(), message, os.fstat(self.file.fileno()).st_size)

    def received(self):
        with self.file:
            self.file.seek(0)
            yield from iter(lambda: self.file.read(SIZE), b"")


class PipeStream:
    """A pipe, which takes as much of a message as has room, and perhaps another's before the rest."""

    name = "pipe"

    def __init__(self, count):
        self.reader, self.writer = os.pipe()
        self.out = mp.Queue()
        self.collector = mp.Process(target=self.collect, start_method="fork")
        self.collector.start()

    def collect(self):
        os.close(self.writer)
        data = bytearray()
        while more := os.read(self.reader, 1 << 20):
            data += more
            while len(data) >= SIZE:
                self.out.put(bytes(data[:SIZE]))
                del data[:SIZE]

    def send(self, message, lock):
        with lock:
            rest = memoryview(message)
            while rest:
                rest = rest[os.write(self.writer, rest) :]

    def received(self):
        os.close(self.writer)
        self.collector.join()
        os.close(self.reader)
        while not self.out.empty():
            yield self.out.get()


class QueueStream:
    """A queue, in which a message is there whole or not at all."""

    name = "queue"

    def __init__(self, count):
        self.queue = mp.Queue()

    def send(self, message, lock):
        with lock:
            self.queue.put(message)

    def received(self):
        while not self.queue.empty():
            yield self.queue.get()


class MemoryStream:
    """A row of places in shared memory, and the number of the next free one."""

    name = "shared memory"

    def __init__(self, count):
        self.places = mp.RawArray("c", count * SIZE)
        self.next = mp.RawValue("q")

    def send(self, message, lock):
        with lock:
            place = self.next.value
            memoryview(self.places).cast("B")[place * SIZE : (place + 1) * SIZE] = message
            self.next.value = place + 1

    def received(self):
        for place in range(self.next.value):
            yield bytes(memoryview(self.places).cast("B")[place * SIZE : (place + 1) * SIZE])


# ---- two writers at the same time -----------------------------------------------------------


def message_of(writer, turn):
    return digits(writer << 32 | turn + 1) * (SIZE // 8)


def is_whole(message):
    return len(message) == SIZE and message == message[:8] * (SIZE // 8) and number(message[:8]) > 0


def add_often(writer, counter, lock, count, start):
    start.wait()
    for _ in range(count):
        counter.add(lock)


def send_often(writer, stream, lock, count, start):
    start.wait()
    for turn in range(count):
        stream.send(message_of(writer, turn), lock)


def compete(target, medium, lock, count):
    """Let the writers run side by side; how many seconds they took."""
    start = mp.Barrier(WRITERS + 1)
    writers = [
        mp.Process(target=target, args=(writer, medium, lock, count, start), start_method="fork")
        for writer in range(WRITERS)
    ]
    for process in writers:
        process.start()
    start.wait()
    begin = time.perf_counter()
    for process in writers:
        process.join()
        assert process.exitcode == 0, process.outcome
    return time.perf_counter() - begin


def try_counter(kind, lock, count):
    counter = kind(WRITERS * count)
    seconds = compete(add_often, counter, lock, count)
    return WRITERS * count / seconds, WRITERS * count - counter.total()


def try_stream(kind, lock, count):
    stream = kind(WRITERS * count)
    seconds = compete(send_often, stream, lock, count)
    whole = {message[:8] for message in stream.received() if is_whole(message)}
    return WRITERS * count * SIZE / seconds / 1e6, WRITERS * count - len(whole)


def show(title, unit, measure, kinds, count):
    print(f"{title}: {WRITERS} processes, {count:,} each")
    print(f"{'':<14}{'without a lock':>24}{'with a lock':>24}")
    for kind in kinds:
        cells = []
        for lock in (NoLock(), mp.Lock()):
            speed, lost = measure(kind, lock, count)
            cells.append(f"{speed:,.0f} {unit}, {lost:,} lost")
        print(f"{kind.name:<14}{cells[0]:>24}{cells[1]:>24}", flush=True)
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--additions", type=int, default=20_000, metavar="N", help="of each process (20,000)")
    parser.add_argument("--messages", type=int, default=2_000, metavar="N", help="of each process (2,000)")
    options = parser.parse_args()
    counters = (FileCounter, PipeCounter, QueueCounter, MemoryCounter)
    show("Counter", "/s", try_counter, counters, options.additions)
    streams = (FileStream, PipeStream, QueueStream, MemoryStream)
    show("Stream", "MB/s", try_stream, streams, options.messages)
