"""Barrier: who goes on together, and what breaks it."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import threading
from threading import BrokenBarrierError
from typing import Any

import pytest

import procession
from procession._sync.barrier import Barrier
from procession._sync.event import Event
from tests.helpers import METHODS, child, domain, kill, memory, send, thread, unmade, until

core = pytest.mark.core


@pytest.fixture
def barrier() -> Barrier:
    return procession.Barrier(3, name="start")


def waits(barrier: Barrier, count: int = 1) -> None:
    until(lambda: barrier.n_waiting == count)


def breaks(barrier: Barrier, reason: str = "") -> None:
    with pytest.raises(BrokenBarrierError, match=reason):
        barrier.wait()


# ---- alone


def test_barrier_of_one_never_waits() -> None:
    barrier = procession.Barrier(1)
    assert [barrier.wait() for _ in range(3)] == [0, 0, 0]
    assert barrier.statistics().rounds == 3


def test_new_barrier(barrier: Barrier) -> None:
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    assert barrier.statistics() == ("start", 3, 0, False, 0, None)
    assert repr(barrier) == "<Barrier 'start' 0 of 3 waiting>"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((0,), ValueError),
        ((-1,), ValueError),
        ((1 << 24,), ValueError),
        (("two",), TypeError),
        ((2.0,), TypeError),
        ((2, 3), TypeError),
        ((2, None, "soon"), TypeError),
        ((2, None, "3"), TypeError),
        ((2, None, math.nan), ValueError),
    ],
)
def test_wrong_arguments_are_refused(args: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        procession.Barrier(*args)


def test_wrong_timeout_is_refused_and_breaks_nothing(barrier: Barrier) -> None:
    with pytest.raises(TypeError):
        barrier.wait("soon")  # type: ignore[arg-type]
    assert not barrier.broken
    assert barrier.n_waiting == 0


def test_barrier_that_was_not_made_says_so(barrier: Barrier) -> None:
    for call in ("reset", "abort", "_look"):
        with pytest.raises(RuntimeError, match="__init__"):
            getattr(unmade(barrier), call)()
    with pytest.raises(RuntimeError, match="__init__"):
        unmade(barrier)._wait(None, None)


def test_barrier_is_not_pickled_into_nowhere(barrier: Barrier) -> None:
    with pytest.raises(procession.NotShared):
        pickle.dumps(barrier)


def test_aborted_barrier_is_broken(barrier: Barrier) -> None:
    barrier.abort()
    assert barrier.broken
    breaks(barrier, rf"'start': pid {os.getpid()}.* called abort\(\); it stays broken until reset\(\)")
    assert "broken: pid" in repr(barrier)
    assert "abort" in (barrier.statistics().reason or "")


def test_reset_of_a_broken_one_mends_it() -> None:
    barrier = procession.Barrier(1)
    barrier.abort()
    barrier.reset()
    assert not barrier.broken
    assert barrier.wait() == 0


def test_reset_of_an_empty_one_changes_nothing(barrier: Barrier) -> None:
    barrier.reset()
    assert barrier.statistics() == ("start", 3, 0, False, 0, None)


@core
def test_timeout_breaks_it(barrier: Barrier) -> None:
    with pytest.raises(BrokenBarrierError, match="longer than its timeout"):
        barrier.wait(0.01)
    assert barrier.broken
    assert barrier.n_waiting == 0


def test_timeout_of_the_barrier_is_the_default() -> None:
    barrier = procession.Barrier(2, timeout=0.01)
    breaks(barrier, "longer than its timeout")


def test_timeout_of_none_takes_the_default_and_a_number_wins() -> None:
    barrier = procession.Barrier(2, timeout=1000)
    with pytest.raises(BrokenBarrierError):
        barrier.wait(0)


# ---- together


def pass_and_tell(barrier: Barrier, told: procession.Queue[int]) -> None:
    told.put(barrier.wait())


@core
@pytest.mark.parametrize("method", METHODS)
def test_all_go_on_together_with_indexes_of_their_own(barrier: Barrier, method: str) -> None:
    told: procession.Queue[int] = procession.Queue()
    with child(pass_and_tell, barrier, told, method=method), child(pass_and_tell, barrier, told, method=method):
        waits(barrier, 2)
        told.put(barrier.wait())
    assert sorted(told.get_many(3) + [told.get() for _ in range(told.qsize())]) == [0, 1, 2]


def march(barrier: Barrier, steps: Any, mine: int, rounds: int) -> None:
    for step in range(rounds):
        steps[mine] = step
        barrier.wait()
        assert set(steps) == {step}, "somebody is a step behind or ahead"
        barrier.wait()


@core
@pytest.mark.parametrize("parties", [2, 5])
def test_nobody_is_a_step_ahead(parties: int) -> None:
    barrier = procession.Barrier(parties)
    steps = multiprocessing.get_context("fork").RawArray("i", parties)
    with child(march, barrier, steps, 0, 200), thread(march, barrier, steps, 1, 200) as here:
        others = [threading.Thread(target=march, args=(barrier, steps, n, 200)) for n in range(2, parties)]
        for other in others:
            other.start()
        here.result()
        for other in others:
            other.join()
    assert barrier.statistics().rounds == 400


def test_more_waiters_than_a_cell_has_lines() -> None:
    before = memory()
    barrier = procession.Barrier(60)
    threads = [threading.Thread(target=barrier.wait) for _ in range(60)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert barrier.statistics().rounds == 1
    del one, threads, barrier
    assert memory()["payloads"] == before["payloads"]


def test_more_threads_than_parties_are_several_rounds() -> None:
    barrier = procession.Barrier(2)
    threads = [threading.Thread(target=barrier.wait) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert barrier.statistics().rounds == 10


def test_barrier_travels_in_a_queue() -> None:
    barrier = procession.Barrier(2, timeout=1000)
    queue: procession.Queue[Barrier] = procession.Queue()
    queue.put(barrier)
    there = queue.get()
    with thread(there.wait) as other:
        assert {barrier.wait(), other.result()} == {0, 1}


# ---- the action


def test_action_is_run_by_exactly_one_before_anybody_goes_on() -> None:
    ran: list[int] = []

    def note() -> None:
        ran.append(four.n_waiting)

    four: Barrier = procession.Barrier(4, action=note)
    seen: list[int] = []

    def wait_and_look() -> None:
        four.wait()
        seen.append(len(ran))

    threads = [threading.Thread(target=wait_and_look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert ran == [4]
    assert seen == [1, 1, 1, 1]


def fail() -> None:
    raise KeyError("action")


@core
def test_action_that_raises_breaks_it() -> None:
    barrier = procession.Barrier(2, action=fail)
    with thread(breaks, barrier, "the action raised") as other:
        waits(barrier)
        with pytest.raises(KeyError, match="action"):
            barrier.wait()
        other.result()
    assert barrier.broken


def slow_action(begun: Event, may_end: Event) -> None:
    begun.set()
    may_end.wait()


class Slow:
    """A barrier whose action runs until it is told to end."""

    def __init__(self, parties: int = 2, timeout: float | None = None) -> None:
        self.begun, self.may_end = procession.Event(), procession.Event()
        self.barrier = procession.Barrier(parties, self.act, timeout)

    def act(self) -> None:
        slow_action(self.begun, self.may_end)


@core
def test_timeout_during_the_action_breaks_nothing() -> None:
    slow = Slow()
    with thread(slow.barrier.wait, 0.05) as first:
        waits(slow.barrier)
        with thread(slow.barrier.wait) as last:
            slow.begun.wait()
            assert procession.Event().wait(0.1) is False  # longer than the timeout of the first
            slow.may_end.set()
            assert (first.result(), last.result()) == (0, 1)


@core
def test_late_one_waits_for_the_action_and_then_for_the_next_round() -> None:
    slow = Slow()
    with thread(slow.barrier.wait), thread(slow.barrier.wait):
        slow.begun.wait()
        with thread(slow.barrier.wait) as late, thread(slow.barrier.wait) as later:
            until(lambda: slow.barrier._look()[1] == 2)
            slow.may_end.set()
            assert {late.result(), later.result()} == {0, 1}
    assert slow.barrier.statistics().rounds == 2


def test_abort_during_the_action_breaks_it_for_all() -> None:
    slow = Slow()
    with thread(breaks, slow.barrier, "abort") as one, thread(breaks, slow.barrier, "abort") as two:
        slow.begun.wait()
        slow.barrier.abort()
        slow.may_end.set()
        one.result()
        two.result()


# ---- what breaks it


@core
def test_abort_wakes_all(barrier: Barrier) -> None:
    with thread(breaks, barrier, "abort") as one, thread(breaks, barrier, "abort") as two:
        waits(barrier, 2)
        barrier.abort()
        one.result()
        two.result()


@core
def test_reset_wakes_all_and_leaves_it_usable(barrier: Barrier) -> None:
    with thread(breaks, barrier, r"called reset\(\) while others waited; the barrier can be used again") as one:
        waits(barrier, 1)
        barrier.reset()
        one.result()
    assert (barrier.broken, barrier.n_waiting) == (False, 0)


@core
def test_timeout_of_one_breaks_it_for_all(barrier: Barrier) -> None:
    with child(breaks, barrier, "longer than its timeout"):
        waits(barrier)
        with pytest.raises(BrokenBarrierError):
            barrier.wait(0.01)


class Interrupt(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupt


def wait_and_be_interrupted(barrier: Barrier) -> None:
    signal.signal(signal.SIGUSR1, interrupt)
    with pytest.raises(Interrupt):
        barrier.wait()


@core
def test_one_that_leaves_by_an_exception_breaks_it(barrier: Barrier) -> None:
    with (
        child(wait_and_be_interrupted, barrier) as process,
        thread(breaks, barrier, "left it by an exception") as other,
    ):
        waits(barrier, 2)
        send(process, signal.SIGUSR1)
        other.result()


# ---- deaths


def wait_there(barrier: Barrier) -> None:
    barrier.wait()


@core
def test_death_of_one_that_waits_breaks_it(barrier: Barrier) -> None:
    with child(wait_there, barrier) as process:
        waits(barrier)
        with thread(breaks, barrier, rf"pid {process.pid}.* died while it waited") as other:
            waits(barrier, 2)
            kill(process)
            domain().sweep()
            other.result()
        assert barrier.broken
        barrier.reset()
        assert barrier.n_waiting == 0


@core
def test_nobody_needs_to_sweep_for_it(barrier: Barrier) -> None:
    with child(wait_there, barrier) as process:
        waits(barrier)
        with thread(breaks, barrier, "died") as other:
            waits(barrier, 2)
            kill(process)
            other.result()


def exit_while_a_thread_waits(barrier: Barrier) -> None:
    threading.Thread(target=barrier.wait, daemon=True).start()
    waits(barrier)
    os._exit(0)


@core
def test_clean_end_of_one_that_waits_breaks_it_too(barrier: Barrier) -> None:
    with child(exit_while_a_thread_waits, barrier):
        pass
    domain().sweep()
    assert "died while it waited" in (barrier.statistics().reason or "")


def test_child_of_ours_is_named_when_it_dies(barrier: Barrier) -> None:
    process = procession.Process(target=barrier.wait, name="wally")
    process.start()
    waits(barrier)
    process.kill()
    process.join()
    breaks(barrier, rf"pid {process.pid} \(wally\) died")


def wait_and_hang(barrier: Barrier) -> None:
    barrier.wait()
    signal.pause()


@core
def test_death_after_it_was_passed_breaks_nothing() -> None:
    barrier = procession.Barrier(2)
    with child(wait_and_hang, barrier) as process:
        barrier.wait()
        until(lambda: barrier.statistics().rounds == 1)
        kill(process)
        domain().sweep()
    assert not barrier.broken


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@core
def test_death_in_the_action_breaks_it() -> None:
    barrier = procession.Barrier(2, die)
    with thread(breaks, barrier, "died") as other:
        waits(barrier)
        with child(wait_there, barrier):
            pass
        other.result()


@core
def test_stopped_party_breaks_nothing(barrier: Barrier) -> None:
    with child(wait_there, barrier) as process:
        waits(barrier)
        send(process, signal.SIGSTOP)
        with thread(barrier.wait) as one:
            barrier.wait()
            one.result()
        send(process, signal.SIGCONT)
