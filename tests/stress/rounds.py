"""A round of the torture: queues and locks, seats around them, and somebody who kills those that sit there."""

from __future__ import annotations

import argparse
import heapq
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import procession
from procession._memory.domain import domains
from tests.leaks import templates
from tests.stress import broken, workers
from tests.stress.ledger import ASLEEP, AWAKE, Ledger, Line, LockCell
from tests.stress.looks import children_of, command_of, look_at, state_of
from tests.stress.tally import Tally
from tests.stress.trees import is_guardian, kill

__all__ = ["END", "Round"]

STUCK = 3.0  # seconds
SAMPLE_LIMIT = 0.1  # of the time between two looks no more is counted: the driver itself may have had no CPU
END = 60.0  # seconds; who has not ended by then never will
SHARES = {"fork": 0.58, "spawn": 0.12, "forkserver": 0.3}  # of the starts, if several methods are asked for
LOOK = 0.02  # seconds
# Who was ending already when it was killed may have finished; and the machine may have been short of memory just then.
EXPECTED_OF_KILLED = {"killed", "signalled", "out_of_memory", "finished"}

# Lets the stopped go on even if the driver waits for one of them itself.
LIFELINE = """
import os, select, signal, sys, time
due, pending = [], b""
while True:
    wait = max(0, min(due)[0] - time.monotonic()) if due else None
    if select.select([0], [], [], wait)[0]:
        data = os.read(0, 65536)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\\n")
        due += [(float(at), int(pid)) for at, pid in (line.split() for line in lines)]
    now = time.monotonic()
    for at, pid in [item for item in due if item[0] <= now]:
        due.remove((at, pid))
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
"""


class Stuck(Exception):
    """No progress; the text tells where."""


# ---- seats ---------------------------------------------------------------------------------


@dataclass
class Seat:
    """A place that is always taken: who is killed there is replaced."""

    role: str
    target: Callable[..., None]
    arguments: Callable[[int], tuple[Any, ...]]  # of a line's number
    lines: list[int] = field(default_factory=list)  # of all that sat here
    process: Any = None
    stopped_until: float = 0.0


@dataclass
class Watched:
    """Something that must show progress whenever somebody could make some."""

    name: str
    progress: Callable[[], int]
    could_move: Callable[[], bool]
    seen: int = -1
    idle: float = 0.0

    def look(self, elapsed: float, tally: Tally) -> None:
        now = self.progress()
        if now != self.seen or not self.could_move():
            tally.saw_gap(self.idle, self.name)
            self.seen, self.idle = now, 0.0
            return
        self.idle += elapsed
        if self.idle > STUCK:
            tally.saw_gap(self.idle, self.name)
            raise Stuck(self.name)


@dataclass
class QueueUnderTest:
    queue: Any
    high: int
    producers: list[int] = field(default_factory=list)  # lines of all that ever put
    consumers: list[int] = field(default_factory=list)


@dataclass
class LockUnderTest:
    lock: Any
    cell_number: int
    cell: LockCell
    holders: list[int] = field(default_factory=list)


# ---- a round -------------------------------------------------------------------------------


