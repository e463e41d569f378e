"""Torch with our contexts, and our objects beside ``torch.multiprocessing``, where torch is installed.

Each is a program of its own: torch starts threads and a resource tracker, and what it shares is in /dev/shm while it lives.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.helpers import METHODS

# Each worker that is spawned imports torch.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
each_method = pytest.mark.parametrize("method", METHODS)


def run(program: str, folder: Path, *arguments: str) -> list[str]:
    """Return the lines that a program says; it must end well, and leave nothing in /dev/shm."""
    path = folder / "program.py"
    path.write_text(program)
    before = set(os.listdir("/dev/shm"))
    result = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    left = {name for name in os.listdir("/dev/shm") if name.startswith("torch")} - before
    assert not left
    return result.stdout.splitlines()


LOADER = """
import os, sys
import torch, procession
from torch.utils.data import DataLoader, Dataset

class Rows(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.full((3,), float(index)), os.getpid()

if __name__ == "__main__":
    method, persistent = sys.argv[1], sys.argv[2] == "persistent"
    loader = DataLoader(
        Rows(), batch_size=2, num_workers=2, pin_memory=False, persistent_workers=persistent,
        multiprocessing_context=procession.get_context(method),
    )
    workers = []
    for _ in range(2):
        batches = list(loader)
        print([rows[:, 0].tolist() for rows, _ in batches] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
        workers.append({pid for _, pids in batches for pid in pids.tolist()})
        if persistent:
            print(all(isinstance(worker, procession.Process) for worker in loader._iterator._workers))
    print(os.getpid() in set.union(*workers), workers[0] == workers[1])
"""


@each_method
def test_data_loader_takes_a_context(method: str, tmp_path: Path) -> None:
    assert run(LOADER, tmp_path, method, "each anew") == ["True"] * 2 + ["False False"]


@each_method
def test_data_loader_keeps_its_workers(method: str, tmp_path: Path) -> None:
    assert run(LOADER, tmp_path, method, "persistent") == ["True"] * 4 + ["False True"]


KILLED = """
import os, signal, sys
import torch, procession
from torch.utils.data import DataLoader, Dataset

class Rows(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.tensor(index)

if __name__ == "__main__":
    loader = DataLoader(Rows(), num_workers=2, multiprocessing_context=procession.get_context(sys.argv[1]))
    try:
        list(loader)
    except RuntimeError as error:
        print("exited unexpectedly" in str(error) or "killed by signal" in str(error))
    print("goes on")
"""


@each_method
def test_killed_worker_of_a_data_loader_is_an_error(method: str, tmp_path: Path) -> None:
    assert run(KILLED, tmp_path, method) == ["True", "goes on"]


# By whom the process is, by whom the queue: torch's reductions are registered with the ForkingPickler of both.
TENSORS = """
import sys
import torch, torch.multiprocessing, procession

def work(jobs, results, lock):
    with lock:
        tensor, other = jobs.get()
        tensor += 1
        results.put((tensor * 2, torch.arange(100_000)))
        results.put(other)
        assert jobs.get() == "seen"

if __name__ == "__main__":
    method, library = sys.argv[1:]
    context = procession.get_context(method) if library == "ours" else torch.multiprocessing.get_context(method)
    jobs, results, lock = procession.Queue(), procession.Queue(), procession.Lock()
    process = context.Process(target=work, args=(jobs, results, lock))
    process.start()
    shared = torch.zeros(4)
    of_numpy = torch.from_numpy(procession.shared_array(4, "f4", fill=1.5))
    jobs.put((shared, of_numpy))
    doubled, long = results.get()
    print(doubled.tolist(), int(long.sum()), results.get().tolist())
    jobs.put("seen")
    process.join()
    print(process.exitcode)
"""


@each_method
@pytest.mark.parametrize("library", ["ours", "theirs"])
def test_tensors_through_our_queue(library: str, method: str, tmp_path: Path) -> None:
    assert run(TENSORS, tmp_path, method, library) == ["[2.0, 2.0, 2.0, 2.0] 4999950000 [1.5, 1.5, 1.5, 1.5]", "0"]


INSTALLED = """
import sys, procession

procession.install()

import torch, torch.multiprocessing as tmp
from torch.utils.data import DataLoader

def add(tensor, queue, done):
    tensor += 1
    queue.put(tensor)
    done.wait()

def spawned(rank, queue):
    queue.put(rank)

if __name__ == "__main__":
    method = sys.argv[1]
    context = tmp.get_context(method)
    tensor, queue, done = torch.zeros(3).share_memory_(), context.SimpleQueue(), context.Event()
    process = context.Process(target=add, args=(tensor, queue, done))
    process.start()
    print(queue.get().tolist(), tensor.tolist(), isinstance(process, procession.Process))
    done.set()
    process.join()
    print(process.exitcode, type(queue).__module__.partition(".")[0])
    ranks = context.SimpleQueue()
    tmp.start_processes(spawned, args=(ranks,), nprocs=2, start_method=method)
    print(sorted([ranks.get(), ranks.get()]))
    print([int(row) for row in DataLoader(list(range(4)), num_workers=2, multiprocessing_context=method)])
"""


@each_method
def test_torch_after_install(method: str, tmp_path: Path) -> None:
    lines = ["[1.0, 1.0, 1.0] [1.0, 1.0, 1.0] True", "0 procession", "[0, 1]", "[0, 1, 2, 3]"]
    assert run(INSTALLED, tmp_path, method) == lines
