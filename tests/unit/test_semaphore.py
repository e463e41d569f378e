"""Semaphore and BoundedSemaphore: what they promise, whoever dies."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

import procession
import procession.aio
from procession import NotShared
from tests.helpers import METHODS, becomes, child, in_thread, kill, memory, send, thread, unmade, until

core = pytest.mark.core
Kind = type[procession.Semaphore]
KINDS: list[Kind] = [procession.Semaphore, procession.BoundedSemaphore]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


def take(semaphore: procession.Semaphore, times: int = 1) -> None:
    """Take permits and keep them."""
    for _ in range(times):
        assert semaphore.acquire()


def hold(semaphore: procession.Semaphore, times: int = 1) -> None:
    take(semaphore, times)
    while True:
        signal.pause()


def held_by(semaphore: procession.Semaphore, process: BaseProcess) -> int:
    return sum(holder.permits for holder in semaphore.statistics().holders if holder.pid == process.pid)


@contextmanager
def held_elsewhere(semaphore: procession.Semaphore, times: int = 1) -> Iterator[BaseProcess]:
    """Another process has permits; it is killed at the end, if not before."""
    with child(hold, semaphore, times) as process:
        until(lambda: held_by(semaphore, process) == times)
        yield process
        kill(process)


# ---- taking and giving back


@core
def test_as_many_are_taken_as_there_are(kind: Kind) -> None:
    semaphore = kind(3)
    assert [semaphore.acquire(block=False) for _ in range(4)] == [True, True, True, False]


def test_one_by_default(kind: Kind) -> None:
    assert kind().get_value() == 1


def test_value_goes_down_and_up(kind: Kind) -> None:
    semaphore = kind(2)
    seen = [semaphore.get_value()]
    for step in (semaphore.acquire, semaphore.acquire, semaphore.release, semaphore.release):
        step()
        seen.append(semaphore.get_value())
    assert seen == [2, 1, 0, 1, 2]


def test_with_takes_and_gives_back(kind: Kind) -> None:
    semaphore = kind(1)
    with semaphore as taken:
        assert taken is True
        assert semaphore.locked()
    assert not semaphore.locked()


def test_with_gives_back_when_its_body_raises(kind: Kind) -> None:
    semaphore = kind(1)
    with pytest.raises(KeyError), semaphore:
        raise KeyError
    assert semaphore.get_value() == 1


NOT_IN_TIME: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((False,), {}),
    ((), {"block": False}),
    ((), {"blocking": False}),
    ((False, 60), {}),
    ((), {"block": False, "timeout": 60}),
    ((True, 0), {}),
    ((), {"timeout": 0.01}),
    ((True, -1), {}),
    ((), {"timeout": float("-inf")}),
]


@core
def test_none_in_time(kind: Kind) -> None:
    semaphore = kind(0)
    assert not any(semaphore.acquire(*args, **names) for args, names in NOT_IN_TIME)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"timeout": "soon"}, "timeout must be seconds"),
        ({"tiemout": 1}, "unexpected or repeated argument 'tiemout'"),
        ({"block": True, "blocking": True}, "unexpected or repeated argument"),
    ],
)
def test_wrong_arguments_of_acquire(kind: Kind, arguments: dict[str, Any], error: str) -> None:
    semaphore = kind(1)
    with pytest.raises(TypeError, match=error):
        semaphore.acquire(**arguments)
    assert semaphore.get_value() == 1


def test_nan_is_no_timeout(kind: Kind) -> None:
    with pytest.raises(ValueError, match="not NaN"):
        kind(1).acquire(timeout=float("nan"))


@core
@pytest.mark.parametrize("timeout", [None, 60, float("inf"), 1e300])
def test_waiter_gets_what_is_given_back(kind: Kind, timeout: float | None) -> None:
    semaphore = kind(1)
    semaphore.acquire()
    with thread(semaphore.acquire, True, timeout) as taken:
        until(lambda: semaphore.statistics().waiters == 1)
        semaphore.release()
        assert taken.result() is True


@core
def test_each_of_many_waiters_gets_one(kind: Kind) -> None:
    semaphore = kind(3)
    take(semaphore, 3)
    with child(take, semaphore), child(take, semaphore), thread(semaphore.acquire):
        until(lambda: semaphore.statistics().waiters == 3)
        for _ in range(3):
            semaphore.release()


@core
def test_another_process_and_another_thread_give_back(kind: Kind) -> None:
    semaphore = kind(2)
    take(semaphore, 2)
    with child(semaphore.release):
        pass
    in_thread(semaphore.release)
    assert semaphore.get_value() == 2


def test_released_more_often_than_taken_grows() -> None:
    semaphore = procession.Semaphore(0)
    for _ in range(3):
        semaphore.release()
    assert (semaphore.get_value(), semaphore.statistics().permits) == (3, 3)


def test_bounded_one_does_not_grow() -> None:
    semaphore = procession.BoundedSemaphore(2, name="seats")
    text = "semaphore released too many times: all 2 permits of BoundedSemaphore 'seats' are free"
    with pytest.raises(ValueError, match=text):
        semaphore.release()
    assert semaphore.get_value() == 2


def test_bounded_one_of_none_is_never_released() -> None:
    with pytest.raises(ValueError, match="released too many times"):
        procession.BoundedSemaphore(0).release()


def test_there_are_no_more_than_posix_has() -> None:
    semaphore = procession.Semaphore(2**31 - 1)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    assert semaphore.acquire()
    semaphore.release()
    assert semaphore.get_value() == 2**31 - 1


@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (2**31, OverflowError), (2**80, OverflowError), (1.5, TypeError), ("1", TypeError)],
)
def test_wrong_value(kind: Kind, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="value must be"):
        kind(value)


def test_wrong_on_death(kind: Kind) -> None:
    with pytest.raises(ValueError, match="on_death must be"):
        kind(1, on_death="explode")  # type: ignore[arg-type]


def test_wrong_name(kind: Kind) -> None:
    with pytest.raises(TypeError, match="name must be a str"):
        kind(1, name=3)  # type: ignore[arg-type]


@core
def test_permits_are_neither_lost_nor_doubled_in_a_crowd(kind: Kind) -> None:
    semaphore = kind(2)

    def use(times: int) -> None:
        for _ in range(times):
            with semaphore:
                assert semaphore.statistics().value <= 1

    with child(use, 300), child(use, 300), thread(use, 300), thread(use, 300):
        pass
    assert semaphore.statistics()[1:4] == (2, 2, ())


def test_threads_of_a_process_share_its_permits(kind: Kind) -> None:
    semaphore = kind(2)
    in_thread(semaphore.acquire)
    assert [holder.permits for holder in semaphore.statistics().holders] == [1]
    semaphore.release()
    assert semaphore.get_value() == 2


# ---- what it tells


def test_free_one_says_so(kind: Kind) -> None:
    assert repr(kind(2, name="seats")) == f"<{kind.__name__} 'seats' 2 of 2 free>"


@core
def test_holder_and_waiters_are_told(kind: Kind) -> None:
    semaphore = kind(3, name="seats")
    with held_elsewhere(semaphore, 3) as holder, child(hold, semaphore) as waiter:
        until(lambda: semaphore.statistics().waiters == 1)
        told = f"<{kind.__name__} 'seats' 0 of 3 free, 3 held by pid {holder.pid}, 1 waiting>"
        assert repr(semaphore) == told
        kill(waiter)


def test_several_holders_are_counted(kind: Kind) -> None:
    semaphore = kind(3, name="seats")
    with held_elsewhere(semaphore), held_elsewhere(semaphore):
        assert repr(semaphore) == f"<{kind.__name__} 'seats' 1 of 3 free, 2 held by 2 processes>"


def test_names_of_holders_are_told() -> None:
    semaphore = procession.Semaphore(1)
    process = procession.Process(target=hold, args=(semaphore,), name="worker")
    process.start()
    until(lambda: held_by(semaphore, process))
    assert semaphore.statistics().holders == ((process.pid, "worker", 1),)
    process.kill()
    process.join()


def test_without_a_name_it_has_a_number(kind: Kind) -> None:
    assert kind().name.startswith(f"{kind.__name__}-")


# ---- deaths


@core
def test_permits_of_a_killed_process_come_back(kind: Kind) -> None:
    semaphore = kind(3)
    with held_elsewhere(semaphore, 3) as holder:
        kill(holder)
        assert [semaphore.acquire() for _ in range(3)] == [True] * 3
        assert semaphore.statistics().permits == 3


@core
def test_permit_of_a_killed_process_wakes_its_waiter(kind: Kind) -> None:
    semaphore = kind(1)
    with held_elsewhere(semaphore) as holder, thread(semaphore.acquire) as taken:
        until(lambda: semaphore.statistics().waiters == 1)
        kill(holder)
        assert taken.result() is True


@core
def test_permits_of_a_killed_process_wake_all_whom_they_are_enough_for(kind: Kind) -> None:
    semaphore = kind(2)
    with held_elsewhere(semaphore, 2) as holder, child(take, semaphore), child(take, semaphore):
        until(lambda: semaphore.statistics().waiters == 2)
        kill(holder)


@core
def test_one_that_only_asks_again_and_again_gets_it(kind: Kind) -> None:
    semaphore = kind(1)
    with held_elsewhere(semaphore) as holder:
        kill(holder)
        until(lambda: semaphore.acquire(block=False))


@core
def test_killed_waiter_takes_nothing_along(kind: Kind) -> None:
    semaphore = kind(1)
    semaphore.acquire()
    with child(hold, semaphore) as first, thread(semaphore.acquire) as second:
        until(lambda: semaphore.statistics().waiters == 2)
        kill(first)
        semaphore.release()
        assert second.result() is True


def leave(semaphore: procession.Semaphore, how: str) -> None:
    semaphore.acquire()
    if how == "raise":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it ends here
        raise KeyError
    if how == "sys.exit(3)":
        sys.exit(3)
    if how == "os._exit(3)":
        os._exit(3)
    if how == "sys.exit(0)":
        sys.exit(0)


def ended(semaphore: procession.Semaphore, how: str) -> None:
    process = procession.Process(target=leave, args=(semaphore, how))
    process.start()
    process.join()


@core
@pytest.mark.parametrize("how", ["raise", "sys.exit(3)", "os._exit(3)"])
def test_permit_of_a_process_that_failed_comes_back(kind: Kind, how: str) -> None:
    semaphore = kind(1)
    ended(semaphore, how)
    assert semaphore.acquire()


@core
@pytest.mark.parametrize("how", ["return", "sys.exit(0)"])
def test_permit_of_a_process_that_ended_well_stays_taken(kind: Kind, how: str) -> None:
    semaphore = kind(1, name="seats")
    ended(semaphore, how)
    assert repr(semaphore) == f"<{kind.__name__} 'seats' 0 of 1 free, 1 left taken>"
    assert not semaphore.acquire(timeout=0.01)
    semaphore.release()
    assert semaphore.statistics()[1:5] == (1, 1, (), 0)


@core
def test_what_was_left_is_released_before_there_are_more() -> None:
    semaphore = procession.Semaphore(2)
    with child(take, semaphore):
        pass
    until(lambda: semaphore.statistics().left)
    semaphore.release()
    assert semaphore.statistics().permits == 2
    semaphore.release()
    assert semaphore.statistics().permits == 3


@core
def test_on_death_keep_returns_nothing(kind: Kind) -> None:
    semaphore = kind(2, on_death="keep")
    with held_elsewhere(semaphore) as holder:
        kill(holder)
    until(lambda: semaphore.statistics().left == 1)
    assert (semaphore.get_value(), semaphore.statistics().on_death) == (1, "keep")
    semaphore.release()
    assert semaphore.get_value() == 2


@core
def test_permit_that_was_handed_to_another_is_not_returned_twice(kind: Kind) -> None:
    semaphore = kind(1)
    with held_elsewhere(semaphore) as holder:
        semaphore.release()  # it had handed its permit to us
        kill(holder)
        assert semaphore.acquire()
        assert not semaphore.acquire(timeout=1.1)  # long enough for a sweep


@core
def test_no_death_makes_more_than_were_ever_free_at_once() -> None:
    """As a signal: one gives, another takes and never gives back."""
    semaphore = procession.Semaphore(0)

    def use_up() -> None:
        while True:
            semaphore.acquire()

    with child(use_up) as consumer:
        for _ in range(1000):
            semaphore.release()
        until(lambda: semaphore.get_value() == 0)
        most = semaphore.statistics().permits
        kill(consumer)
    until(lambda: not semaphore.statistics().holders)
    assert semaphore.get_value() <= most


def hold_and_exec(semaphore: procession.Semaphore) -> None:
    semaphore.acquire()
    os.execlp("sleep", "sleep", "1000")


@core
def test_permit_of_a_process_that_became_another_program_comes_back_at_its_end(kind: Kind) -> None:
    semaphore = kind(1)
    with child(hold_and_exec, semaphore) as process:
        becomes(process, "sleep")
        kill(process)
        assert semaphore.acquire()


@core
def test_parents_permit_stays_its_own_in_a_forked_child(kind: Kind) -> None:
    semaphore = kind(1)
    semaphore.acquire()
    with held_elsewhere(kind(1)):
        pass
    assert semaphore.statistics().holders == ((os.getpid(), "", 1),)


@core
def test_stopped_holder_keeps_its_permit(kind: Kind) -> None:
    semaphore = kind(1)
    with held_elsewhere(semaphore) as holder:
        send(holder, signal.SIGSTOP)
        assert not semaphore.acquire(timeout=1.1)
        kill(holder)


@core
def test_stopped_waiter_stands_in_nobodys_way(kind: Kind) -> None:
    semaphore = kind(2)
    take(semaphore, 2)
    with child(hold, semaphore) as leader:
        until(lambda: semaphore.statistics().waiters == 1)
        send(leader, signal.SIGSTOP)
        with thread(semaphore.acquire) as taken:
            until(lambda: semaphore.statistics().waiters == 2)
            semaphore.release()
            assert taken.result() is True
        kill(leader)


# ---- signals


class Alarm(Exception):
    """What a signal handler raises."""


def raise_alarm(*_: object) -> None:
    raise Alarm


@core
def test_signal_handler_that_raises_ends_the_wait(kind: Kind) -> None:
    semaphore = kind(0)
    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            semaphore.acquire()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert semaphore.statistics().waiters == 0


@core
def test_signal_handler_that_returns_does_not_end_the_wait(kind: Kind) -> None:
    semaphore = kind(1)
    semaphore.acquire()
    before = signal.signal(signal.SIGALRM, lambda *_: semaphore.release())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert semaphore.acquire()
    finally:
        signal.signal(signal.SIGALRM, before)


# ---- sending it


@pytest.mark.parametrize("method", METHODS)
def test_it_is_an_argument_of_a_process(kind: Kind, method: str) -> None:
    semaphore = kind(1)
    with child(take, semaphore, method=method):
        pass
    until(lambda: semaphore.statistics().left == 1)


def test_it_is_an_item_of_a_queue(kind: Kind) -> None:
    queue: procession.Queue[procession.Semaphore] = procession.Queue()
    semaphore = kind(2, name="seats", on_death="keep")
    queue.put(semaphore)
    again = queue.get()
    assert type(again) is kind
    take(again)
    assert semaphore.get_value() == 1


def test_pickled_elsewhere_it_is_refused(kind: Kind) -> None:
    with pytest.raises(NotShared, match="free> can be sent to another process only as an argument"):
        pickle.dumps(kind(1))


class Colored(procession.BoundedSemaphore):
    """With an attribute of its own."""

    color = "none"


def test_subclass_travels_with_its_attributes() -> None:
    queue: procession.Queue[Colored] = procession.Queue()
    semaphore = Colored(1)
    semaphore.color = "red"
    queue.put(semaphore)
    again = queue.get()
    assert (type(again), again.color) == (Colored, "red")


@pytest.mark.parametrize("method", ["acquire", "release", "get_value", "statistics", "__enter__"])
def test_unmade_one_says_so(kind: Kind, method: str) -> None:
    with pytest.raises(RuntimeError, match=r"__init__\(\) was not called"):
        getattr(unmade(kind()), method)()


def test_made_twice_is_refused(kind: Kind) -> None:
    semaphore = kind(1)
    with pytest.raises(RuntimeError, match="made already"):
        semaphore.__init__(2)  # type: ignore[misc]
    assert semaphore.get_value() == 1


@core
def test_memory_comes_back(kind: Kind) -> None:
    for _ in range(2):  # the first time slabs are made, which stay
        gc.collect()
        before = memory()
        semaphores = [kind() for _ in range(100)]
        assert memory()["payloads"] > before["payloads"]
        take(semaphores[0])
        del semaphores
        gc.collect()
        after = memory()
    assert after == before


# ---- waiting for it among others


@core
def test_it_is_waited_for_among_others(kind: Kind) -> None:
    semaphore, queue = kind(1), procession.Queue[int]()
    assert procession.wait([queue, semaphore]) == [semaphore]
    semaphore.acquire()
    assert procession.wait([queue, semaphore], 0) == []
    with thread(procession.wait, [queue, semaphore]) as ready:
        until(lambda: semaphore.statistics().waiters == 1)
        semaphore.release()
        assert ready.result() == [semaphore]


@core
def test_death_of_a_holder_is_waited_for_among_others(kind: Kind) -> None:
    semaphore, queue = kind(1), procession.Queue[int]()
    with held_elsewhere(semaphore) as holder, thread(procession.wait, [queue, semaphore]) as ready:
        until(lambda: semaphore.statistics().waiters == 1)
        kill(holder)
        assert ready.result() == [semaphore]


def test_tasks_wait_for_it(kind: Kind) -> None:
    semaphore = kind(1)

    async def take_turns() -> int:
        wrapped = procession.aio.wrap(semaphore)
        inside = most = 0

        async def turn() -> None:
            nonlocal inside, most
            async with wrapped:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(turn() for _ in range(5)))
        return most

    assert asyncio.run(take_turns()) == 1
    assert semaphore.get_value() == 1
