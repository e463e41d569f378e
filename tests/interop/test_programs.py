"""Whole programs that use our objects beside the standard library's processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(program: str, folder: Path, python: str = sys.executable) -> str:
    """What a program that stands in a file says; it may say nothing on stderr."""
    path = folder / "program.py"
    path.write_text(program)
    result = subprocess.run([python, "-W", "error", str(path)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


# The child imports the program before it gets its arguments: it makes a queue, and a domain, of its own.
MODULE_LEVEL = """
import multiprocessing, procession
queue = procession.Queue(name="of the module")

def work(given):
    assert given is not queue and given._domain is not queue._domain
    queue.put("in my own")
    given.put(queue.get())

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_queue_of_a_spawned_main_module(tmp_path: Path, method: str) -> None:
    assert run(MODULE_LEVEL.format(method=method), tmp_path) == "in my own"


# The child's own domain is another one than the parent's, and its objects travel all the same.
OTHER_DOMAIN = """
import multiprocessing, procession
mine = procession.Queue(name="of the module")

def work(given):
    given.put(mine)
    given.put_many([mine.get(), mine.get()])

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work, args=(mine,))
    process.start()
    back = mine.get()
    assert back._domain is not mine._domain
    back.put("first")
    back.put(mine)
    print(mine.get(), mine.get() is not None)
    process.join()
"""


def test_object_of_the_child_s_own_domain_reaches_the_parent(tmp_path: Path) -> None:
    assert run(OTHER_DOMAIN, tmp_path) == "first True"


FORK_AFTER_USE = """
import multiprocessing, os, threading, procession
queue, lock, mutex = procession.Queue(), procession.Lock(), procession.Mutex()

def work():
    with lock, mutex:
        queue.put(os.getpid())

work()
queue.get()
for _ in range(3):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    assert queue.get() == process.pid
    process.join()
pid = os.fork()
if pid == 0:
    work()
    os._exit(0)
assert queue.get() == pid
os.waitpid(pid, 0)
print(threading.active_count(), len(os.listdir("/proc/self/task")))
"""


def strict_python() -> str:
    """An interpreter that warns when a process with threads forks (3.12 and later)."""
    if sys.version_info >= (3, 12):
        return sys.executable
    made = ROOT / ".venv-python3.13"
    newest = max(path.stat().st_mtime for path in (ROOT / "core").rglob("*.[ch]"))
    if not (made / ".built").exists() or (made / ".built").stat().st_mtime < newest:
        pytest.skip("needs Python 3.12 or later: make build PYTHON=python3.13")
    return str(made / "bin" / "python")


def test_forking_after_our_objects_were_used_is_silent(tmp_path: Path) -> None:
    assert run(FORK_AFTER_USE, tmp_path, strict_python()) == "1 1"


EXEC_IN_OUR_CHILD = """
import os, procession
lock, queue = procession.Lock(), procession.Queue()

def work():
    lock.acquire()
    queue.put("mine")
    os.execlp("sleep", "sleep", "1000")

process = procession.Process(target=work, start_method="fork")
process.start()
print(queue.get(), lock.acquire(), process.is_alive())
process.kill()
process.join()
"""


def test_lock_of_a_child_of_ours_comes_back_when_it_calls_exec(tmp_path: Path) -> None:
    assert run(EXEC_IN_OUR_CHILD, tmp_path) == "mine True True"


KILLED_CHILD = """
import multiprocessing, os, signal, procession
queue, lock = procession.Queue(), procession.Lock()

def work():
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)

process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
assert lock.acquire()
print("mine")
"""


def test_lock_of_a_killed_child_comes_back(tmp_path: Path) -> None:
    assert run(KILLED_CHILD, tmp_path) == "mine"
