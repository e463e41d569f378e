"""A round of the torture: killing, quiet, the end, the count."""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import procession
from procession._memory.domain import domains
from tests.leaks import templates
from tests.stress.arrays import Broken
from tests.stress.cast import Cast
from tests.stress.count import count_leased, count_plain
from tests.stress.filers import judge_files
from tests.stress.killer import Killer
from tests.stress.ledger import FAILED, Ledger, Line
from tests.stress.looks import GUARDIAN, CpuTimes, cpu_times, look_at, state_of
from tests.stress.seats import STUCK, Seat, Stuck, Watched
from tests.stress.tally import Tally

__all__ = ["END", "Round"]

SAMPLE_LIMIT = 0.1  # of the time between two looks no more is counted: the driver itself may have had no CPU
END = 60.0  # seconds; who has not ended by then never will
JOINED = 10.0  # seconds for a join() of a queue of which everything is done
LOOK = 0.02  # seconds
# Who was ending already when it was killed may have finished; and the machine may have been short of memory just then.
OF_KILLED = {"killed", "signalled", "out_of_memory", "finished"}


# ---- a round -------------------------------------------------------------------------------


def slowdown(before: list[tuple[int, CpuTimes]]) -> float:
    """How many times longer everything takes, because those wait for a CPU: who sleeps may wait for one that does."""
    used = [(now.ran - then.ran, now.ready - then.ready) for pid, then in before if (now := cpu_times(pid)).ran]
    ran, ready = (sum(times) for times in zip(*used, strict=True)) if used else (0.0, 0.0)
    return (ran + ready) / max(ran, 0.01) if ready > 0 else 1.0


