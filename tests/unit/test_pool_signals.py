"""Pools and what comes in between: signal handlers at any step, workers that are stopped, Ctrl-C while one begins."""

from __future__ import annotations

import contextlib
import dis
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from types import CodeType, FrameType
from typing import Any

import pytest

import procession
import procession.pool
from procession._work import begin, crew, engine, results
from tests.helpers import METHODS, until

FORK = procession.get_context("fork")
Made = Callable[..., Any]


@pytest.fixture(params=["fork", "threads"])
def quick(request: pytest.FixtureRequest) -> Made:
    return procession.pool.ThreadPool if request.param == "threads" else FORK.Pool


def square(x: int) -> int:
    return x * x


def wait_for(event: Any) -> None:
    event.wait()


class Stop(Exception):
    pass


class Handler:
    """Is called where a signal handler may run: behind a call that the code of `functions` makes, the `at`-th of these."""

    def __init__(self, at: int, functions: list[Any], act: Callable[[], None]) -> None:
        self.left = at
        self.codes: list[CodeType] = [function.__code__ for function in functions]
        self.act = act
        self.thread = threading.get_ident()
        self.is_behind_call = False

    def step(self, code: CodeType, offset: int) -> bool:
        """An instruction is about to run; return whether it is the one to act before."""
        came = self.is_behind_call
        self.is_behind_call = dis.opname[code.co_code[offset]].startswith("CALL")
        self.left -= came
        return came and self.left == 0

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code not in self.codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and self.step(frame.f_code, frame.f_lasti):
            sys.settrace(None)
            self.act()
        return self.trace

    def traced(self, function: Callable[[], object]) -> None:
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            function()
        finally:
            sys.settrace(before)

    def monitored(self, function: Callable[[], object]) -> None:
        """From 3.12 on, where a frame that is running already asks for opcodes in vain."""
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined]

        def instruction(code: CodeType, offset: int) -> None:
            if threading.get_ident() == self.thread and self.step(code, offset):
                self.act()

        tool, wanted = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION
        monitoring.use_tool_id(tool, "handler")
        monitoring.register_callback(tool, wanted, instruction)
        for code in self.codes:
            monitoring.set_local_events(tool, code, wanted)
        try:
            function()
        finally:
            for code in self.codes:
                monitoring.set_local_events(tool, code, 0)
            monitoring.free_tool_id(tool)

    def run(self, function: Callable[[], object]) -> bool:
        """Return whether it came to that."""
        with contextlib.suppress(Stop, CancelledError):
            (self.traced if sys.version_info < (3, 12) else self.monitored)(function)
        return self.left <= 0


def stop() -> None:
    raise Stop


SENDING = [engine.Engine.submit, engine.Engine._send_now, engine.Engine._send_one]


def test_an_exception_at_any_step_of_sending_holds_up_nobody(quick: Made) -> None:
    with quick(1) as pool:
        at = 1
        while Handler(at, SENDING, stop).run(lambda: pool.apply_async(square, (2,))):
            assert not pool._engine._gate._is_owned()
            assert pool.apply(square, (3,)) == 9
            at += 1
        assert at > 3


def test_terminate_at_any_step_of_sending(quick: Made) -> None:
    at, came = 0, True
    while came:
        at += 1
        pool = quick(1)
        came = Handler(at, SENDING, pool.terminate).run(partial(pool.apply_async, square, (2,)))
        pool.terminate()
        pool.join()
    assert at > 3


def test_terminate_at_any_step_of_closing(quick: Made) -> None:
    at, came = 0, True
    while came:
        at += 1
        pool = quick(1)
        came = Handler(at, [engine.Engine.close, crew.Bell.ring], pool.terminate).run(pool.close)
        pool.terminate()
        pool.join()
    assert at > 2


def test_terminate_at_any_step_of_waiting_for_the_next_result(quick: Made) -> None:
    at, came = 0, True
    while came:
        at += 1
        pool = quick(1)
        iterator = pool.imap(square, [])
        came = Handler(at, [results.IMapIterator._wait], pool.terminate).run(partial(list, iterator))
        pool.terminate()
        pool.join()
    assert at > 3


def test_an_exception_at_any_step_of_waiting_loses_no_turn(quick: Made) -> None:
    with quick(1) as pool:
        at, came = 0, True
        while came:
            at += 1
            result = pool.apply_async(square, (2,))
            result.wait()
            result._done = False  # as it looked an instant ago
            came = Handler(at, [results.ApplyResult.wait], stop).run(result.wait)
            assert not result._turnstile.locked()
        assert at > 3


def test_terminate_ends_a_worker_that_is_stopped_with_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it holds that of the queue of tasks, and nobody can ask what another one had in hand that was killed."""
    monkeypatch.setattr(crew, "GRACE", 0.1)
    monkeypatch.setattr(engine, "PATIENCE", 0.1)
    pool = FORK.Pool(2)
    killed, stopped = pool._pool
    asked = threading.Event()

    def bury(_: int) -> list[int]:
        asked.set()
        until(lambda: not stopped.is_alive())
        return []

    pool._engine.floor.crew.bury = bury
    stopped.suspend()
    killed.kill()
    assert asked.wait(60)
    pool.terminate()
    assert not stopped.is_alive()


def test_terminate_does_not_wait_until_the_queue_can_be_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "GRACE", 0.1)
    monkeypatch.setattr(engine, "PATIENCE", 0.1)
    pool = FORK.Pool(1)
    (worker,) = pool._pool
    shut = pool._engine.floor.shut

    def shut_later(immediate: bool) -> None:
        until(lambda: not worker.is_alive())
        shut(immediate)

    monkeypatch.setattr(pool._engine.floor, "shut", shut_later)
    pool.terminate()


class InterruptedAtOnce(procession.pool.Pool):
    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:  # noqa: N802
        process = ctx.Process(*args, **kwds)

        def start() -> None:
            del process.start
            process.start()
            os.kill(process.pid, signal.SIGINT)

        process.start = start
        return process


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_does_nothing_to_a_worker_that_begins(method: str) -> None:
    with InterruptedAtOnce(1, context=procession.get_context(method)) as pool:
        pid = pool._pool[0].pid
        assert pool.apply(os.getpid) == pid


def kill_the_first(begun: Any, count: int) -> None:
    with begun.get_lock():
        begun.value += 1
        number = begun.value
    if number <= count:
        os.kill(os.getpid(), signal.SIGKILL)


def test_many_that_are_killed_while_they_begin_are_replaced() -> None:
    begun = procession.Value("i", 0)
    with FORK.Pool(15, kill_the_first, (begun, 15)) as pool:
        assert pool.map(square, range(3), 1) == [0, 1, 4]


def test_when_all_are_killed_while_they_begin_the_pool_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(begin, "LONGEST_PAUSE", 0.001)
    begun = procession.Value("i", 0)
    with (
        FORK.Pool(1, kill_the_first, (begun, 1 << 30)) as pool,
        pytest.raises(procession.WorkerDied, match="10 workers in a row ended before they could begin"),
    ):
        pool.apply(square, (1,))
