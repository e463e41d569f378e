"""A torture of its own for programs that use each other's objects: SIGKILL at random of shops and of those who visit them by attach().

    python -m tests.stress.visiting --kills 500 --seed 1

A shop is a program that makes a Queue, a Lock and a SharedDict, and uses them with a child of its own. Visitors find it by its pid, use what it has, let it go,
perhaps with the lock, and come again; when a new shop has come in the place of a killed one they go there. The shops visit, too: what all note they note
in arrays of the program that kills them. Held against: somebody who is alive and does not get on, two under one lock, an item taken twice or changed, a
value that is not the one which was written, any error but those that say that a program is gone, and somebody who still has the memory of a dead shop in the end.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from queue import Empty, Full
from typing import Any

import procession
from procession._memory.domain import domains
from tests.stress import places

SHOPS = 2
VISITORS = 3  # of each shop
SEATS = SHOPS + SHOPS * VISITORS
ITEMS = 1 << 18  # of one seat; a run must not come to its end
SHOPS_AT_MOST = 1 << 14  # in a run
SIZES = [0, 10, 1000, 60_000]  # the last ones travel in buffers
ROOM = 20  # items of a queue
LEAVES = 0.05  # of the turns end with the visit
TOWN = ("pids", "lives", "tried", "taken", "inodes")


class Town:
    """What all programs note, each word or byte by one store, so that no death leaves half of it."""

    def __init__(self, arrays: Any) -> None:
        self.pids = arrays["pids"]  # of the shops, as soon as they are open
        self.lives = arrays["lives"]  # of who sits there; one more before who sits there is killed
        self.tried = arrays["tried"]  # the number of the last item that was put, or nearly
        self.taken = arrays["taken"]
        self.inodes = arrays["inodes"]  # of the memory of each shop there ever was

    def take(self, item: tuple[int, int, bytes]) -> None:
        seat, number, payload = item
        assert payload == bytes([number % 256]) * len(payload), f"item {seat}:{number} is changed"
        assert 1 <= number <= self.tried[seat], f"item {seat}:{number}, and {self.tried[seat]} were put"
        assert self.taken[seat, number] == 0, f"item {seat}:{number} is taken twice"
        self.taken[seat, number] = 1


def make_town() -> Town:
    sizes: dict[str, tuple[Any, str]] = {
        "pids": (SHOPS, "q"),
        "lives": (SEATS, "q"),
        "tried": (SEATS, "q"),
        "taken": ((SEATS, ITEMS), "u1"),
        "inodes": (SHOPS_AT_MOST, "q"),
    }
    return Town({name: procession.shared_array(shape, dtype, name=name) for name, (shape, dtype) in sizes.items()})


class Trader:
    """Who uses the objects of a shop. `who`: 0, or 1 for a shop's child, which has the seat of its parent."""

    def __init__(self, town: Town, seat: int, who: int, shop: Any) -> None:
        self.town, self.seat, self.who = town, seat, who
        self.life = int(town.lives[seat])
        self.jobs, self.lock, self.stock = shop["jobs"], shop["lock"], shop["stock"]
        self.rng = random.Random()
        self.turns = 0

    def turn(self) -> None:
        """Do one thing with one of them."""
        does = [self.put, self.get, self.get, self.guard, self.write]
        self.rng.choice(does)()

    def put(self) -> None:
        if self.who:
            return  # the numbers are the parent's
        number = int(self.town.tried[self.seat]) + 1
        self.town.tried[self.seat] = number
        item = (self.seat, number, bytes([number % 256]) * self.rng.choice(SIZES))
        try:
            self.jobs.put(item, timeout=self.rng.choice([0, 0.001, 0.02]))
        except Full:
            return

    def get(self) -> None:
        try:
            self.town.take(self.jobs.get(timeout=self.rng.choice([0, 0.001, 0.02])))
        except Empty:
            return

    def guard(self) -> None:
        """Be alone under the lock; who was killed there is replaced, and has another life."""
        with self.lock:
            self.enter()
            self.stock["inside"] = None

    def enter(self) -> None:
        me = (self.seat, self.life, self.who)
        inside = self.stock.get("inside")
        assert inside is None or self.town.lives[inside[0]] != inside[1] or inside == me, (
            f"{inside} is under the lock, and {me}"
        )
        self.stock["inside"] = me
        if self.rng.random() < 0.1:
            time.sleep(0.0005)
        assert self.stock["inside"] == me, f"{self.stock['inside']} has come under the lock of {me}"

    def write(self) -> None:
        """Write to one's own keys, and to one that all add to."""
        self.turns += 1
        key = ("of", self.seat, self.who)
        self.stock[key] = (self.life, self.turns, bytes([self.turns % 256]) * self.rng.choice(SIZES[:3]))
        life, turns, content = self.stock[key]
        assert (life, turns) == (self.life, self.turns), f"{self.life}:{self.turns} was written, {life}:{turns} is read"
        assert content == bytes([turns % 256]) * len(content), f"value {life}:{turns} is changed"
        before = self.stock.add("all", 1)
        assert self.stock["all"] >= before, "an addition is lost"


# ---- the visitors ---------------------------------------------------------------------------------


