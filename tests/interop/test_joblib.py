"""Our objects beside joblib, in whole programs: its workers are processes that it starts, and pickles for, in its own ways."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("joblib")

each_backend = pytest.mark.parametrize("backend", ["loky", "multiprocessing"])


def run(program: str, folder: Path, *arguments: str) -> str:
    """What a program that stands in a file says; it must end well."""
    path = folder / "program.py"
    path.write_text(program)
    result = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# What a worker keeps it keeps in a module: loky takes functions of the main module to pieces and puts them together again.
INITIALIZER = """
import sys, procession as mp
from joblib import Parallel, delayed

def take(*objects):
    sys.given = objects

def work(number):
    jobs, lock = sys.given
    with lock:
        jobs.put(number)
    return lock.statistics().owner_pid

if __name__ == "__main__":
    jobs, lock = mp.Queue(name="jobs"), mp.Lock(name="lock")
    Parallel(2, backend=sys.argv[1], initializer=take, initargs=(jobs, lock))(delayed(work)(n) for n in range(50))
    print(sorted(jobs.get_many(100)) == list(range(50)), lock.locked())
"""


@each_backend
def test_initializer_takes_our_objects(backend: str, tmp_path: Path) -> None:
    assert run(INITIALIZER, tmp_path, backend) == "True False"


BY_NAME = """
import os, sys, procession as mp
from joblib import Parallel, delayed

def work(number, pid):
    import procession as mp
    run = mp.attach(pid)
    with run["lock"]:
        run["sum"].value += number
    run["array"][number] = number
    run["jobs"].put(number)

if __name__ == "__main__":
    jobs, lock, total = mp.Queue(name="jobs"), mp.Lock(name="lock"), mp.RawValue("q", name="sum")
    array = mp.shared_array(50, "i8", name="array")
    Parallel(2, backend=sys.argv[1])(delayed(work)(n, os.getpid()) for n in range(50))
    print(sorted(jobs.get_many(100)) == list(range(50)), total.value == sum(range(50)) == array.sum())
"""


@each_backend
def test_task_finds_our_objects_by_name(backend: str, tmp_path: Path) -> None:
    assert run(BY_NAME, tmp_path, backend) == "True True"


ARGUMENT = """
import sys, procession as mp
from joblib import Parallel, delayed

def work(lock):
    return 1

def texts(error):
    while error is not None:
        yield type(error).__name__ + str(error)
        error = error.__cause__

if __name__ == "__main__":
    lock = mp.Lock(name="stock")
    try:
        Parallel(2, backend=sys.argv[1])(delayed(work)(lock) for _ in range(4))
    except Exception as error:
        text = "".join(texts(error))
        print("NotShared" in text, "'stock'" in text)
    print(sum(Parallel(2, backend=sys.argv[1])(delayed(abs)(1) for _ in range(4))))
"""


@each_backend
def test_argument_of_a_task_is_refused_in_words_as_the_standard_librarys_is(backend: str, tmp_path: Path) -> None:
    assert run(ARGUMENT, tmp_path, backend).splitlines() == ["True True", "4"]


KILLED_WORKER = """
import os, signal, sys, procession as mp
from joblib import Parallel, delayed

def work(number, pid):
    import procession as mp
    lock = mp.attach(pid)["lock"]
    lock.acquire()
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    lock.release()

if __name__ == "__main__":
    lock = mp.Lock(name="lock")
    try:
        Parallel(2, backend="loky")(delayed(work)(n, os.getpid()) for n in range(4))
    except Exception as error:
        print(type(error).__name__)
    print(lock.acquire(timeout=60))
"""


def test_lock_of_a_killed_worker_comes_back(tmp_path: Path) -> None:
    assert run(KILLED_WORKER, tmp_path) == "TerminatedWorkerError\nTrue"


IN_OURS = """
import procession as mp
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

def work(results):
    results.put(Parallel(2, backend="loky")(delayed(pow)(n, 2) for n in range(10)))
    get_reusable_executor().shutdown()  # a forked child that leaves it open waits for it at its end, under multiprocessing too

if __name__ == "__main__":
    results = mp.Queue()
    for method in ("fork", "spawn", "forkserver"):
        process = mp.Process(target=work, args=(results,), start_method=method)
        process.start()
        result = results.get()
        process.join()
        print(method, result == [n * n for n in range(10)], process.outcome)
"""


def test_joblib_inside_processes_of_ours(tmp_path: Path) -> None:
    # Others are loky's: a worker that starts while its pool ends already may complain of that, under multiprocessing too.
    lines = [line for line in run(IN_OURS, tmp_path).splitlines() if line.startswith(("fork", "spawn"))]
    assert lines == [f"{method} True finished" for method in ("fork", "spawn", "forkserver")]
