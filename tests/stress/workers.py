"""What the tortured do: put, get, hold locks, start others. Each may be killed at any instant of it."""

from __future__ import annotations

import os
import queue as stdlib_queue
import random
import subprocess
import time
import warnings
from collections.abc import Callable
from typing import Any

import procession
from tests.stress.arrays import Kept
from tests.stress.items import Broken, identify, make, make_with_lock
from tests.stress.ledger import ASLEEP, AWAKE, ITEMS, OUTSIDE, Ledger, Line, LockCell
from tests.stress.looks import look_at
from tests.stress.pace import LOOK, NICENESS, nap

__all__ = ["consume", "hold", "parent", "produce", "repaired", "sit"]

DYING = 5.0  # seconds that a killed process may take to be gone for /proc
EXITING = 4  # flag of a process, from before its locks come back (linux/sched.h, PF_EXITING)


# ---- queues --------------------------------------------------------------------------------


def produce(ledger: Ledger, number: int, queue: Any, high: int, bulky: float, seed: int) -> None:
    """Put until it is told to finish; at most about `high` items shall wait. `bulky`: the share of large ones."""
    rng = random.Random(seed)
    line = ledger.line(number)
    base = number * ITEMS
    done = 0
    maxsize = queue.statistics().maxsize if isinstance(queue, procession.Queue) else 0
    lengths = (2, 8) if 0 < maxsize < 64 else (2, 8, 60, 300)
    os.nice(NICENESS)
    line.began = 1
    while not ledger.finishing and done < ITEMS:
        line.beats += 1
        if queue.qsize() > high:
            time.sleep(LOOK)
            continue
        how = rng.random()
        count = min(rng.choice(lengths), ITEMS - done) if how < 0.25 else 1
        if 0.25 <= how < 0.26 and isinstance(queue, procession.Queue):
            items = [make_with_lock(base + done)]
        else:
            items = [make(rng, base + done + i, bulky) for i in range(count)]
        line.attempting = done + count
        try:
            if count > 1:
                queue.put_many(items, timeout=0.02 if how < 0.05 else None)
            elif how < 0.85:
                queue.put(items[0])
            elif how < 0.95:
                queue.put(items[0], timeout=rng.random() * 0.01)
            else:
                queue.put_nowait(items[0])
            done += count
        except stdlib_queue.Full as error:
            done += getattr(error, "items_put", 0)
        except procession.ShutDown as error:
            line.committed = done + getattr(error, "items_put", 0)
            break
        line.committed = done
        nap(rng, 0.1)


def consume(ledger: Ledger, number: int, queue: Any, seed: int) -> None:
    """Get until the queue has ended."""
    rng = random.Random(seed)
    line = ledger.line(number)
    seen: dict[int, int] = {}
    kept = Kept(random.Random(seed))
    os.nice(NICENESS)
    line.began = 1
    while True:
        line.beats += 1
        count = rng.choice((1, 1, 1, 2, 16, 200))
        timeout = rng.random() * 0.01 if rng.random() < 0.1 else None
        line.asking = count
        try:
            items = [queue.get(timeout=timeout)] if count == 1 else queue.get_many(count, timeout=timeout)
        except stdlib_queue.Empty:
            line.asking = 0
            continue
        except procession.ShutDown:
            line.asking = 0
            kept.drop_all()
            return
        for item in items:
            identity = identify(item)
            ledger.deliver(identity)
            producer, at = divmod(identity, ITEMS)
            if seen.get(producer, -1) >= at:
                raise Broken(f"item {at} of producer {producer} came after its item {seen[producer]}")
            seen[producer] = at
            if bulk := kept.add(identity, item):
                line.bulky += 1
                line.bulk += bulk
        line.asking = 0
        line.received += len(items)
        nap(rng, 0.02)


# ---- locks ---------------------------------------------------------------------------------


def repaired(error: procession.OwnerDied) -> None:
    """What is repaired after an owner's death is seen by whoever enters: see enter()."""


