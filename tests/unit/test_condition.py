"""Condition: who is notified, and what becomes of a notification when somebody dies."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession import NotOwner, OwnerDied
from procession._sync.condition import Condition
from procession._sync.event import Event
from tests.helpers import METHODS, AnyLock, child, domain, kill, memory, send, thread, unmade, until

core = pytest.mark.core
LOCKS: list[Callable[[], AnyLock] | None] = [None, procession.Lock, procession.RLock, procession.Mutex]
quiet = pytest.mark.filterwarnings("ignore::procession.OwnerDiedWarning")


@pytest.fixture(params=LOCKS)
def any_condition(request: pytest.FixtureRequest) -> Condition:
    return procession.Condition(request.param and request.param(), name="changed")


@pytest.fixture
def condition() -> Condition:
    return procession.Condition(name="changed")


def wait_once(condition: Condition, timeout: float | None = None) -> bool:
    with condition:
        return condition.wait(timeout)


def be_notified(condition: Condition) -> None:
    assert wait_once(condition) is True


def waits(condition: Condition, count: int = 1) -> None:
    """Wait until so many are in line, and have let go of the lock."""

    def are_there() -> bool:
        with condition:
            return condition.statistics().waiting == count

    until(are_there)


def notify(condition: Condition, n: int = 1) -> None:
    with condition:
        condition.notify(n)


# ---- alone


def test_it_is_its_lock(any_condition: Condition) -> None:
    assert any_condition.acquire() is True
    with thread(any_condition.acquire, False) as other:
        # A Lock belongs to nobody: it is not free for anybody.
        assert other.result() is False
    any_condition.release()
    with any_condition as taken:
        assert taken is True
    assert any_condition.acquire(timeout=0)
    any_condition.release()


def test_given_lock_is_the_one_that_is_taken() -> None:
    lock = procession.Lock()
    with procession.Condition(lock):
        assert lock.locked()
    assert not lock.locked()


@core
@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_wait_not_in_time_is_false_and_holds_the_lock(any_condition: Condition, timeout: float) -> None:
    with any_condition:
        assert any_condition.wait(timeout) is False
        with thread(any_condition.acquire, False) as other:
            assert other.result() is False
    assert any_condition.statistics() == ("changed", 0, 0)


@pytest.mark.parametrize("call", ["wait", "notify", "notify_all"])
def test_without_the_lock_it_is_an_error(any_condition: Condition, call: str) -> None:
    with pytest.raises(NotOwner, match="'changed' needs its lock"):
        getattr(any_condition, call)()
    assert issubclass(NotOwner, RuntimeError)


def test_lock_of_another_thread_does_not_do(condition: Condition) -> None:
    with condition, thread(condition.notify) as other, pytest.raises(NotOwner):
        other.result()


def test_notify_without_waiters_is_nothing(any_condition: Condition) -> None:
    with any_condition:
        any_condition.notify()
        any_condition.notify(n=3)
        any_condition.notify_all()
        assert any_condition.wait(0) is False


@pytest.mark.parametrize("lock", [multiprocessing.Lock(), threading.Lock(), 1, ""])
def test_lock_of_another_library_is_refused(lock: Any) -> None:
    with pytest.raises(TypeError, match="lock must be"):
        procession.Condition(lock)


def test_lock_that_is_taken_away_is_missed() -> None:
    condition = procession.Condition()
    condition._lock = 3  # type: ignore[assignment]
    with pytest.raises(TypeError, match="not int"), condition:
        pass


@pytest.mark.parametrize("n", [0, -1, -(1 << 80)])
def test_notify_of_none(condition: Condition, n: int) -> None:
    with thread(wait_once, condition, 0.05) as other:
        waits(condition)
        notify(condition, n)
        assert other.result() is False


@pytest.mark.parametrize("n", ["one", 1.5, None])
def test_wrong_number_is_refused(condition: Condition, n: Any) -> None:
    with condition, pytest.raises(TypeError):
        condition.notify(n)


def test_wrong_timeout_is_refused_with_the_lock_in_hand(condition: Condition) -> None:
    with condition:
        with pytest.raises(TypeError):
            condition.wait("soon")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            condition.wait(1, 2)  # type: ignore[call-arg]
        condition.notify()
    assert condition.statistics().waiting == 0


def test_condition_that_was_not_made_says_so(condition: Condition) -> None:
    for call in ("acquire", "release", "__enter__", "wait", "notify", "notify_all", "_look"):
        with pytest.raises(RuntimeError, match="__init__"):
            getattr(unmade(condition), call)()


def test_repr_tells_lock_and_waiters(condition: Condition) -> None:
    assert repr(condition) == "<Condition 'changed' with <RLock 'changed' free>, 0 waiting>"
    with thread(wait_once, condition) as other:
        waits(condition)
        assert repr(condition).endswith(" free>, 1 waiting>")
        notify(condition)
        assert other.result() is True


def test_condition_is_not_pickled_into_nowhere(condition: Condition) -> None:
    with pytest.raises(procession.NotShared):
        pickle.dumps(condition)


def test_wait_for_returns_what_the_predicate_says(condition: Condition) -> None:
    with condition:
        assert condition.wait_for(lambda: "yes") == "yes"
        assert condition.wait_for(lambda: "", timeout=0.01) == ""
        assert condition.wait_for(list, timeout=0) == []


# ---- others


@core
@pytest.mark.parametrize("method", METHODS)
def test_notify_wakes_a_process(any_condition: Condition, method: str) -> None:
    with child(be_notified, any_condition, method=method):
        waits(any_condition)
        notify(any_condition)
    assert any_condition.statistics() == ("changed", 0, 0)


@core
def test_notify_wakes_as_many_as_it_says(condition: Condition) -> None:
    woken = procession.Queue[int]()

    def wait_and_tell(number: int) -> None:
        be_notified(condition)
        woken.put(number)

    threads = [threading.Thread(target=wait_and_tell, args=(number,)) for number in range(7)]
    for number, one in enumerate(threads):
        one.start()
        waits(condition, number + 1)
    notify(condition, 2)
    assert {woken.get(), woken.get()} == {0, 1}  # the longest waiting first
    notify(condition)
    assert woken.get() == 2
    assert condition.statistics().waiting == 4
    notify(condition, sys.maxsize)
    assert {woken.get() for _ in range(4)} == {3, 4, 5, 6}
    for one in threads:
        one.join()
    assert woken.empty()


@core
def test_notify_all_wakes_all(any_condition: Condition) -> None:
    with child(be_notified, any_condition), child(be_notified, any_condition), thread(wait_once, any_condition) as here:
        waits(any_condition, 3)
        with any_condition:
            any_condition.notify_all()
        assert here.result() is True


def test_one_that_timed_out_takes_no_notification(condition: Condition) -> None:
    with thread(wait_once, condition, 0.02) as first:
        waits(condition)
        with thread(wait_once, condition) as second:
            waits(condition, 2)
            assert first.result() is False
            notify(condition)
            assert second.result() is True


def test_more_waiters_than_a_cell_has_lines(condition: Condition) -> None:
    before = memory()
    threads = [threading.Thread(target=be_notified, args=(condition,)) for _ in range(80)]
    for one in threads:
        one.start()
    waits(condition, 80)
    assert memory()["payloads"] > before["payloads"]
    notify(condition, 30)
    until(lambda: condition.statistics() == ("changed", 50, 0))
    with condition:
        condition.notify_all()
    for one in threads:
        one.join()
    assert condition.statistics() == ("changed", 0, 0)


def test_lines_are_freed_with_the_condition() -> None:
    condition = procession.Condition()
    before = memory()
    threads = [threading.Thread(target=be_notified, args=(condition,)) for _ in range(60)]
    for one in threads:
        one.start()
    waits(condition, 60)
    with condition:
        condition.notify_all()
    for one in threads:
        one.join()
    del one, threads, condition
    assert memory()["payloads"] == before["payloads"]


@core
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_recursive_lock_is_let_go_and_comes_back_as_deep(depth: int) -> None:
    lock = procession.RLock()
    condition = procession.Condition(lock)

    def wait_deep() -> tuple[bool, int]:
        for _ in range(depth):
            condition.acquire()
        result = condition.wait()
        after = lock.statistics().depth
        for _ in range(depth):
            condition.release()
        return result, after

    with thread(wait_deep) as other:
        waits(condition)
        notify(condition)
        assert other.result() == (True, depth)
    assert not lock.locked()


def count_up(condition: Condition, number: Any, mine: int, turns: int) -> None:
    for _ in range(turns):
        with condition:
            assert condition.wait_for(lambda: number.value % 2 == mine)
            number.value += 1
            condition.notify()


@core
def test_two_processes_take_turns(any_condition: Condition) -> None:
    number = multiprocessing.get_context("fork").RawValue("i", 0)
    with child(count_up, any_condition, number, 0, 300), child(count_up, any_condition, number, 1, 300):
        pass
    assert number.value == 600


def wait_in_vain(condition: Condition, timeout: float) -> None:
    assert wait_once(condition, timeout) is False


def test_condition_travels_in_a_queue(condition: Condition) -> None:
    queue: procession.Queue[Condition] = procession.Queue()
    queue.put(condition)
    there = queue.get()
    with there, thread(condition.acquire, False) as other:
        assert other.result() is False
    with thread(wait_once, there) as waiting:
        waits(condition)
        notify(condition)
        assert waiting.result() is True


def test_two_conditions_of_one_lock() -> None:
    lock = procession.Lock()
    empty, full = procession.Condition(lock), procession.Condition(lock)
    with thread(wait_once, empty) as one, thread(wait_once, full) as other:
        waits(empty)
        waits(full)
        notify(full)
        assert other.result() is True
        assert empty.statistics().waiting == 1
        notify(empty)
        assert one.result() is True


# ---- signals


class Interrupt(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupt


def wait_and_be_interrupted(condition: Condition) -> None:
    signal.signal(signal.SIGUSR1, interrupt)
    with condition:
        with pytest.raises(Interrupt):
            condition.wait()
        condition.notify(0)  # it has the lock


@core
def test_signal_ends_a_wait_with_the_lock_in_hand(any_condition: Condition) -> None:
    with child(wait_and_be_interrupted, any_condition) as process:
        waits(any_condition)
        send(process, signal.SIGUSR1)
    assert any_condition.statistics() == ("changed", 0, 0)


def wait_and_be_interrupted_twice(condition: Condition, interrupted: Event) -> None:
    def note(*_: object) -> None:
        interrupted.set()
        raise Interrupt

    signal.signal(signal.SIGUSR1, note)
    condition.acquire()
    with pytest.raises(Interrupt):
        condition.wait()
    with pytest.raises(NotOwner):
        condition.notify()


@core
def test_second_signal_ends_the_wait_for_the_lock_too(condition: Condition) -> None:
    interrupted = procession.Event()
    with child(wait_and_be_interrupted_twice, condition, interrupted) as process:
        waits(condition)
        with condition:
            send(process, signal.SIGUSR1)
            assert interrupted.wait()
            until(lambda: condition._lock.statistics().waiters == 1)
            send(process, signal.SIGUSR1)
            process.join()


@core
def test_interrupted_one_passes_its_notification_on(condition: Condition) -> None:
    interrupted = procession.Event()
    with child(wait_and_be_interrupted_twice, condition, interrupted) as process:
        waits(condition)
        with thread(wait_once, condition) as other:
            waits(condition, 2)
            with condition:
                condition.notify()
                until(lambda: condition._lock.statistics().waiters == 1)
                for _ in range(2):
                    interrupted.clear()
                    send(process, signal.SIGUSR1)
                    assert interrupted.wait()
                process.join()
            assert other.result() is True


# ---- deaths


@core
def test_killed_waiter_is_not_notified(any_condition: Condition) -> None:
    with child(be_notified, any_condition) as process:
        waits(any_condition)
        with child(be_notified, any_condition):
            waits(any_condition, 2)
            kill(process)
            domain().sweep()
            assert any_condition.statistics().waiting == 1
            notify(any_condition)


@core
def test_notification_of_one_that_died_before_it_had_the_lock_goes_to_the_next(any_condition: Condition) -> None:
    with child(be_notified, any_condition) as process:
        waits(any_condition)
        with child(be_notified, any_condition):
            waits(any_condition, 2)
            with any_condition:
                any_condition.notify()  # it cannot have the lock yet
                kill(process)
    assert any_condition.statistics() == ("changed", 0, 0)


@core
def test_all_notifications_of_the_dead_go_on(condition: Condition) -> None:
    with child(be_notified, condition) as one, child(be_notified, condition) as two:
        waits(condition, 2)
        with child(be_notified, condition), child(be_notified, condition):
            waits(condition, 4)
            with condition:
                condition.notify(2)
                kill(one)
                kill(two)


@core
def test_nobody_is_left_who_could_take_it(condition: Condition) -> None:
    with child(be_notified, condition) as process:
        waits(condition)
        with condition:
            condition.notify()
            kill(process)
        domain().sweep()
    assert condition.statistics() == ("changed", 0, 0)
    with condition:
        assert condition.wait(0.01) is False  # it is not kept for later ones


def notify_and_die(condition: Condition) -> None:
    with condition:
        condition.notify_all()
        os.kill(os.getpid(), signal.SIGKILL)


@core
@quiet
def test_notifier_that_dies_with_the_lock_has_notified(any_condition: Condition) -> None:
    with child(be_notified, any_condition), child(be_notified, any_condition):
        waits(any_condition, 2)
        with child(notify_and_die, any_condition):
            pass


def test_mutex_tells_that_its_owner_died() -> None:
    told: list[OwnerDied] = []
    condition = procession.Condition(procession.Mutex(on_owner_death=told.append))
    with thread(wait_once, condition) as other:
        waits(condition)
        with child(notify_and_die, condition):
            pass
        assert other.result() is True
    assert len(told) == 1


def test_mutex_whose_hook_raises_is_held_and_stays_marked() -> None:
    def refuse(error: OwnerDied) -> None:
        raise error

    mutex = procession.Mutex(on_owner_death=refuse)
    condition = procession.Condition(mutex)

    def wait_here() -> None:
        with condition:
            try:
                condition.wait()
            finally:
                assert mutex.owner_died

    with thread(wait_here) as other:
        waits(condition)
        with child(notify_and_die, condition):
            pass
        with pytest.raises(OwnerDied):
            other.result()
    assert not mutex.locked()
    with pytest.raises(OwnerDied):  # the next one is told as well
        mutex.acquire()


def wait_for_ever(condition: Condition) -> None:
    with condition:
        while True:
            condition.wait()


@core
def test_killed_waiters_leave_no_lines(condition: Condition) -> None:
    for _ in range(40):  # more than a cell has
        with child(wait_for_ever, condition) as process:
            waits(condition)
            kill(process)
        domain().sweep()
    assert condition.statistics() == ("changed", 0, 0)


@core
def test_exec_is_a_death(condition: Condition) -> None:
    def become_another() -> None:
        with condition:
            threading.Timer(0.01, os.execlp, ("sleep", "sleep", "1000")).start()
            condition.wait()

    with child(become_another) as process:
        waits(condition)
        until(lambda: domain().sweep() or condition.statistics().waiting == 0)
        kill(process)
