"""Event: who waits for it, whoever dies."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import threading
from typing import Any

import pytest

import procession
import procession.aio
from procession._sync.event import Event
from tests.helpers import METHODS, child, kill, send, thread, unmade, until

core = pytest.mark.core


@pytest.fixture
def event() -> Event:
    return procession.Event(name="ready")


def waits(event: Event, count: int = 1) -> None:
    """Wait until so many sleep on it."""
    until(lambda: event.statistics().waiting == count)


def wait_for(event: Event, timeout: float | None = None) -> None:
    assert event.wait(timeout) is True


# ---- alone


def test_new_event_is_unset(event: Event) -> None:
    assert event.is_set() is False


def test_set_event_is_set(event: Event) -> None:
    assert event.set() is None  # type: ignore[func-returns-value]
    assert event.is_set() is True


def test_cleared_event_is_unset(event: Event) -> None:
    event.set()
    assert event.clear() is None  # type: ignore[func-returns-value]
    assert event.is_set() is False


def test_wait_for_a_set_event_is_true(event: Event) -> None:
    event.set()
    assert event.wait() is True
    assert event.wait(timeout=0) is True


@core
@pytest.mark.parametrize("timeout", [0, 0.01, -1, float("-inf")])
def test_wait_not_in_time_is_false(event: Event, timeout: float) -> None:
    assert event.wait(timeout) is False


@pytest.mark.parametrize(
    ("args", "names", "error"),
    [
        (("soon",), {}, TypeError),
        ((float("nan"),), {}, ValueError),
        ((1, 2), {}, TypeError),
        ((), {"seconds": 1}, TypeError),
        ((1,), {"timeout": 1}, TypeError),
    ],
)
def test_wrong_timeout_is_refused(
    event: Event, args: tuple[Any, ...], names: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        event.wait(*args, **names)


def test_repr_ends_like_that_of_the_standard_library(event: Event) -> None:
    assert repr(event).endswith("'ready' unset>")
    event.set()
    assert repr(event).endswith("'ready' set>")


def test_statistics_tell_how_often_it_became_set(event: Event) -> None:
    event.set()
    event.set()
    event.clear()
    event.set()
    assert event.statistics() == ("ready", True, 2, 0)


def test_event_that_was_not_made_says_so(event: Event) -> None:
    for call in ("is_set", "set", "clear", "wait", "_look"):
        with pytest.raises(RuntimeError, match="__init__"):
            getattr(unmade(event), call)()


def test_event_is_not_pickled_into_nowhere(event: Event) -> None:
    with pytest.raises(procession.NotShared):
        pickle.dumps(event)


# ---- others


@core
@pytest.mark.parametrize("method", METHODS)
def test_set_wakes_a_process(event: Event, method: str) -> None:
    with child(wait_for, event, method=method):
        waits(event)
        event.set()


@core
def test_set_wakes_all(event: Event) -> None:
    with child(wait_for, event), child(wait_for, event), child(wait_for, event), thread(event.wait) as here:
        waits(event, 4)
        assert "4 waiting" in repr(event)
        event.set()
        assert here.result() is True
    assert event.statistics().waiting == 0


@core
def test_who_slept_while_it_was_set_and_cleared_has_seen_it(event: Event) -> None:
    with child(wait_for, event), thread(event.wait) as here:
        waits(event, 2)
        event.set()
        event.clear()
        assert here.result() is True
    assert not event.is_set()


def set_and_clear(event: Event, turn: Event, times: int) -> None:
    for _ in range(times):
        assert turn.wait()
        turn.clear()
        event.set()
        event.clear()


@core
def test_no_pulse_is_missed(event: Event) -> None:
    turn = procession.Event()
    with child(set_and_clear, event, turn, 300):
        for _ in range(300):
            until(lambda: not event.is_set())  # the last pulse is over
            with thread(event.wait) as here:
                waits(event)
                turn.set()
                assert here.result() is True


def test_event_travels_in_a_queue(event: Event) -> None:
    queue: procession.Queue[Event] = procession.Queue()
    queue.put(event)
    queue.get().set()
    assert event.is_set()


def test_event_of_ours_in_a_process_of_ours(event: Event) -> None:
    process = procession.Process(target=event.set)
    process.start()
    assert event.wait() is True
    process.join()


@core
def test_wait_for_one_of_several_things(event: Event) -> None:
    queue, other = procession.Queue[int](), procession.Event()
    assert procession.wait([queue, event, other], timeout=0) == []
    with thread(procession.wait, [queue, event, other]) as waiting:
        waits(event)
        event.set()
        assert waiting.result() == [event]
    assert procession.wait([event, other], timeout=0) == [event]


def test_doorbell_rings_while_it_is_set(event: Event) -> None:
    bell = procession.Doorbell(event)
    assert select.select([bell], [], [], 0)[0] == []
    event.set()
    assert select.select([bell], [], [])[0] == [bell]
    event.clear()
    assert select.select([bell], [], [], 0)[0] == []
    bell.close()


def test_event_is_awaited(event: Event) -> None:
    async def main() -> object:
        task = asyncio.create_task(procession.aio.wrap(event).wait())
        await asyncio.sleep(0)
        event.set()
        return await task

    assert asyncio.run(main()) is True


# ---- signals and deaths


class Interrupt(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupt


def wait_and_be_interrupted(event: Event) -> None:
    signal.signal(signal.SIGUSR1, interrupt)
    with pytest.raises(Interrupt):
        event.wait()


@core
def test_signal_ends_a_wait(event: Event) -> None:
    with child(wait_and_be_interrupted, event) as process:
        waits(event)
        send(process, signal.SIGUSR1)
    assert event.statistics().waiting == 0


def set_by_signal(event: Event) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: event.set())
    assert event.wait() is True


@core
def test_handler_may_set_what_it_interrupts(event: Event) -> None:
    with child(set_by_signal, event) as process:
        waits(event)
        send(process, signal.SIGUSR1)


@core
def test_killed_waiter_leaves_nothing_behind(event: Event) -> None:
    with child(wait_for, event) as process, child(wait_for, event):
        waits(event, 2)
        kill(process)
        event.set()
    event.clear()
    assert event.wait(0) is False


def set_for_ever(event: Event) -> None:
    while True:
        event.set()
        event.clear()


@core
def test_waiters_of_a_killed_setter_do_not_hang(event: Event) -> None:
    for _ in range(20):
        with child(set_for_ever, event) as process:
            assert event.wait() is True
            kill(process)
        event.set()
        assert event.wait() is True
        event.clear()


def test_forked_child_of_a_waiting_process_can_wait_too(event: Event) -> None:
    with thread(event.wait) as here:
        waits(event)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if event.wait() else 1)
        waits(event, 2)
        event.set()
        assert here.result() is True
        assert os.waitpid(pid, 0)[1] == 0


@core
def test_many_threads_and_many_turns(event: Event) -> None:
    back = procession.Event()
    seen: list[int] = []

    def answer() -> None:
        for turn in range(500):
            assert event.wait()
            event.clear()
            seen.append(turn)
            back.set()

    answering = threading.Thread(target=answer)
    answering.start()
    for _ in range(500):
        event.set()
        assert back.wait()
        back.clear()
    answering.join()
    assert seen == list(range(500))