def visit(beats: Any, seat: int, place: tuple[Town, int]) -> None:
    """Attach to the shop that is there, trade, let go; without end."""
    town, shop = place
    rng = random.Random()
    while not town.pids[shop]:
        time.sleep(0.002)
    while True:
        pid = int(town.pids[shop])
        try:
            trader = Trader(town, seat, 0, procession.attach(pid))
        except (ProcessLookupError, procession.NotFound):
            beats[seat] += 1  # it is told that nobody is there
            time.sleep(0.002)
            continue
        while town.pids[shop] == pid and rng.random() >= LEAVES:
            trader.turn()
            beats[seat] += 1
        if rng.random() < 0.2 and trader.lock.acquire(timeout=0.02):
            trader.enter()
            trader.stock["inside"] = None  # and the lock goes with the visit
        beats[seat] += 1
        del trader


# ---- the shops ------------------------------------------------------------------------------------


def keep_shop(beats: Any, seat: int, place: int) -> None:
    """Say which seats are shops'; a shop is a program of its own (`Shop`)."""
    raise NotImplementedError


def trade_for_ever(trader: Trader) -> None:
    while True:
        trader.turn()


def open_shop(driver: int, seat: int) -> None:
    """Make the objects, tell the pid, and use them, until killed, or the driver has gone."""
    there = procession.attach(driver)
    town, beats = Town({name: there[name] for name in TOWN}), there["beats"]
    rng = random.Random()
    shop = {
        "jobs": procession.Queue(ROOM, name="jobs"),
        "lock": rng.choice([procession.Lock, procession.RLock])(name="lock"),
        "stock": procession.SharedDict(name="stock"),
    }
    number = int(town.inodes[0]) + 1 + seat  # another place for each life of each shop
    town.inodes[number] = os.fstat(domains.current().fd).st_ino
    helper = procession.Process(
        target=trade_for_ever, args=(Trader(town, seat, 1, shop),), start_method="fork", daemon=True
    )
    helper.start()
    trader = Trader(town, seat, 0, shop)
    town.pids[seat] = os.getpid()
    while os.getppid() == driver:
        trader.turn()
        beats[seat] += 1
    helper.kill()


class Shop:
    """A shop as the driver sees it: what `places` wants to know of a process."""

    def __init__(self, seat: int) -> None:
        command = [sys.executable, "-m", "tests.stress.visiting", "--shop", str(os.getpid()), str(seat)]
        self.program = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        self.pid = self.program.pid
        self.kill, self.join = self.program.kill, self.program.wait

    @property
    def exitcode(self) -> int | None:
        return self.program.poll()

    @property
    def outcome(self) -> str:
        return f"exit code {self.exitcode}"

    def close(self) -> None:
        """Nothing is open."""


# ---- all of them ----------------------------------------------------------------------------------


def who_has(inodes: Iterable[int]) -> list[int]:
    """Pids of the processes that have one of these files open."""
    wanted = {*inodes}
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            folder = f"/proc/{pid}/fd"
            links = [f"{folder}/{fd}" for fd in os.listdir(folder)]
            if any("memfd:procession" in os.readlink(link) and os.stat(link).st_ino in wanted for link in links):
                found.append(int(pid))
        except OSError:
            continue  # it has ended, or a descriptor was closed: the next look tells
    return found


class Visiting(places.Places):
    """The shops, and their visitors."""

    def furnish(self) -> Sequence[places.Sitter]:
        self.town = make_town()
        shops: list[places.Sitter] = [(keep_shop, shop) for shop in range(SHOPS)]
        return [*shops, *((visit, (self.town, seat % SHOPS)) for seat in range(SHOPS * VISITORS))]

    def sit(self, seat: int) -> None:
        if self.seats[seat][0] is not keep_shop:
            super().sit(seat)
            return
        self.town.inodes[0] += SHOPS
        self.processes[seat] = Shop(seat)
        self.last[seat] = (int(self.beats[seat]), time.monotonic())
        self.begun[seat] = False

    def choose(self) -> int:
        """Mostly not a shop that is not open yet: an interpreter takes its time, and nobody could come."""
        seat = super().choose()
        is_opening = seat < SHOPS and not self.begun[seat]
        return self.rng.randrange(SHOPS, SEATS) if is_opening and self.rng.random() < 0.8 else seat

    def end(self, seat: int) -> None:
        self.town.lives[seat] += 1  # before: whoever finds it inside may come in from now on
        super().end(seat)

    def judge(self) -> None:
        inodes = [int(inode) for inode in self.town.inodes[1:] if inode]
        until = time.monotonic() + places.STUCK
        while left := who_has(inodes):
            if time.monotonic() > until:
                raise RuntimeError(f"these still have the memory of a shop: {left}")
            time.sleep(0.05)
        if not self.town.taken.any():
            raise RuntimeError("nobody took anything: nothing was tested")

    def tell(self) -> str:
        return f"; {int(self.town.taken.sum())} items, {self.deaths_of(keep_shop)} shops were killed"


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--shop", type=int, nargs=2)
    given, _ = options.parse_known_args()
    if given.shop:
        open_shop(*given.shop)
    else:
        places.run(Visiting, "tests.stress.visiting", __doc__)
