"""A killed parent leaves nothing: children, grandchildren and what they ran end; by the kernel, or by the guardian."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import procession
from tests.lifecycle.tools import end, guardian_of, is_gone, numbers, program, run, until

METHODS = ["fork", "spawn", "forkserver"]

# A root with a child and a grandchild, each of which also runs something by subprocess; prints all pids.
FAMILY = r"""
import os, procession, subprocess, sys, threading, time
def tell(number):
    os.write(1, b"%d\n" % number)  # in one piece: several processes write
def rest(*_):
    tell(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid)
    time.sleep(600)
def child(method):
    inner = procession.Process(target=rest, start_method=method)
    inner.start()
    tell(inner.pid)
    rest()
if __name__ == "__main__":
    outer = procession.Process(target=child, args=("fork",), start_method="METHOD", orphan="ORPHAN")
    def start():
        outer.start()
        tell(outer.pid)
    THREAD
    outer.join()
"""
IN_MAIN = "start()"
# The thread has ended long before the parent is killed, and must not take the child with it when it ends.
IN_THREAD = "thread = threading.Thread(target=start); thread.start(); thread.join()"


def family(method: str = "fork", orphan: str = "kill", thread: str = IN_MAIN) -> str:
    return FAMILY.replace("METHOD", method).replace("ORPHAN", orphan).replace("THREAD", thread)


@pytest.mark.parametrize("thread", [IN_MAIN, IN_THREAD], ids=["from main", "from a thread that has ended"])
def test_killed_parent_leaves_nobody(thread: str) -> None:
    with program(family(thread=thread)) as root:
        pids = numbers(root, 4)  # child, grandchild and what they run
        assert not any(is_gone(pid) for pid in pids)
        os.kill(root.pid, signal.SIGKILL)
        until(lambda: all(is_gone(pid) for pid in pids), "everybody is gone")


@contextmanager
def script(folder: Path, method: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A family in a file, which a child that is not forked imports."""
    path = folder / "family.py"
    path.write_text(family(method=method, **more))
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as root:
        try:
            yield root
        finally:
            root.kill()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("thread", [IN_MAIN, IN_THREAD], ids=["from main", "from a thread that has ended"])
def test_killed_parent_leaves_no_child_of_another_method(tmp_path: Path, method: str, thread: str) -> None:
    with script(tmp_path, method, thread=thread) as root:
        pids = numbers(root, 4)
        templates = children_of(root.pid)
        assert not any(is_gone(pid) for pid in pids)
        root.kill()
        until(lambda: all(is_gone(pid) for pid in {*pids, *templates}), "everybody is gone")


@pytest.mark.parametrize("method", METHODS)
def test_killed_child_leaves_nobody_either(tmp_path: Path, method: str) -> None:
    with script(tmp_path, method) as root:
        pids = numbers(root, 4)
        child = next(pid for pid in pids if parent_of(pid) == root.pid)
        os.kill(child, signal.SIGKILL)
        until(lambda: all(is_gone(pid) for pid in pids), "everybody is gone")
        # and the program goes on to its end: it waited for the child only
        assert root.wait() == 0


def test_child_and_parent_killed_together() -> None:
    with program(family()) as root:
        pids = numbers(root, 4)
        for pid in [root.pid, *pids[:2]]:
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(is_gone(pid) for pid in pids), "everybody is gone")


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.parametrize("method", METHODS)
def test_kept_child_outlives_its_parent(tmp_path: Path, method: str) -> None:
    with script(tmp_path, method, orphan="keep") as root:
        pids = numbers(root, 4)
        os.kill(root.pid, signal.SIGKILL)
        root.wait()
        # The guardian has looked at the table when it has swept the root's line; nobody may be gone by then.
        child = next(pid for pid in pids if parent_of(pid) not in {1, *pids} or parent_of(pid) == 1)
        assert not any(is_gone(pid) for pid in pids)
        end(child)
        until(lambda: all(is_gone(pid) for pid in pids), "its own children end with it")


def test_dead_guardian_is_replaced_and_the_next_one_knows_everybody() -> None:
    with program(family()) as root:
        pids = numbers(root, 4)
        until(lambda: guardian_of(root.pid), "there is a guardian")
        first = guardian_of(root.pid)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: guardian_of(root.pid) not in {None, first}, "there is another")
        os.kill(root.pid, signal.SIGKILL)
        until(lambda: all(is_gone(pid) for pid in pids), "everybody is gone")


