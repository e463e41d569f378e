"""Who kills and stops those at the seats of a round, at random."""

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
from collections.abc import Callable
from typing import Any

from procession._memory.domain import domains
from tests.stress.ledger import ASLEEP, AWAKE, Ledger
from tests.stress.looks import children_of, command_of, templates_of
from tests.stress.seats import Seat
from tests.stress.tally import Tally
from tests.stress.trees import is_guardian, kill

__all__ = ["Killer"]

AT_WORK = 0.6  # of the strikes hit only those who have got to work

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


class Killer:
    """Kills until it has used up what it may; `take_seat` puts somebody else on a seat."""

    def __init__(
        self,
        options: argparse.Namespace,
        tally: Tally,
        rng: random.Random,
        ledger: Ledger,
        seats: list[Seat],
        take_seat: Callable[[Seat], None],
        *,
        kills: int,
        spared: bool,
    ) -> None:
        self.options = options
        self.tally = tally
        self.rng = rng
        self.ledger = ledger
        self.seats = seats
        self.take_seat = take_seat
        self.kills_left = self.most = kills
        self.too_early = 0  # of these: who had not begun
        self.spared = spared  # the consumers
        self.killed: set[int] = set()
        self.leaving: list[tuple[Any, Seat, int]] = []  # killed, or ended: process, its seat, its line
        self.due: list[tuple[float, int, Callable[[], None]]] = []  # a heap
        self.order = itertools.count()
        self.lifeline: Any = None

    # -- time

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.order), action))

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            heapq.heappop(self.due)[2]()

    def close(self) -> None:
        self.due.clear()
        if self.lifeline is not None:
            self.lifeline.stdin.close()
            self.lifeline.wait()

    # -- killing

    def leave(self, seat: Seat) -> None:
        """Take one from its seat, who has ended or will soon."""
        self.leaving.append((seat.process, seat, seat.lines[-1]))
        seat.process = None

    def kill(self, seat: Seat) -> None:
        line = self.ledger.line(seat.lines[-1])
        role = seat.role if line.began else "starting"
        if role == "holder":
            role = {ASLEEP: "holder asleep", AWAKE: "holder awake"}.get(line.phase, "holder waiting")
        if self.rng.random() < 0.5:
            seat.process.kill()
        else:
            kill(seat.process.pid)
        self.killed.add(seat.process.pid)
        self.tally.kills[role] += 1
        self.tally.methods[role, seat.method] += 1
        self.too_early += role == "starting"
        self.kills_left -= 1
        self.leave(seat)

    def strike(self) -> None:
        """Do one random thing to somebody."""
        rng = self.rng
        taken = [seat for seat in self.seats if seat.process is not None]
        victims = [seat for seat in taken if not (self.spared and seat.role == "consumer")]
        # Where starts take long, hardly one would get to work.
        if rng.random() < AT_WORK or 2 * self.too_early > self.most - self.kills_left:
            victims = [seat for seat in victims if self.ledger.line(seat.lines[-1]).began]
        if self.options.stop and taken and rng.random() < 0.3:
            self.stop(rng.choice(taken))
        if not victims:
            return
        how = rng.random()
        if how < 0.03:
            self.kill_guardian()
        elif how < 0.06 and "forkserver" in self.options.start_methods:
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
        if seat.process is not None and not self.ledger.line(seat.lines[-1]).began:
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
        """Kill who forks the children of method forkserver: ours, or one of a process that we started."""
        if templates := [pid for pid in templates_of(domains.current()) if self.rng.random() < 0.7]:
            pid = self.rng.choice(templates)
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