def is_gone(pid: int) -> bool:
    """Is it dead at this moment, or on its way there?"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *_, flags = file.read().rpartition(b")")[2].split()[:7]
    except OSError:
        return True
    return state in b"ZX" or bool(int(flags) & EXITING)


def is_dead(*pids: int) -> bool:
    """Is one of them gone, or going? Its locks come back before it is a zombie, on a busy machine by seconds."""
    deadline = time.monotonic() + DYING
    while time.monotonic() < deadline:
        if any(map(is_gone, pids)):
            return True
        time.sleep(LOOK)
    return False


def enter(cell: LockCell, lock: Any) -> None:
    """Look whether everybody else is out."""
    before = cell.inside
    if before:
        if not is_dead(before):
            raise Broken(f"{lock!r} let {os.getpid()} in while {before} is inside ({look_at(before)})")
        if isinstance(lock, procession.Mutex) and not lock.owner_died:
            raise Broken(f"{lock!r} did not tell that {before} died inside")
        cell.right = cell.left
    elif cell.left != cell.right:
        raise Broken(f"{lock!r} protects {cell.left} and {cell.right}, and nobody died in between")
    cell.inside = os.getpid()


def hold_once(rng: random.Random, line: Line, cell: LockCell, lock: Any) -> None:
    """Change both numbers, as one who holds the lock."""
    enter(cell, lock)
    line.phase = AWAKE
    value = cell.left + 1
    cell.left = value
    if rng.random() < 0.1:
        line.phase = ASLEEP
        time.sleep(rng.random() * 0.004)
        line.phase = AWAKE
    else:
        for _ in range(rng.choice((0, 50, 20_000))):  # up to half a millisecond
            pass
    if (cell.left, cell.right, cell.inside) != (value, value - 1, os.getpid()):
        raise Broken(f"{lock!r} was held, and somebody else was inside")
    cell.right = value
    cell.entries += 1
    line.phase = OUTSIDE
    cell.inside = 0


def hold(ledger: Ledger, number: int, lock: Any, cell_number: int, seed: int) -> None:
    """Take the lock again and again until it is told to finish."""
    warnings.simplefilter("ignore", procession.OwnerDiedWarning)
    rng = random.Random(seed)
    line = ledger.line(number)
    cell = ledger.lock_cell(cell_number)
    os.nice(NICENESS)
    line.began = 1
    while not ledger.finishing:
        line.beats += 1
        how = rng.random()
        if how < 0.1 and not lock.acquire(timeout=rng.random() * 0.005):
            continue
        if 0.1 <= how < 0.15 and not lock.acquire(block=False):
            continue
        if how < 0.15:
            hold_once(rng, line, cell, lock)
            lock.release()
            continue
        with lock:
            if how < 0.3 and isinstance(lock, procession.RLock):
                with lock:
                    hold_once(rng, line, cell, lock)
            else:
                hold_once(rng, line, cell, lock)
        nap(rng, 0.1)


# ---- semaphores ----------------------------------------------------------------------------


def sit_down(cell: LockCell, semaphore: Any, permits: int) -> int:
    """Take a place that is free, or whose owner is dead: there must be one for each who has a permit."""
    taken = [cell.place(number) for number in range(permits)]
    if 0 in taken or is_dead(*taken):
        number = next(number for number, pid in enumerate(taken) if not pid or is_gone(pid))
        cell.sit(number, os.getpid())
        return number
    raise Broken(f"{semaphore!r} let {os.getpid()} in while {taken} are inside ({', '.join(map(look_at, taken))})")


def sit(ledger: Ledger, number: int, semaphore: Any, permits: int, guard: Any, cell_number: int, seed: int) -> None:
    """Take a permit and a place, again and again until it is told to finish."""
    rng = random.Random(seed)
    line = ledger.line(number)
    cell = ledger.lock_cell(cell_number)
    os.nice(NICENESS)
    line.began = 1
    while not ledger.finishing:
        line.beats += 1
        how = rng.random()
        if how < 0.15:
            taken = semaphore.acquire(timeout=rng.random() * 0.005)
        elif how < 0.2:
            taken = semaphore.acquire(block=False)
        else:
            taken = semaphore.acquire()
        if not taken:
            continue
        line.phase = AWAKE
        with guard:
            place = sit_down(cell, semaphore, permits)
            cell.entries += 1
        if rng.random() < 0.1:
            time.sleep(rng.random() * 0.004)
        if cell.place(place) != os.getpid():
            raise Broken(f"somebody else sits on the place of {os.getpid()}, who has a permit of {semaphore!r}")
        cell.sit(place, 0)
        line.phase = OUTSIDE
        semaphore.release()
        nap(rng, 0.1)


# ---- parents -------------------------------------------------------------------------------


def parent(ledger: Ledger, number: int, jobs: list[tuple[Callable[..., None], tuple[Any, ...]]], method: str) -> None:
    """Start children of its own for the jobs, and something that knows nothing of the library."""
    line = ledger.line(number)
    os.nice(NICENESS)
    line.began = 1
    children = [procession.Process(target=job, args=arguments, start_method=method) for job, arguments in jobs]
    for child in children:
        child.start()
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            while not ledger.finishing:
                line.beats += 1
                time.sleep(LOOK * 5)
            for child in children:
                child.join()
                if child.exitcode:
                    raise Broken(f"{child!r} {child.outcome}")
        finally:
            other.kill()
