"""What CPython's suites use of the private parts of multiprocessing, and ours must serve: as the suites use it."""

from __future__ import annotations

import gc
import multiprocessing.heap
import multiprocessing.process
import subprocess
import sys
import weakref
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

import procession
from tests.helpers import METHODS

hooks: Any = multiprocessing.process


def nothing() -> None:
    """End well."""


def ended(method: str) -> Any:
    """A process that has ended, which nobody has asked yet."""
    process: Any = procession.get_context(method).Process(target=nothing)
    process.start()
    wait([process.sentinel])
    return process


@pytest.mark.parametrize("method", METHODS)
def test_dangling_has_a_process_for_as_long_as_there_is_one(method: str) -> None:
    process = ended(method)
    assert process in hooks._dangling
    process.join()
    process.close()
    gone = weakref.ref(process)
    del process
    gc.collect()
    assert gone() is None
    assert all(isinstance(other, hooks.BaseProcess) for other in hooks._dangling)


@pytest.mark.parametrize("method", METHODS)
def test_cleanup_forgets_what_has_ended(method: str) -> None:
    process = ended(method)
    assert process in hooks._children
    hooks._cleanup()
    assert process not in hooks._children
    assert process.exitcode == 0
    process.close()


def write(wrapper: Any, lock: Any) -> None:
    """Write into its memory."""
    with lock, wrapper.create_memoryview() as raw, raw.cast("i") as numbers:
        numbers[0] += 42


@pytest.mark.parametrize("method", METHODS)
def test_buffer_wrapper_goes_to_a_child(method: str) -> None:
    wrapper: Any = multiprocessing.heap.BufferWrapper(4)
    lock = procession.Lock()
    with wrapper.create_memoryview() as raw, raw.cast("i") as numbers:
        numbers[0] = 1
        process = procession.get_context(method).Process(target=write, args=(wrapper, lock))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert numbers[0] == 43
    process.close()


CLEANUP = """
import multiprocessing, multiprocessing.util, procession

procession.install()

def task(queue):
    queue.put(multiprocessing.current_process().name)

def one(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=task, args=(queue,), name=method)
    process.start()
    process.join()
    assert process.exitcode == 0
    return queue.get()

if __name__ == "__main__":
    support = __import__("test.support", fromlist=["support"])
    for _ in range(2):
        print(*map(one, ["fork", "spawn", "forkserver"]))
        multiprocessing.util._cleanup_tests()
        assert not support.environment_altered
"""


def test_cleanup_of_tests_finds_nothing_and_harms_nothing(tmp_path: Path) -> None:
    pytest.importorskip("test.support")
    file = tmp_path / "program.py"
    file.write_text(CLEANUP)
    result = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["fork spawn forkserver"] * 2