SIGPIPE_KILLS = """
import os, procession, signal, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
def start():
    process = procession.Process(target=int, start_method="fork")
    process.start()
    process.join()
    return process.outcome.kind
start()
domain = procession.Queue()._domain
while not domain.guardian()[0]:
    time.sleep(0.001)
print(start(), flush=True)  # this one rings
first = domain.guardian()[0]
with open(f"/proc/{first}/task/{first}/children") as file:
    both = [first, *map(int, file.read().split())]
for pid in both:
    os.kill(pid, signal.SIGSTOP)  # nobody takes anybody's place
for pid in both:
    os.kill(pid, signal.SIGKILL)
    while os.path.exists(f"/proc/{pid}/fd/0"):
        time.sleep(0.001)
print(start(), start(), flush=True)
"""


def test_death_of_the_guardian_is_no_broken_pipe() -> None:
    result = run(SIGPIPE_KILLS)
    assert (result.stdout, result.stderr, result.returncode) == ("finished\nfinished finished\n", "", 0)


RESERVED = """
import os, procession
from procession._memory.domain import domains
process = procession.Process(target=int, start_method="fork")
process.start()
process.join()
while not domains.current().guardian()[0]:
    pass
print(domains.current().guardian()[0], flush=True)
domains.current().reserve_slot("", 8)  # as for a child that multiprocessing is about to start
os.kill(os.getpid(), 9)
"""


def test_guardian_does_not_wait_for_a_child_that_nobody_can_start_any_more() -> None:
    guardian = int(run(RESERVED).stdout)
    until(lambda: is_gone(guardian), "the guardian is gone")  # it was a minute, three times what until() waits


def test_guardian_ends_with_the_program() -> None:
    with program(family()) as root:
        numbers(root, 4)
        until(lambda: guardian_of(root.pid), "there is a guardian")
        guardian = guardian_of(root.pid)
        assert guardian is not None
        os.kill(root.pid, signal.SIGKILL)
        until(lambda: is_gone(guardian), "the guardian is gone")


def test_guardian_holds_no_descriptor_of_the_program() -> None:
    """Whoever reads the program's output sees its end when the program ends."""
    with program(family()) as root:
        numbers(root, 4)
        until(lambda: guardian_of(root.pid), "there is a guardian")
        guardian = guardian_of(root.pid)
        targets = [os.readlink(f"/proc/{guardian}/fd/{fd}") for fd in (0, 1, 2)]
        assert targets == ["/dev/null"] * 3
        assert os.readlink(f"/proc/{guardian}/cwd") == "/"
        assert parent_of(guardian or 0) != root.pid


LEFT_BEHIND = """
import os, procession, subprocess
def leave_something():
    print(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid, flush=True)
process = procession.Process(target=leave_something, start_method="fork")
process.start()
process.join()
print(os.getpid(), flush=True)
input()
"""


def test_what_a_process_leaves_that_ended_by_itself_is_its_own_matter() -> None:
    command = [sys.executable, "-c", LEFT_BEHIND]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as root:
        left, _ = numbers(root, 2)
        guardian = guardian_of(root.pid)
        root.kill()
        until(lambda: guardian is None or is_gone(guardian), "the guardian is done")
        assert not is_gone(left)
        end(left)


def test_process_that_executes_another_program_is_left_to_it() -> None:
    """Its line of the table is dead, since exec ends what it held here; the process is not."""
    process = procession.Process(target=os.execlp, args=("sleep", "sleep", "2"), start_method="fork")
    process.start()
    domain = procession.Queue()._domain
    until(lambda: domain.sweep() or [line[2] for line in domain.slots() if line[3] == process.pid] == [3], "exec")
    ring = procession.Process(target=int)
    ring.start()  # the guardian looks at the table
    ring.join()
    process.join()
    assert str(process.outcome) == "finished"


ALONE = """
import multiprocessing.spawn, procession, sys
from procession import _core
EMBED
_core.arm_guardian = lambda *_: print("a guardian")
process = procession.Process(target=int, start_method="fork")
process.start()
process.join()
print(process.outcome)
"""


@pytest.mark.parametrize("embed", ["multiprocessing.spawn.set_executable(None)", "sys.frozen = True"])
def test_program_without_an_interpreter_forks_without_a_guardian(embed: str) -> None:
    """An embedded interpreter, and a packed program, which would be run again in the guardian's place."""
    result = run(ALONE.replace("EMBED", embed))
    assert (result.stdout, result.stderr) == ("finished\n", "")
