"""Lock, RLock and Mutex: what they promise, whoever dies."""

from __future__ import annotations

import mmap
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession import NotOwner, OwnerDied, OwnerDiedWarning
from tests.helpers import AnyLock, becomes, child, held_elsewhere, hold, in_thread, kill, send, thread, unmade, until

core = pytest.mark.core
KINDS: list[Callable[..., AnyLock]] = [procession.Lock, procession.RLock, procession.Mutex]
ROBUST: list[Any] = [procession.RLock, procession.Mutex]  # a thread owns them, the kernel knows it

quiet = pytest.mark.filterwarnings("ignore::procession.OwnerDiedWarning")


@pytest.fixture(params=KINDS)
def lock(request: pytest.FixtureRequest) -> AnyLock:
    made: AnyLock = request.param(name="stock")
    return made


@pytest.fixture(params=ROBUST)
def robust(request: pytest.FixtureRequest) -> Any:
    return request.param(name="stock")


# ---- taking and giving back


def test_free_lock_is_taken(lock: AnyLock) -> None:
    assert lock.acquire() is True
    assert lock.locked()


def test_released_lock_is_free(lock: AnyLock) -> None:
    lock.acquire()
    lock.release()
    assert not lock.locked()


def test_with_takes_and_releases(lock: AnyLock) -> None:
    with lock as taken:
        assert taken is True
        assert lock.locked()
    assert not lock.locked()


def test_with_releases_when_its_body_raises(lock: AnyLock) -> None:
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not lock.locked()


NOT_IN_TIME: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "block=False": ((), {"block": False}),
    "blocking=False": ((), {"blocking": False}),
    "positional False": ((False,), {}),
    "block=False with a time-out": ((False, 60), {}),
    "timeout=0": ((), {"timeout": 0}),
    "small": ((), {"timeout": 0.01}),
    "negative is 0": ((True, -1), {}),
    "minus infinity is 0": ((True, float("-inf")), {}),
}


@core
def test_held_lock_is_not_taken_in_time(lock: AnyLock) -> None:
    with held_elsewhere(lock):
        assert not any(lock.acquire(*args, **names) for args, names in NOT_IN_TIME.values())


@core
@pytest.mark.parametrize("timeout", [None, 60, float("inf"), 1e300])
def test_waiter_gets_it_when_it_is_released(lock: AnyLock, timeout: float | None) -> None:
    lock.acquire()
    with thread(lock.acquire, True, timeout) as taken:
        until(lambda: lock.statistics().waiters == 1)
        lock.release()
        assert taken.result() is True


def test_lock_is_released_by_another_thread() -> None:
    lock = procession.Lock()
    lock.acquire()
    in_thread(lock.release)
    assert not lock.locked()


@core
def test_lock_is_released_by_another_process() -> None:
    lock = procession.Lock()
    lock.acquire()
    with child(lock.release):
        pass
    assert not lock.locked()


def test_free_lock_is_not_released() -> None:
    with pytest.raises(ValueError, match=r"Lock 'stock' released too many times: nobody holds it"):
        procession.Lock(name="stock").release()


def test_free_rlock_is_not_released() -> None:
    with pytest.raises(AssertionError, match="attempt to release recursive lock not owned by thread"):
        procession.RLock().release()


def test_free_mutex_is_not_released() -> None:
    with pytest.raises(NotOwner, match=r"Mutex 'stock' is not held by this thread, so it cannot release it"):
        procession.Mutex(name="stock").release()


@core
def test_robust_lock_is_released_by_its_thread_alone(robust: Any) -> None:
    with robust:
        with pytest.raises((AssertionError, NotOwner)):
            in_thread(robust.release)
        assert robust.locked()


def test_robust_lock_does_not_pass_to_a_forked_child(robust: Any) -> None:
    def refused() -> None:
        with pytest.raises((AssertionError, NotOwner)):
            robust.release()
        assert not robust.acquire(block=False)

    with robust, child(refused):
        pass


@core
def test_rlock_is_free_after_as_many_releases_as_takes() -> None:
    lock = procession.RLock()
    assert all(lock.acquire() for _ in range(3))
    for left in (2, 1, 0):
        lock.release()
        assert lock.statistics().depth == left


def test_mutex_taken_twice_by_a_thread_raises() -> None:
    mutex = procession.Mutex(name="stock")
    with mutex, pytest.raises(RuntimeError, match=r"Mutex 'stock' is held by this very thread.*Use an RLock"):
        mutex.acquire()


