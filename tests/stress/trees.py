"""Whole programs that are killed at the root: how long until nothing of them is left?

A tree is a root with children, grandchildren and, in some of them, ``sleep`` run by subprocess. All of them carry
a mark in their environment, by which the driver finds them, whoever their parent is by then.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

import procession

__all__ = ["Fall", "fell_a_tree", "marked"]

MARK = "TORTURE_TREE"
LIMIT = 10.0  # seconds; promised is one, but no test asserts a time that a busy machine may stretch
LOOK = 0.005


# ---- the program ---------------------------------------------------------------------------


def leaf(queue: Any, lock: Any, with_other: bool) -> None:
    """Work until the tree falls."""
    if with_other:
        subprocess.Popen(["sleep", "600"])
    while True:
        queue.put(os.getpid())
        with lock:
            queue.get()


def branch(queue: Any, lock: Any, method: str, depth: int, seed: int) -> None:
    """Start some, and some more when those have ended."""
    rng = random.Random(seed)
    subprocess.Popen(["sh", "-c", "sleep 600 & exec sleep 600"])
    grow(queue, lock, method, depth - 1, rng)


def passing() -> None:
    """A child that ends by itself soon."""
    time.sleep(0.02)


def grow(queue: Any, lock: Any, method: str, depth: int, rng: random.Random) -> None:
    """Start children for ever."""
    for i in range(rng.randrange(1, 3)):
        seed = rng.randrange(1 << 30)
        if depth > 0:
            target: Any = branch
            arguments: tuple[Any, ...] = (queue, lock, method, depth, seed)
        else:
            target, arguments = leaf, (queue, lock, i == 0)
        procession.Process(target=target, args=arguments, start_method=method).start()
    print("grown", flush=True)
    while True:
        process = procession.Process(target=passing, start_method="fork")
        process.start()
        process.join()


def main() -> None:
    method, depth, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    queue: Any = procession.Queue(maxsize=100)
    grow(queue, procession.Mutex(), method, depth, random.Random(seed))


# ---- the driver's half ---------------------------------------------------------------------


@dataclass
class Fall:
    """One tree that was felled."""

    killed: str  # who
    size: int  # processes of it at that time
    seconds: float  # until nothing of it was left but the guardian
    guardian: float  # until that was gone too
    left: list[str] = field(default_factory=list)


def marked(mark: str) -> dict[int, str]:
    """Find the living processes with this mark in their environment: pid -> command line."""
    found = {}
    wanted = f"{MARK}={mark}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if wanted not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found[int(pid)] = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it has ended since the listing
    return found


def is_guardian(command: str) -> bool:
    return any(word.endswith("guardian.py") for word in command.split())


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def fell_a_tree(rng: random.Random, method: str) -> Fall:
    """Grow a tree, kill its root at a random instant, and wait for the rest to go."""
    mark = f"{os.getpid()}-{rng.randrange(1 << 60):x}"
    command = [sys.executable, __file__, method, str(rng.randrange(3)), str(rng.randrange(1 << 30))]
    with subprocess.Popen(command, env=os.environ | {MARK: mark}, stdout=subprocess.PIPE) as root:
        assert root.stdout is not None
        if rng.random() < 0.8:  # else it may be killed before it has done anything
            root.stdout.readline()
        time.sleep(rng.random() * (0.5 if method == "spawn" else 0.2))
        tree = marked(mark)
        guardians = [pid for pid, text in tree.items() if is_guardian(text)]
        others = [pid for pid in tree if pid not in guardians and pid != root.pid]
        victims = {"root": root.pid}
        if others and rng.random() < 0.4:
            victims["other"] = rng.choice(others)
        if (
            len(guardians) == 2 and rng.random() < 0.4
        ):  # it, or its deputy: without one nobody would be left to see to it
            victims["guardian"] = rng.choice(guardians)
        order = list(victims.values())
        rng.shuffle(order)
        for pid in order:
            kill(pid)
        start = time.monotonic()
        fall = Fall("+".join(victims), len(tree), 0.0, 0.0)
        clean_looks = 0
        while clean_looks < 2 and time.monotonic() < start + LIMIT:
            left = marked(mark)
            now = time.monotonic() - start
            if any(not is_guardian(text) for text in left.values()):
                fall.seconds = now
            if left:
                fall.guardian = now
            clean_looks = 0 if left else clean_looks + 1  # who is executing just now has no environment to be read
            time.sleep(LOOK)
        fall.left = [f"{pid} {text}" for pid, text in marked(mark).items()]
        for pid in marked(mark):
            kill(pid)
    return fall


if __name__ == "__main__":
    main()