class Round:
    """Queues, locks, seats; killing; quiet; the end; the count."""

    def __init__(self, options: argparse.Namespace, tally: Tally, rng: random.Random, kills: int) -> None:
        self.options = options
        self.tally = tally
        self.rng = rng
        self.kills_left = kills
        self.methods: list[str] = options.start_methods
        self.spared = options.spare_consumers or tally.rounds % 3 == 2  # the consumers
        self.ledger = Ledger(lines=kills * 6 + 200)
        self.numbers = itertools.count()
        self.due: list[tuple[float, int, Callable[[], None]]] = []  # a heap
        self.order = itertools.count()
        self.leaving: list[tuple[Any, str]] = []  # killed, or told to end: process, role
        self.killed: set[int] = set()
        self.lifeline: Any = None
        self.queues = [self.make_queue(i) for i in range(rng.randrange(1, 3))]
        kinds: list[Callable[[], Any]] = [procession.Mutex, procession.Lock, procession.RLock]
        if rng.random() < 0.5:
            kinds[0] = lambda: procession.Mutex(on_owner_death=workers.repaired)
        self.locks = [LockUnderTest(kind(), i, self.ledger.lock_cell(i)) for i, kind in enumerate(kinds)]
        self.seats = list(self.make_seats())
        self.watched = list(self.make_watched())
        self.last_look = time.monotonic()

    # -- making

    def make_queue(self, index: int) -> QueueUnderTest:
        rng = self.rng
        high = rng.choice((30, 300, 3000))
        if self.options.queue != "procession":
            return QueueUnderTest(broken.QUEUES[self.options.queue](), high)
        kind = rng.randrange(5)
        if kind == 0:
            queue: Any = procession.Queue(maxsize=rng.choice((1, 2, 7, 64, 1000)))
        elif kind == 1:
            queue = procession.Queue(max_bytes=rng.choice((100, 5000, 200_000, 3_000_000)))
        elif kind == 2:
            queue = procession.SimpleQueue()
        else:
            queue = procession.Queue()
        return QueueUnderTest(queue, high)

    def seed(self) -> int:
        return self.rng.randrange(1 << 30)

    def producer(self, under: QueueUnderTest) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.producers.append(line)
            return self.ledger, line, under.queue, under.high, self.seed()

        return arguments

    def consumer(self, under: QueueUnderTest) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.consumers.append(line)
            return self.ledger, line, under.queue, self.seed()

        return arguments

    def holder(self, under: LockUnderTest) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under.holders.append(line)
            return self.ledger, line, under.lock, under.cell_number, self.seed()

        return arguments

    def parent(self) -> Callable[[int], tuple[Any, ...]]:
        def arguments(line: int) -> tuple[Any, ...]:
            under = self.rng.choice(self.queues)
            jobs: list[Any] = [
                (workers.produce, self.producer(under)(next(self.numbers))),
                (workers.hold, self.holder(self.rng.choice(self.locks))(next(self.numbers))),
            ]
            if not self.spared:
                jobs.append((workers.consume, self.consumer(under)(next(self.numbers))))
            return self.ledger, line, jobs, self.method()

        return arguments

    def make_seats(self) -> Iterator[Seat]:
        for under in self.queues:
            for _ in range(self.rng.randrange(1, 4)):
                yield Seat("producer", workers.produce, self.producer(under))
            for _ in range(self.rng.randrange(1, 4)):
                yield Seat("consumer", workers.consume, self.consumer(under))
        for lock in self.locks:
            for _ in range(self.rng.randrange(1, 3)):
                yield Seat("holder", workers.hold, self.holder(lock))
        if self.options.queue == "procession" and self.rng.random() < 0.7:
            yield Seat("parent", workers.parent, self.parent())

    def make_watched(self) -> Iterator[Watched]:
        for under in self.queues:
            taken = lambda under=under: sum(self.ledger.line(n).received for n in under.consumers)  # noqa: E731
            put = lambda under=under: sum(self.ledger.line(n).committed for n in under.producers)  # noqa: E731
            can_take = lambda under=under: under.queue.qsize() > 0 and self.anybody(under.consumers)  # noqa: E731
            can_put = lambda under=under: (  # noqa: E731
                not self.ledger.finishing and under.queue.qsize() == 0 and self.anybody(under.producers)
            )
            yield Watched(f"gets of {under.queue!r}", taken, can_take)
            yield Watched(f"puts to {under.queue!r}", put, can_put)
        for lock in self.locks:
            entered = lambda lock=lock: lock.cell.entries  # noqa: E731
            can_enter = lambda lock=lock: not self.ledger.finishing and self.anybody(lock.holders)  # noqa: E731
            yield Watched(f"entries of {lock.lock!r}", entered, can_enter)

    # -- seats

    def method(self) -> str:
        return self.rng.choices(self.methods, [SHARES[method] for method in self.methods])[0]

    def line_of(self, seat: Seat) -> Line:
        return self.ledger.line(seat.lines[-1])

    def anybody(self, lines: list[int]) -> bool:
        """Does one of these sit there, alive and at work?"""
        return any(
            seat.lines[-1] in lines and self.line_of(seat).began and seat.process.exitcode is None
            for seat in self.seats
            if seat.process is not None
        )

    def take_seat(self, seat: Seat) -> None:
        line = next(self.numbers)
        arguments = seat.arguments(line)
        seat.lines.append(line)
        seat.stopped_until = 0.0
        seat.process = procession.Process(
            target=seat.target, args=arguments, name=f"{seat.role}-{line}", start_method=self.method()
        )
        seat.process.start()

    def kill(self, seat: Seat) -> None:
        line = self.line_of(seat)
        role = seat.role if line.began else "starting"
        if role == "holder":
            role = {ASLEEP: "holder asleep", AWAKE: "holder awake"}.get(line.phase, "holder waiting")
        if self.rng.random() < 0.5:
            seat.process.kill()
        else:
            kill(seat.process.pid)
        self.killed.add(seat.process.pid)
        self.tally.kills[role] += 1
        self.kills_left -= 1
        self.leaving.append((seat.process, seat.role))
        seat.process = None

    def reap(self) -> None:
        """See how those ended who have ended, and who ended without having been asked to."""
        for seat in self.seats:
            if seat.process is not None and seat.process.exitcode is not None:
                self.leaving.append((seat.process, seat.role))
                seat.process = None
        still = []
        for process, role in self.leaving:
            if process.exitcode is None:
                still.append((process, role))
                continue
            outcome = process.outcome
            expected = EXPECTED_OF_KILLED if process.pid in self.killed else {"finished"}
            if outcome.kind not in expected:
                self.tally.failed += 1
                cause = outcome.exception and outcome.exception.__cause__
                self.tally.fault(f"a {role} ({process.name}) {outcome}{cause or ''}")
            self.killed.discard(process.pid)
            process.close()
        self.leaving = still

    # -- time

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.order), action))

    def pause(self, seconds: float) -> None:
        """Wait, do what is due, and look at everything meanwhile."""
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                heapq.heappop(self.due)[2]()
            self.reap()
            self.look()
            now = time.monotonic()
            if now >= end:
                return
            time.sleep(min(0.002, end - now))

    def look(self) -> None:
        now = time.monotonic()
        elapsed = min(now - self.last_look, SAMPLE_LIMIT)
        self.last_look = now
        if any(seat.stopped_until for seat in self.seats):
            return
        for watched in self.watched:
            watched.look(elapsed, self.tally)

    # -- killing

    def strike(self) -> None:
        """Do one random thing to somebody."""
        rng = self.rng
        taken = [seat for seat in self.seats if seat.process is not None]
        victims = [seat for seat in taken if not (self.spared and seat.role == "consumer")]
        if self.options.stop and taken and rng.random() < 0.3:
            self.stop(rng.choice(taken))
        if not victims:
            return
        how = rng.random()
        if how < 0.03:
            self.kill_guardian()
        elif how < 0.05:
            self.kill_template()
        elif how < 0.15:
            seat = rng.choice(victims)
            self.kill(seat)
            self.take_seat(seat)  # and it is killed again, while it starts
            self.at(rng.random() * rng.choice((0.0, 0.004, 0.1)), lambda: self.kill_if_starting(seat))
        elif how < 0.3:
            for seat in rng.sample(victims, min(len(victims), rng.randrange(2, 6))):
                self.kill(seat)
        else:
            self.kill(rng.choice(victims))

    def kill_if_starting(self, seat: Seat) -> None:
        if seat.process is not None and not self.line_of(seat).began:
            self.kill(seat)

    def kill_guardian(self) -> None:
        guardian = domains.current().guardian()[0]
        deputies = [pid for pid in children_of(guardian) if is_guardian(command_of(pid))]
        for pid in self.rng.choice(([guardian], deputies, [guardian, *deputies])):
            if pid and is_guardian(command_of(pid)):
                kill(pid)
                self.tally.kills["guardian"] += 1
                self.kills_left -= 1

    def kill_template(self) -> None:
        """Nobody but the next start has to do with it."""
        for pid in self.rng.sample(sorted(templates()), min(1, len(templates()))):
            kill(pid)
            self.tally.kills["template"] += 1
            self.kills_left -= 1

    def stop(self, seat: Seat) -> None:
        rng, process = self.rng, seat.process
        seconds = rng.choice((0.003, 0.03, 0.15)) * rng.random()
        seat.stopped_until = time.monotonic() + seconds
        if self.lifeline is None:
            self.lifeline = subprocess.Popen([sys.executable, "-ISc", LIFELINE], stdin=subprocess.PIPE)
        self.lifeline.stdin.write(f"{seat.stopped_until + 1.0} {process.pid}\n".encode())
        self.lifeline.stdin.flush()
        self.tally.stops += 1
        politely = rng.random() < 0.5
        process.suspend() if politely else os.kill(process.pid, signal.SIGSTOP)

        def go_on() -> None:
            if seat.process is process:
                process.resume() if politely else kill(process.pid, signal.SIGCONT)
                seat.stopped_until = 0.0

        self.at(seconds, go_on)

    # -- the course of a round

    def run(self) -> None:
        try:
            while self.kills_left > 0:
                for seat in self.seats:
                    if seat.process is None:
                        self.take_seat(seat)
                self.pause(self.rng.uniform(0.002, 0.03))
                self.strike()
            self.quiet()
            self.finish()
            self.count()
        except Stuck as error:
            self.tally.stuck += 1
            self.tally.fault(f"stuck: {error}\n{self.describe()}")
            if self.options.hold:
                print(f"held for a debugger: driver {os.getpid()}", flush=True)
                signal.pause()
        finally:
            self.clear()

    def quiet(self) -> None:
        """Nobody is killed: everybody who is there must get on."""
        self.pause(0.0)
        while self.due:
            self.pause(0.01)
        for seat in self.seats:
            seat.stopped_until = 0.0
            if seat.process is None:
                self.take_seat(seat)
        waiting = {seat.process.pid: (seat, self.line_of(seat).beats, 0.0) for seat in self.seats}
        started = time.monotonic()
        while waiting:
            self.pause(LOOK)
            for pid, (seat, beats, asleep) in list(waiting.items()):
                if seat.process is None or seat.process.pid != pid or self.line_of(seat).beats > beats:
                    del waiting[pid]
                elif state_of(pid) == "S":  # who runs, or would if he had a CPU, waits for nobody
                    waiting[pid] = seat, beats, asleep + LOOK
            late = time.monotonic() - started > END
            if stuck := {pid: seat for pid, (seat, _, asleep) in waiting.items() if late or asleep > STUCK}:
                raise Stuck(", ".join(f"{seat.process.name} pid {pid}" for pid, seat in stuck.items()))

    def finish(self) -> None:
        """Tell everybody to end, producers first, and kill some of the consumers meanwhile."""
        abrupt = self.rng.random() < 0.3
        if abrupt:
            for under in self.queues:
                under.queue.shutdown()
        self.ledger.finishing = True
        self.wait_for({"producer", "holder"})
        for under in self.queues:
            under.queue.shutdown()
        self.wait_for({"parent"})
        consumers = [seat for seat in self.seats if seat.role == "consumer" and seat.process is not None]
        if not self.spared and consumers and self.rng.random() < 0.5:
            self.kill(self.rng.choice(consumers))
        self.wait_for({"consumer"})
        self.wait_for(set())
        for under in self.queues:  # what no consumer was left for
            line = next(self.numbers)
            under.consumers.append(line)
            workers.consume(self.ledger, line, under.queue, self.seed())

    def wait_for(self, roles: set[str]) -> None:
        end = time.monotonic() + END
        while any(seat.process is not None and seat.role in roles for seat in self.seats) or (
            not roles and self.leaving
        ):
            self.pause(0.002)
            if time.monotonic() > end:
                raise Stuck(f"{', '.join(sorted(roles)) or 'the killed'} did not end")

    def count(self) -> None:
        tally = self.tally
        gone = {*self.grandchildren()}
        end = time.monotonic() + END
        while gone and time.monotonic() < end:
            time.sleep(0.005)
            gone = {*self.grandchildren()}
        for under in self.queues:
            verdict = self.ledger.judge(under.producers, under.consumers, spared=self.spared)
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
        tally.entries += sum(lock.cell.entries for lock in self.locks)

    def grandchildren(self) -> Iterator[int]:
        """Yield the processes of the domain that are neither this one nor a template."""
        domain = domains.current()
        for index, _, state, pid, *_ in domain.slots():
            if state and index != domain.slot and pid and pid not in templates():
                yield pid

    def clear(self) -> None:
        """End everybody, whatever happened, and see that nothing is left."""
        for seat in self.seats:
            if seat.process is not None:
                self.killed.add(seat.process.pid)
                seat.process.kill()
                self.leaving.append((seat.process, seat.role))
                seat.process = None
        end = time.monotonic() + END
        while self.leaving and time.monotonic() < end:
            self.reap()
            time.sleep(0.002)
        if self.lifeline is not None:
            self.lifeline.stdin.close()
            self.lifeline.wait()
        self.watched.clear()
        self.due.clear()
        for seat in self.seats:
            seat.arguments = lambda _line: ()
        self.queues.clear()
        self.locks.clear()
        self.ledger.close()
        self.tally.rounds += 1

    def describe(self) -> str:
        """Everything that helps to see why nobody moves."""
        lines = [f"  {under.queue!r} {getattr(under.queue, 'statistics', str)()}" for under in self.queues]
        lines += [f"  {lock.lock!r} {lock.lock.statistics()} inside {lock.cell.inside}" for lock in self.locks]
        for seat in self.seats:
            if seat.process is not None:
                line = self.line_of(seat)
                pid = seat.process.pid
                lines.append(
                    f"  {seat.process.name} pid {pid} began {line.began} beats {line.beats} committed {line.committed} of "
                    f"{line.attempting} asking {line.asking} phase {line.phase}: {look_at(pid)}"
                )
        lines += [f"  slot {row}" for row in domains.current().slots() if row[2]]
        return "\n".join(lines)