class Round:
    """One cast (``cast.py``), somebody who kills those at its seats (``killer.py``), and what is seen of it all."""

    def __init__(self, options: argparse.Namespace, tally: Tally, rng: random.Random, kills: int) -> None:
        self.tally = tally
        self.rng = rng
        self.hold = options.hold
        self.spared = options.spare_consumers or tally.rounds % 3 == 2  # the consumers
        self.ledger = Ledger(lines=kills * 8 + 400)
        self.numbers = itertools.count()
        self.cast = Cast(options, rng, self.ledger, self.numbers, spared=self.spared)
        self.queues, self.locks, self.seats = self.cast.queues, self.cast.locks, self.cast.seats
        self.killer = Killer(
            options, tally, rng, self.ledger, self.seats, self.take_seat, kills=kills, spared=self.spared
        )
        self.sure: set[int] = set()  # lines of those who ended with exit code 0
        self.watched = list(self.make_watched())
        self.last_look = time.monotonic()

    def make_watched(self) -> Iterator[Watched]:
        ledger = self.ledger
        for under in self.queues:
            taken = lambda under=under: sum(ledger.line(n).received for n in under.consumers)  # noqa: E731
            put = lambda under=under: sum(ledger.line(n).committed for n in under.producers)  # noqa: E731
            takers = lambda under=under: self.at_work(under.consumers) if under.queue.qsize() else []  # noqa: E731
            putters = lambda under=under: (  # noqa: E731
                [] if ledger.finishing or under.queue.qsize() else self.at_work(under.producers)
            )
            yield Watched("gets of", under.queue, taken, takers)
            yield Watched("puts to", under.queue, put, putters)
        for lock in self.locks:
            entered = lambda lock=lock: lock.cell.entries  # noqa: E731
            enterers = lambda lock=lock: [] if ledger.finishing else self.at_work(lock.holders)  # noqa: E731
            yield Watched("entries of", lock.lock, entered, enterers)
        for semaphore in self.cast.semaphores:
            sat = lambda semaphore=semaphore: semaphore.cell.entries  # noqa: E731
            sitters = lambda semaphore=semaphore: [] if ledger.finishing else self.at_work(semaphore.sitters)  # noqa: E731
            yield Watched("takes of", semaphore.semaphore, sat, sitters)
        if (circle := self.cast.circle) is not None:
            carriers = self.cast.carriers
            passed = lambda: sum(ledger.line(n).received for n in carriers)  # noqa: E731
            passers = lambda: (  # noqa: E731
                self.at_work(carriers) if circle.qsize() and not ledger.finishing else []
            )
            yield Watched("arrays in", circle, passed, passers)
        if (files := self.cast.files) is not None:
            filers = self.cast.filers
            called = lambda: sum(ledger.line(n).beats for n in filers)  # noqa: E731
            callers = lambda: [] if ledger.finishing else self.at_work(filers)  # noqa: E731
            yield Watched("calls of", files, called, callers)

    # -- seats

    def line_of(self, seat: Seat) -> Line:
        return self.ledger.line(seat.lines[-1])

    def at_work(self, lines: list[int]) -> list[int]:
        """Return the pids of those of them who sit there, alive and at work."""
        return [
            seat.process.pid
            for seat in self.seats
            if seat.process is not None
            and seat.lines[-1] in lines
            and self.line_of(seat).began
            and seat.process.exitcode is None
        ]

    def take_seat(self, seat: Seat) -> None:
        line = next(self.numbers)
        arguments = seat.arguments(line)
        seat.lines.append(line)
        seat.stopped_until = 0.0
        seat.method = self.cast.method()
        seat.process = procession.Process(
            target=seat.target, args=arguments, name=f"{seat.role}-{line}", start_method=seat.method
        )
        seat.process.start()

    def reap(self) -> None:
        """See how those ended who have ended, and who ended without having been asked to."""
        for seat in self.seats:
            if seat.process is not None and seat.process.exitcode is not None:
                self.killer.leave(seat)
        still = []
        for process, seat, number in self.killer.leaving:
            if process.exitcode is None:
                still.append((process, seat, number))
                continue
            self.see_end(process, seat.role, number)
            process.close()
        self.killer.leaving = still

    def see_end(self, process: Any, role: str, number: int) -> None:
        killed = process.pid in self.killer.killed
        self.killer.killed.discard(process.pid)
        outcome = process.outcome
        expected = {"failed"} if self.ledger.line(number).ending == FAILED else {"finished"}
        if outcome.kind == "finished":
            self.sure.add(number)
        if outcome.kind not in (expected | OF_KILLED if killed else expected):
            self.tally.failed += 1
            self.tally.torn += "torn: " in str(outcome.exception)
            cause = outcome.exception and outcome.exception.__cause__
            self.tally.fault(f"a {role} ({process.name}) {outcome}{cause or ''}")

    # -- time

    def pause(self, seconds: float) -> None:
        """Wait, do what is due, and look at everything meanwhile."""
        end = time.monotonic() + seconds
        while True:
            self.killer.do_what_is_due()
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

    # -- the course of a round

    def run(self) -> None:
        try:
            while self.killer.kills_left > 0:
                for seat in self.seats:
                    if seat.process is None:
                        self.take_seat(seat)
                self.pause(self.rng.uniform(0.002, 0.03))
                self.killer.strike()
            self.quiet()
            self.finish()
        except Stuck as error:
            self.tally.stuck += 1
            self.tally.fault(f"stuck: {error}\n{self.describe()}")
            if self.hold:
                print(f"held for a debugger: driver {os.getpid()}", flush=True)
                signal.pause()
        except Broken as error:  # the driver takes what is left
            self.tally.failed += 1
            self.tally.torn += "torn: " in str(error)
            self.tally.fault(f"the driver: {error}")
        finally:
            self.clear()

    def quiet(self) -> None:
        """Nobody is killed: everybody who is there must get on."""
        self.pause(0.0)
        while self.killer.due:
            self.pause(0.01)
        for seat in self.seats:
            seat.stopped_until = 0.0
            if seat.process is None:
                self.take_seat(seat)
        # A join goes on when everything is done, which may be at the end.
        waiting = {
            seat.process.pid: (seat, self.line_of(seat).beats, 0.0) for seat in self.seats if seat.role != "joiner"
        }
        started = time.monotonic()
        before = [(seat.process.pid, cpu_times(seat.process.pid)) for seat in self.seats]
        while waiting:
            self.pause(LOOK)
            for seat in self.seats:  # who has put all he may leaves, and a consumer may wait for the next one
                if seat.process is None and seat.role == "producer":
                    self.take_seat(seat)
            for pid, (seat, beats, asleep) in list(waiting.items()):
                if seat.process is None or seat.process.pid != pid or self.line_of(seat).beats > beats:
                    del waiting[pid]
                elif state_of(pid) == "S":  # who runs, or would if he had a CPU, waits for nobody
                    waiting[pid] = seat, beats, asleep + LOOK
            late = time.monotonic() - started > 2 * END
            limit = STUCK * slowdown(before) if any(asleep > STUCK for _, _, asleep in waiting.values()) else STUCK
            if stuck := {pid: seat for pid, (seat, _, asleep) in waiting.items() if late or asleep > limit}:
                raise Stuck(", ".join(f"{seat.process.name} pid {pid}" for pid, seat in stuck.items()))

    def finish(self) -> None:
        """Tell everybody to end, producers first, and kill some of the consumers meanwhile; then count."""
        abrupt = self.rng.random() < 0.3
        if abrupt:
            for under in self.queues:
                under.queue.shutdown()
        self.ledger.finishing = True
        self.wait_for({"producer", "holder", "sitter", "carrier", "filer"}, refill=not abrupt)
        for under in self.queues:
            under.queue.shutdown()
        self.wait_for({"parent"})
        consumers = [seat for seat in self.seats if seat.role == "consumer" and seat.process is not None]
        if not self.spared and consumers and self.rng.random() < 0.5:
            self.killer.kill(self.rng.choice(consumers))
        self.wait_for({"consumer"})
        self.wait_for(set())
        self.wait_for_strangers()
        for under in self.queues:
            line = next(self.numbers)  # of one that takes what no consumer was left for
            under.consumers.append(line)
            count = count_leased if under.leased else count_plain
            count(self.ledger, self.tally, under, line, self.cast.seed(), spared=self.spared, sure=self.sure)
        if self.cast.files is not None:
            judge_files(self.ledger, self.cast.files, self.cast.filers)
        self.tally.entries += sum(lock.cell.entries for lock in self.locks)
        self.count_permits()
        self.ledger.drained = True
        if not self.tally.faults:  # else they may wait for ever
            self.wait_for({"joiner"}, seconds=JOINED)
            self.wait_for(set())
        self.sum_up()

    def count_permits(self) -> None:
        """Nobody has one any more: all must be back, and none more."""
        domains.current().sweep()
        for under in self.cast.semaphores:
            self.tally.permits += under.cell.entries
            now = under.semaphore.statistics()
            self.tally.lost += max(0, under.permits - now.value)
            self.tally.doubled += max(0, now.value - under.permits)
            if (now.value, now.permits) != (under.permits, under.permits):
                self.tally.fault(f"{under.semaphore!r}: all of {under.permits} permits should be free: {now}")

    def wait_for(self, roles: set[str], seconds: float = END, *, refill: bool = False) -> None:
        """Wait until those have ended; without roles: until all have who were killed or told to end.

        `refill`: where a consumer leaves by itself, another sits down, or a producer may wait for room for ever.
        """
        began = moved = time.monotonic()
        progress = -1
        while any(seat.process is not None and seat.role in roles for seat in self.seats) or (
            not roles and self.killer.leaving
        ):
            for seat in self.seats if refill else ():
                if seat.process is None and seat.role == "consumer":
                    self.take_seat(seat)
            self.pause(0.002)
            now = time.monotonic()
            if (made := self.progress()) != progress:  # on a busy machine the rest of a batch may take minutes
                progress, moved = made, now
            if now - moved > seconds or now - began > 10 * END:
                raise Stuck(f"{', '.join(sorted(roles)) or 'the killed'} did not end")

    def progress(self) -> int:
        """A number that changes whenever somebody at a seat has got something done."""
        lines = [self.line_of(seat) for seat in self.seats if seat.process is not None]
        return sum(line.received + line.committed for line in lines)

    def wait_for_strangers(self) -> None:
        """Wait until those have ended whom we did not start ourselves."""
        mine = {os.getpid(), *(seat.process.pid for seat in self.seats if seat.process is not None)}
        end = time.monotonic() + END
        while set(self.program()) - mine and time.monotonic() < end:
            self.pause(0.005)

    def program(self) -> Iterator[int]:
        """Yield the processes of the domain, but for those that serve us all."""
        helpers = templates()
        for _, _, state, pid, *_, flags, _ in domains.current().slots():
            if state and pid and not flags & GUARDIAN and pid not in helpers:
                yield pid

    def sum_up(self) -> None:
        """Add what the lines tell of all."""
        lines = [self.ledger.line(number) for number in range(next(self.numbers))]
        self.tally.arrays += sum(line.bulky for line in lines)
        self.tally.array_bytes += sum(line.bulk for line in lines)
        self.tally.hops += sum(self.ledger.line(number).received for number in self.cast.carriers)
        self.tally.filed += sum(self.ledger.line(number).beats for number in self.cast.filers)
        joiners = [number for seat in self.seats if seat.role == "joiner" for number in seat.lines]
        self.tally.joins += sum(self.ledger.line(number).received for number in joiners)

    def clear(self) -> None:
        """End everybody, whatever happened, and see that nothing is left."""
        for seat in self.seats:
            if seat.process is not None:
                self.killer.killed.add(seat.process.pid)
                seat.process.kill()
                self.killer.leave(seat)
        end = time.monotonic() + END
        while self.killer.leaving and time.monotonic() < end:
            self.reap()
            time.sleep(0.002)
        self.killer.close()
        self.watched.clear()
        self.cast.let_go()
        self.ledger.close()
        self.tally.rounds += 1

    def describe(self) -> str:
        """Everything that helps to see why nobody moves."""
        lines = [f"  {under.queue!r} {getattr(under.queue, 'statistics', str)()}" for under in self.queues]
        lines += [f"  {self.cast.circle!r}"] * (self.cast.circle is not None)
        lines += [f"  {self.cast.files!r}"] * (self.cast.files is not None)
        lines += [f"  {lock.lock!r} {lock.lock.statistics()} inside {lock.cell.inside}" for lock in self.locks]
        lines += [f"  {under.semaphore!r} {under.semaphore.statistics()}" for under in self.cast.semaphores]
        for seat in self.seats:
            if seat.process is not None:
                line = self.line_of(seat)
                pid = seat.process.pid
                lines.append(
                    f"  {seat.process.name} ({seat.method}) pid {pid} began {line.began} beats {line.beats} committed "
                    f"{line.committed} of {line.attempting} asking {line.asking} phase {line.phase}: {look_at(pid)}"
                )
        lines += [f"  slot {row}" for row in domains.current().slots() if row[2]]
        return "\n".join(lines)