@pytest.mark.parametrize("arguments", [(False,), (True, 0), (True, 0.01)])
def test_mutex_taken_twice_with_an_end_is_not_taken(arguments: tuple[Any, ...]) -> None:
    mutex = procession.Mutex()
    with mutex:
        assert mutex.acquire(*arguments) is False


def count_to(lock: AnyLock, memory: mmap.mmap, times: int) -> None:
    for _ in range(times):
        with lock:
            memory[:8] = (int.from_bytes(memory[:8], "big") + 1).to_bytes(8, "big")


@core
def test_one_at_a_time_among_processes_and_threads(lock: AnyLock) -> None:
    with mmap.mmap(-1, 8) as memory:
        work = count_to, lock, memory, 500
        with child(*work), child(*work), thread(*work), thread(*work):
            pass
        assert int.from_bytes(memory[:8], "big") == 2000


# ---- what it tells


def test_free_lock_says_so(lock: AnyLock) -> None:
    assert repr(lock) == f"<{type(lock).__name__} 'stock' free>"


def test_held_lock_names_its_owner(lock: AnyLock) -> None:
    with held_elsewhere(lock) as owner:
        assert repr(lock) == f"<{type(lock).__name__} 'stock' held by pid {owner.pid}>"


@core
def test_lock_counts_its_waiters(lock: AnyLock) -> None:
    with lock, child(hold, lock) as waiter:
        until(lambda: lock.statistics().waiters == 1)
        assert repr(lock).endswith(f"held by pid {os.getpid()}, 1 waiting>")
        kill(waiter)


def test_statistics_of_a_free_lock(lock: AnyLock) -> None:
    now = lock.statistics()
    assert (now.name, now.owner_pid, now.owner_name, now.waiters, now.recoveries, now.depth) == (
        "stock",
        None,
        None,
        0,
        0,
        0,
    )


def test_statistics_of_a_held_lock(lock: AnyLock) -> None:
    with lock:
        assert (lock.statistics().owner_pid, lock.statistics().depth) == (os.getpid(), 1)


def test_lock_without_a_name_has_a_number(lock: AnyLock) -> None:
    kind = type(lock)
    assert kind().name.startswith(f"{kind.__name__}-")


def test_name_that_does_not_fit_is_refused(lock: AnyLock) -> None:
    longest = "é" * 23 + "e"
    assert type(lock)(name=longest).name == longest
    with pytest.raises(ValueError, match="name must have 47 bytes in UTF-8 at most, not 48: 'éééé"):
        type(lock)(name="é" * 24)


# ---- deaths


@core
@quiet
def test_lock_of_a_killed_owner_comes_back(lock: AnyLock) -> None:
    with held_elsewhere(lock) as owner:
        kill(owner)
        assert lock.acquire()


@core
@quiet
def test_lock_of_a_killed_owner_wakes_its_waiter(lock: AnyLock) -> None:
    with held_elsewhere(lock) as owner, thread(lock.acquire) as taken:
        until(lambda: lock.statistics().waiters == 1)
        kill(owner)
        assert taken.result() is True


@core
@quiet
def test_recovery_is_counted(lock: AnyLock) -> None:
    with held_elsewhere(lock) as owner:
        kill(owner)
        with lock:
            assert lock.statistics().recoveries == 1


@core
@quiet
def test_recursive_lock_of_a_killed_owner_is_taken_once() -> None:
    lock = procession.RLock()
    with held_elsewhere(lock, times=3) as owner:
        kill(owner)
        with lock:
            assert lock.statistics().depth == 1
        assert not lock.locked()


@core
def test_killed_waiter_does_not_take_the_lock_along(lock: AnyLock) -> None:
    lock.acquire()
    with child(hold, lock) as first, thread(lock.acquire) as second:
        until(lambda: lock.statistics().waiters == 2)
        kill(first)
        lock.release()
        assert second.result() is True


@core
@quiet
def test_robust_lock_of_an_ended_thread_comes_back(robust: Any) -> None:
    in_thread(robust.acquire)
    assert robust.acquire()


def test_lock_of_an_ended_thread_is_still_the_process_s() -> None:
    lock = procession.Lock()
    in_thread(lock.acquire)
    assert lock.statistics().owner_pid == os.getpid()


def hold_and_exec(lock: AnyLock) -> None:
    lock.acquire()
    os.execlp("sleep", "sleep", "1000")


@core
@quiet
def test_exec_counts_as_death(lock: AnyLock) -> None:
    with child(hold_and_exec, lock) as process:
        becomes(process, "sleep")
        assert lock.acquire()
        kill(process)


