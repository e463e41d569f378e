"""One warning, and by name, of a fork beside threads; the same for every version of Python."""

from __future__ import annotations

import os
import sys

import pytest

from tests.lifecycle.tools import run

THREADS = """
import ctypes, multiprocessing, os, procession, threading
stop = threading.Event()
for name in {names}:
    threading.Thread(target=stop.wait, name=name).start()
def start():
    process = procession.Process(target=int, name="mine", start_method="fork")
    process.start()
    process.join()
    return process.outcome.kind
print(start(), start(), start())
stop.set()
"""


@pytest.mark.parametrize("names", [[], ["reader"], ["reader", "writer"]])
def test_warning_comes_once_and_names_the_threads(names: list[str]) -> None:
    result = run(THREADS.format(names=names), "-W", "default")
    warnings = [line for line in result.stderr.splitlines() if "Warning: " in line]
    assert len(warnings) == bool(names)
    assert all(f"'{name}'" in warnings[0] for name in names)
    assert all("ForkWarning: Process 'mine' was forked" in line for line in warnings)
    assert "janitor" not in result.stderr  # who is there, too, by the second start
    assert result.stdout == "finished finished finished\n"


def test_warning_points_at_the_start() -> None:
    result = run(THREADS.format(names=["reader"]), "-W", "default")
    assert result.stderr.startswith("<string>:8: ForkWarning") or "<string>:8: ForkWarning" in result.stderr


def test_start_goes_on_where_warnings_are_errors() -> None:
    result = run(THREADS.format(names=["reader"]), "-W", "error")
    assert (result.stdout, result.stderr, result.returncode) == ("finished finished finished\n", "", 0)


NATIVE = """
import ctypes, procession
libc = ctypes.CDLL(None)
started = ctypes.c_int(0)
# A thread that Python has never heard of: it waits in the C library.
handle = ctypes.c_ulong()
usleep = ctypes.cast(libc.pause, ctypes.c_void_p)
assert libc.pthread_create(ctypes.byref(handle), None, usleep, None) == 0
libc.pthread_setname_np(handle, b"openblas-7")
process = procession.Process(target=int, start_method="fork")
process.start()
process.join()
print(process.outcome)
import os; os._exit(0)
"""


def test_thread_of_a_library_is_named_as_the_kernel_calls_it() -> None:
    result = run(NATIVE.replace("print(process.outcome)", "print(process.outcome, flush=True)"), "-W", "default")
    assert "'openblas-7' (of a C library, thread " in result.stderr
    assert result.stdout == "finished\n"


IN_A_CHILD = """
import procession, threading
stop = threading.Event()
def start():
    thread = threading.Thread(target=stop.wait, name="mine", daemon=True)
    thread.start()
    process = procession.Process(target=int, start_method="fork")
    process.start()
    process.join()
start()
child = procession.Process(target=start, start_method="fork")
child.start()
child.join()
stop.set()
"""


def test_child_has_its_own_warning() -> None:
    assert run(IN_A_CHILD, "-W", "default").stderr.count("ForkWarning: ") == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_methods_warn_of_nothing(method: str) -> None:
    result = run(THREADS.format(names=["reader"]).replace('"fork"', repr(method)), "-W", "default")
    assert (result.stdout, result.stderr) == ("finished finished finished\n", "")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before 3.12 os.fork() warns of nothing")
def test_python_s_own_warning_is_not_added() -> None:
    assert "DeprecationWarning" not in run(THREADS.format(names=["reader"]), "-W", "default").stderr


def test_threads_that_a_library_ends_before_a_fork_are_no_reason() -> None:
    pytest.importorskip("numpy")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("OpenBLAS starts no thread on one CPU")
    program = """
import os
os.environ.pop("OPENBLAS_NUM_THREADS", None), os.environ.pop("OMP_NUM_THREADS", None)
import numpy, procession
def threads():
    return len(os.listdir("/proc/self/task"))
def multiply():
    assert (numpy.ones((300, 300)) @ numpy.ones((300, 300)) == 300).all()
def in_child():
    before = threads()  # OpenBLAS has none here, and starts them anew
    multiply()
    assert before == 1 < threads()
multiply()
assert threads() > 1
for _ in range(3):  # each time they are there again
    process = procession.Process(target=in_child, start_method="fork")
    process.start()
    process.join()
    print(process.outcome)
    multiply()
"""
    result = run(program, "-W", "default")
    assert (result.stdout, result.stderr) == ("finished\n" * 3, "")
