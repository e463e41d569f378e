"""What tests of several processes share. No test waits for a time: it waits for a state, and the watchdog ends what hangs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import procession
from procession import _core
from procession._memory.domain import domains

METHODS = ["fork", "spawn", "forkserver"]

AnyLock = procession.Lock | procession.RLock | procession.Mutex


def until(condition: Callable[[], object]) -> None:
    """Wait for a state that another process or thread brings about."""
    while not condition():
        time.sleep(0.001)


@contextmanager
def child(target: Callable[..., object], *args: Any, method: str = "fork") -> Iterator[BaseProcess]:
    """A process of the standard library. Leaving waits for it: it must have ended well, or been killed by the test."""
    process: BaseProcess = multiprocessing.get_context(method).Process(target=target, args=args)  # type: ignore[attr-defined]
    process.start()
    try:
        yield process
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}, f"{target} ended with {process.exitcode}"
    finally:
        kill(process)
        process.close()


def kill(process: BaseProcess) -> None:
    """SIGKILL, and wait for the end."""
    process.kill()
    process.join()


def send(process: BaseProcess, number: signal.Signals) -> None:
    """Send it a signal."""
    assert process.pid is not None
    os.kill(process.pid, number)


def becomes(process: BaseProcess, program: str) -> None:
    """Wait until it has called exec."""

    def is_there() -> bool:
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            return file.read().startswith(program.encode())

    until(is_there)


def hold(lock: AnyLock, times: int = 1) -> None:
    """Take the lock and never give it back."""
    for _ in range(times):
        assert lock.acquire()
    while True:
        signal.pause()


@contextmanager
def held_elsewhere(lock: AnyLock, times: int = 1) -> Iterator[BaseProcess]:
    """The lock is held by another process, which is killed at the end, if not before."""
    with child(hold, lock, times) as process:
        until(lambda: lock.statistics().depth == times and lock.statistics().owner_pid == process.pid)
        yield process
        kill(process)


@contextmanager
def thread(function: Callable[..., Any], *args: Any) -> Iterator[Future[Any]]:
    """A thread and what it returns or raises; leaving waits for it."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(function, *args)


def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns or raises in a thread of its own, which has ended then."""
    with thread(function, *args) as future:
        return future.result()


def python(program: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter where warnings are errors."""
    command = [sys.executable, "-W", "error", *options, "-c", program]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def output_of(program: str, *options: str, **environment: str) -> str:
    """What a program that must end well says; it may say nothing on stderr."""
    result = python(program, *options, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


def error_of(program: str, **environment: str) -> str:
    """The last line of what a program that must fail says, after the module of the exception's class."""
    result = python(program, **environment)
    assert result.returncode == 1, result
    return result.stderr.strip().splitlines()[-1].removeprefix("procession.")


def unmade(shared: Any) -> Any:
    """One of the same class whose __init__ was not called."""
    kind: Any = type(shared)
    return kind.__new__(kind)


def domain() -> _core.Domain:
    """The domain of the test process."""
    return domains.current()


def memory() -> dict[str, int]:
    """The bytes in use in the domain, after what the dead left is cleared away."""
    domain().sweep()
    return domain().used()