def test_mutex_of_a_dead_owner_warns() -> None:
    mutex = procession.Mutex(name="stock")
    with held_elsewhere(mutex) as owner:
        kill(owner)
        with pytest.warns(OwnerDiedWarning, match=r"the last owner of Mutex 'stock' died holding it") as caught:
            mutex.acquire()
    assert caught[0].filename == __file__


@core
def test_mutex_of_a_dead_owner_warns_once() -> None:
    mutex = procession.Mutex()
    with held_elsewhere(mutex) as owner:
        kill(owner)
        with pytest.warns(OwnerDiedWarning), mutex:
            pass
        with mutex:  # a warning is an error here
            pass


@core
def test_warning_made_an_error_leaves_the_mutex_free_and_marked() -> None:
    mutex = procession.Mutex()
    with held_elsewhere(mutex) as owner:
        kill(owner)
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(OwnerDiedWarning):
                    mutex.acquire()
            assert not mutex.locked()


@core
def test_repair_is_called_while_the_mutex_is_held() -> None:
    seen: list[tuple[str, int | None, bool]] = []
    mutex = procession.Mutex(
        name="stock",
        on_owner_death=lambda error: seen.append((error.name, mutex.statistics().owner_pid, mutex.owner_died)),
    )
    with held_elsewhere(mutex) as owner:
        kill(owner)
        with mutex:
            assert seen == [("stock", os.getpid(), True)]


def test_repair_is_called_once() -> None:
    seen: list[OwnerDied] = []
    mutex = procession.Mutex(on_owner_death=seen.append)
    with held_elsewhere(mutex) as owner:
        kill(owner)
        for _ in range(2):
            with mutex:
                pass
    assert len(seen) == 1


@core
def test_failed_repair_is_the_next_owner_s() -> None:
    tries: list[OwnerDied] = []

    def repair(error: OwnerDied) -> None:
        tries.append(error)
        if len(tries) == 1:
            raise ValueError("beyond repair")

    mutex = procession.Mutex(on_owner_death=repair)
    with held_elsewhere(mutex) as owner:
        kill(owner)
        with pytest.raises(ValueError, match="beyond repair"):
            mutex.acquire()
        assert not mutex.locked()
        with mutex:
            assert len(tries) == 2


def test_repair_is_called_in_another_process_too() -> None:
    mutex = procession.Mutex(on_owner_death=_note)
    with held_elsewhere(mutex) as owner:
        kill(owner)
        with child(_take_from_the_dead, mutex, method="spawn"):
            pass


noted: list[OwnerDied] = []


def _note(error: OwnerDied) -> None:
    noted.append(error)


def _take_from_the_dead(mutex: procession.Mutex) -> None:
    with mutex:
        assert len(noted) == 1


@core
@quiet
def test_owner_died_is_true_while_this_thread_holds_it() -> None:
    mutex = procession.Mutex()
    with held_elsewhere(mutex) as owner:
        kill(owner)
        assert not mutex.owner_died
        with mutex:
            assert mutex.owner_died
            assert not in_thread(lambda: mutex.owner_died)
        assert not mutex.owner_died
        with mutex:
            assert not mutex.owner_died


# ---- Ctrl-C


@core
def test_interrupt_reaches_a_waiter_and_leaves_the_lock_usable(lock: AnyLock) -> None:
    interrupted = procession.Queue[bool]()
    lock.acquire()

    def wait() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire()
        interrupted.put(True)
        with lock:
            pass

    with child(wait) as waiter:
        until(lambda: lock.statistics().waiters == 1)
        send(waiter, signal.SIGINT)
        interrupted.get()
        lock.release()


@core
def test_waiter_goes_on_waiting_after_a_signal_handler(lock: AnyLock) -> None:
    seen = procession.Queue[int]()
    lock.acquire()

    def wait() -> None:
        signal.signal(signal.SIGUSR1, lambda number, _: seen.put(number))
        with lock:
            pass

    with child(wait) as waiter:
        until(lambda: lock.statistics().waiters == 1)
        send(waiter, signal.SIGUSR1)
        assert seen.get() == signal.SIGUSR1
        lock.release()


# ---- limits and lifetime


@core
def test_a_thread_holds_2048_robust_locks_and_not_one_more() -> None:
    held = [procession.Mutex() for _ in range(2048)]
    over = procession.Mutex(name="over")
    try:
        assert all(mutex.acquire() for mutex in held)
        with pytest.raises(RuntimeError, match=r"holds 2048 robust locks already.*Release some before.*Mutex 'over'"):
            over.acquire()
        assert in_thread(over.acquire)
    finally:
        for mutex in held:
            mutex.release()


