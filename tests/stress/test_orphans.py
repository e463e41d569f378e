"""What a killed process leaves is ended, also if those were killed who should have seen to it."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import procession
from procession._memory.domain import domains
from tests.stress.run import warm_up
from tests.stress.trees import is_guardian, marked

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def once() -> None:
    """Let there be what a program has once, before the leak check looks."""
    warm_up()


def until(condition: Callable[[], object]) -> None:
    """Wait; what never comes is ended by the watchdog."""
    while not condition():
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


def run_other(told: Any) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        told.put(other.pid)


def guardians() -> list[int]:
    """Return the guardian of this program, and its deputy."""
    found = []
    mine = os.stat(domains.current().fd).st_ino
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            maps = Path(f"/proc/{pid}/maps").read_text()
        except OSError:
            continue
        if is_guardian(command) and any(line.split()[4] == str(mine) for line in maps.splitlines()):
            found.append(pid)
    return found


def test_what_it_ran_ends_though_the_guardian_was_killed_before_it() -> None:
    told: Any = procession.Queue()
    process = procession.Process(target=run_other, args=(told,), start_method="fork")
    bystander = procession.Process(target=time.sleep, args=(600,), start_method="fork")
    process.start()
    bystander.start()  # as long as it is there, somebody starts a new guardian
    other = told.get()
    until(lambda: len(guardians()) == 2)
    for pid in guardians():
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.join()  # its line of the table is swept before there is another guardian
    until(lambda: not is_alive(other))
    bystander.kill()
    bystander.join()


# fork by its bare number, so that no handler runs: as vfork, by which subprocess begins, and as long as one likes.
BARE_FORK = {"x86_64": (57,), "aarch64": (220, signal.SIGCHLD, 0, 0, 0, 0)}.get(os.uname().machine)


def run_other_slowly(told: Any) -> None:
    assert BARE_FORK is not None
    if ctypes.CDLL(None).syscall(*BARE_FORK) == 0:
        told.put(os.getpid())
        time.sleep(1.0)
        os.execv("/bin/sleep", ["sleep", "600"])
    time.sleep(600)


@pytest.mark.skipif(BARE_FORK is None, reason="the number of fork on this machine is not known here")
def test_what_was_about_to_be_executed_ends_too() -> None:
    told: Any = procession.Queue()
    process = procession.Process(target=run_other_slowly, args=(told,), start_method="fork")
    process.start()
    other = told.get()
    process.kill()
    process.join()
    until(lambda: not is_alive(other))


def start_keeper(told: Any, method: str) -> None:
    procession.Process(target=tell_and_sleep, args=(told,), start_method=method, orphan="keep").start()
    run_other(told)


def tell_and_sleep(told: Any) -> None:
    told.put(os.getpid())
    time.sleep(600)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_that_may_outlive_its_killed_parent_does(method: str) -> None:
    told: Any = procession.Queue()
    process = procession.Process(target=start_keeper, args=(told, method), start_method="fork")
    process.start()
    pids = told.get(), told.get()
    process.kill()
    process.join()
    until(lambda: not all(map(is_alive, pids)))
    [keeper] = filter(is_alive, pids)  # both are found by one search for the parent's mark, if by any
    try:
        assert Path(f"/proc/{keeper}/cmdline").read_bytes().startswith(b"sleep") is False
    finally:
        os.kill(keeper, signal.SIGKILL)
    until(lambda: not is_alive(keeper))
    domains.current().sweep()


def test_line_of_a_child_that_was_never_forked_is_given_up() -> None:
    domain = domains.current()

    def reserve_and_die() -> None:
        domains.current().reserve_slot("never", 0)
        os.kill(os.getpid(), signal.SIGKILL)

    process = procession.Process(target=reserve_and_die, start_method="fork")
    process.start()
    process.join()
    until(lambda: not [row for row in domain.slots() if row[-1] == "never"])


def take_and_end(queue: Any, told: Any, go: Any) -> None:
    queue.get()  # and never task_done()
    told.put(None)
    go.get()


def test_line_of_a_reaped_child_is_freed_though_somebody_held_a_lock_of_its_queue_then() -> None:
    domain = domains.current()
    queue: Any = procession.JoinableQueue()
    told: Any = procession.Queue()
    go: Any = procession.Queue()
    queue.put("held")
    process = procession.Process(target=take_and_end, args=(queue, told, go), name="reaped", start_method="fork")
    process.start()
    told.get()
    with mmap.mmap(domain.fd, domain.size) as memory:
        head_lock = queue._handle[0] + 384  # core/ring.h; under it the sweep gives up the lease
        memory[head_lock : head_lock + 4] = threading.get_native_id().to_bytes(4, "little")  # as one who is stopped
        go.put(None)
        process.join()
        assert [row for row in domain.slots() if row[-1] == "reaped"]
        memory[head_lock : head_lock + 4] = bytes(4)
    domain.sweep()
    until(lambda: not [row for row in domain.slots() if row[-1] == "reaped"])
    [left] = queue.statistics().left
    assert (left.process, left.deliveries) == ("reaped", 1)


PROGRAM = """
import subprocess, sys, time
import procession

def leaf():
    subprocess.Popen(["sleep", "600"])
    print("ready", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    procession.Process(target=leaf, start_method="fork").start()
    time.sleep(600)
"""


@pytest.mark.parametrize("which", [0, 1], ids=["guardian", "deputy"])
def test_tree_ends_though_root_and_guardian_are_killed_at_once(which: int) -> None:
    mark = f"test-{os.getpid()}-{which}"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"TORTURE_TREE": mark}, stdout=subprocess.PIPE, cwd=ROOT
    ) as root:
        assert root.stdout is not None
        root.stdout.readline()
        until(lambda: len([text for text in marked(mark).values() if is_guardian(text)]) == 2)
        pair = sorted(pid for pid, text in marked(mark).items() if is_guardian(text))
        os.kill(pair[which], signal.SIGKILL)
        os.kill(root.pid, signal.SIGKILL)
        until(lambda: not marked(mark))
