"""Whoever is forked while the C threads are away has them again: a pause is of the process that made it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FORKED = """
import os, select, threading
import procession, procession._process.janitor
pid = os.fork()  # before this process ever had a bell or a child
if pid == 0:
    queue = procession.SimpleQueue()
    bell = queue.fileno()
    threading.Timer(0.05, queue.put, ("late",)).start()
    select.select([bell], [], [])
    print(queue.get(), flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""

LATER = """
import os, signal, time
import procession
from procession._process.templates import templates

def names():
    return [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]

def look(queue):
    process = procession.Process(target=signal.pause, start_method="fork")
    process.start()
    while "pn-janitor" not in names():  # it has its name a moment after its start
        time.sleep(0.001)
    queue.put("has one")
    process.kill()
    process.join()

if __name__ == "__main__":
    queue = procession.Queue()
    for turn in range(2):
        process = procession.Process(target=look, args=(queue,), start_method="forkserver")
        process.start()
        print(queue.get())
        process.join()
        first = templates.serving
        while turn == 0 and templates.serving is first:  # until there is one that has imported the janitor's module
            templates.tend()
            time.sleep(0.01)
"""


def said(folder: Path, program: str) -> list[str]:
    path = folder / "program.py"
    path.write_text(program)
    result = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.split()


def test_doorbell_rings_in_a_plain_fork(tmp_path: Path) -> None:
    assert said(tmp_path, FORKED) == ["late", "0"]


def test_child_of_a_successor_has_a_janitor(tmp_path: Path) -> None:
    assert said(tmp_path, LATER) == ["has", "one", "has", "one"]