def drop_held_and_take(lock: AnyLock, ready: procession.Queue[bool]) -> None:
    kind = type(lock)
    dropped = kind()
    assert lock.acquire()
    dropped.acquire()
    del dropped
    others = [kind() for _ in range(3)]  # one of them may get the place of the dropped one
    assert all(other.acquire(timeout=0) for other in others)
    ready.put(True)
    signal.pause()


@core
@quiet
def test_lock_dropped_while_held_does_no_harm_to_the_others(lock: AnyLock) -> None:
    ready = procession.Queue[bool]()
    with child(drop_held_and_take, lock, ready) as process:
        ready.get()
        kill(process)
        assert lock.acquire()


def test_lock_dropped_while_held_is_not_held_when_its_place_is_used_again(lock: AnyLock) -> None:
    kind = type(lock)
    offset = lock._handle[0]
    lock.acquire()
    del lock
    again = [kind() for _ in range(5)]
    assert not any(other.locked() for other in again)
    if kind is not procession.Lock:  # its place is in this thread's list still
        assert offset not in {other._handle[0] for other in again}


def test_lock_takes_attributes_and_weak_references(lock: AnyLock) -> None:
    lock.remark = "mine"  # type: ignore[union-attr]
    assert weakref.ref(lock)() is lock


def test_subclass_has_an_init_and_attributes_of_its_own() -> None:
    class Shelf(procession.Lock):
        def __init__(self, row: int) -> None:
            super().__init__(name=f"row {row}")
            self.row = row

    shelf = Shelf(3)
    with shelf:
        assert (shelf.row, shelf.name) == (3, "row 3")


def test_many_threads_share_a_lock(lock: AnyLock) -> None:
    counts = [0]

    def count() -> None:
        for _ in range(200):
            with lock:
                counts[0] += 1

    threads = [threading.Thread(target=count) for _ in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert counts == [3200]


# ---- bad input

WRONG: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "time-out of text": (lambda lock: lock.acquire(timeout="1"), TypeError, "timeout must be seconds .* not str"),
    "time-out of a list": (lambda lock: lock.acquire(True, []), TypeError, "timeout must be seconds .* not list"),
    "time-out NaN": (lambda lock: lock.acquire(timeout=float("nan")), ValueError, "not NaN"),
    "time-out beyond all floats": (lambda lock: lock.acquire(timeout=10**400), OverflowError, "too large"),
    "wrong name": (
        lambda lock: lock.acquire(wait=1),
        TypeError,
        r"acquire\(\) got an unexpected or repeated argument 'wait'",
    ),
    "block twice": (lambda lock: lock.acquire(True, block=True), TypeError, "unexpected or repeated argument 'block'"),
    "three arguments": (lambda lock: lock.acquire(True, 1, 2), TypeError, "takes at most 2 arguments"),
    "argument of release": (lambda lock: lock.release(1), TypeError, "takes no arguments"),
    "name a number": (lambda lock: type(lock)(name=5), TypeError, "name must be a str, not int"),
    "name with NUL": (lambda lock: type(lock)(name="a\0b"), ValueError, "null character"),
    "name by position": (lambda lock: type(lock)("stock"), TypeError, "positional"),
    "made twice": (lambda lock: lock.__init__(), RuntimeError, "made already"),
    "never made: acquire": (lambda lock: unmade(lock).acquire(), RuntimeError, r"__init__\(\) was not called"),
    "never made: release": (lambda lock: unmade(lock).release(), RuntimeError, r"__init__\(\) was not called"),
    "never made: with": (lambda lock: unmade(lock).__enter__(), RuntimeError, r"__init__\(\) was not called"),
    "never made: locked": (lambda lock: unmade(lock).locked(), RuntimeError, r"__init__\(\) was not called"),
    "never made: repr": (lambda lock: repr(unmade(lock)), RuntimeError, r"__init__\(\) was not called"),
    "never made: pickle": (lambda lock: unmade(lock).__reduce__(), RuntimeError, r"__init__\(\) was not called"),
}


@pytest.mark.parametrize(("call", "error", "words"), WRONG.values(), ids=WRONG)
def test_wrong_use_raises(lock: AnyLock, call: Callable[[Any], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(lock)
    assert not lock.locked()


def test_repair_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="on_owner_death must be callable, not int"):
        procession.Mutex(on_owner_death=3)  # type: ignore[arg-type]


def test_unmade_mutex_has_no_dead_owner() -> None:
    with pytest.raises(RuntimeError, match=r"__init__\(\) was not called"):
        _ = procession.Mutex.__new__(procession.Mutex).owner_died
