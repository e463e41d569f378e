"""What the tests of processes share: conditions to wait for, programs to run and to kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from procession import Process, _core
from procession._process.template_owner import Template
from procession._process.templates import templates

WATCHDOG = 20.0  # seconds; a test that waits longer for a condition has failed


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + WATCHDOG
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.005)


def state(pid: int) -> str:
    """Return the state letter of a process: R S D T Z; X if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def is_gone(pid: int) -> bool:
    """Return True if no such process runs; whose zombie it is, is not this test's matter."""
    return state(pid) in "XZ"


def guardian_of(pid: int) -> int | None:
    """Return the pid of the guardian that a root process's domain has, None while there is none that lives."""
    for fd in domain_descriptors(pid):
        domain = _core.Domain.watch(os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC))
        guardian, _, _ = domain.guardian()
        if guardian and not is_gone(guardian):
            return guardian
    return None


def domain_descriptors(pid: int) -> Iterator[str]:
    """Yield the descriptors of a process that are domains."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if "memfd:procession" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                yield fd
        except FileNotFoundError:
            continue


def run(code: str, *options: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, warnings as errors."""
    command = [sys.executable, "-W", "error", *options, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, **more}
    )


@contextmanager
def program(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside the test; whatever is left of it is killed."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def numbers(process: subprocess.Popen[str], count: int) -> list[int]:
    """Read so many numbers, one a line, that the program prints."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def end(*pids: int) -> None:
    """Kill what a test has left on purpose."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


# ---- by a template ----------------------------------------------------------------------------------


def start(target: Any, *args: Any, **more: Any) -> Process:
    process = Process(target=target, args=args, start_method="forkserver", **more)
    process.start()
    return process


def finish(process: Process) -> None:
    process.join()
    assert str(process.outcome) == "finished"
    process.close()


def serving() -> Template:
    """The template that serves now."""
    finish(start(int))
    assert templates.serving is not None
    return templates.serving
