"""procession.wait: one of several unlike things."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import procession
from procession import wait
from procession._memory.domain import domains
from tests.helpers import child, held_elsewhere, in_thread, kill, thread, unmade, until

core = pytest.mark.core


def waiting(obj: Any) -> bool:
    """Whether somebody is seen to wait for it."""
    now = obj.statistics()
    return bool(getattr(now, "waiting", getattr(now, "waiters", 0)))


def sleep_long() -> None:
    signal.pause()


# ---- who is ready


def test_what_is_ready_comes_back_in_the_order_given() -> None:
    first, empty, last = procession.Queue[int](), procession.Queue[int](), procession.SimpleQueue[int]()
    first.put(1)
    last.put(1)
    assert wait([last, empty, first]) == [last, first]


def test_nothing_in_time_is_an_empty_list() -> None:
    assert wait([procession.Queue[int]()], 0) == []
    assert wait([procession.Queue[int]()], 0.01) == []
    assert wait([procession.Queue[int]()], -1) == []


def test_no_objects_are_an_empty_list_at_once() -> None:
    assert wait([]) == []


def test_nothing_is_taken() -> None:
    queue, lock = procession.Queue[int](), procession.Lock()
    queue.put(1)
    assert wait([queue, lock]) == [queue, lock]
    assert queue.get_nowait() == 1
    assert not lock.locked()


@pytest.mark.parametrize("immediate", [False, True])
def test_queue_that_was_shut_down_is_ready(immediate: bool) -> None:
    queue = procession.Queue[int]()
    queue.shutdown(immediate)
    assert wait([queue]) == [queue]


def test_queue_with_nothing_but_a_jump_to_its_next_segment_is_not_ready() -> None:
    queue = procession.Queue[bytes]()
    for _ in range(100):
        queue.put(bytes(4000))
    taken = 0
    while wait([queue], 0):
        queue.get_nowait()
        taken += 1
    assert taken == 100


@pytest.mark.parametrize("kind", [procession.Lock, procession.RLock, procession.Mutex])
def test_lock_is_ready_when_it_can_be_had(kind: Callable[[], Any]) -> None:
    lock = kind()
    assert wait([lock], 0) == [lock]
    with held_elsewhere(lock):
        assert wait([lock], 0) == []
    assert wait([lock]) == [lock]


def test_own_lock_is_ready_only_if_it_is_recursive() -> None:
    lock, mutex, recursive = procession.Lock(), procession.Mutex(), procession.RLock()
    with lock, mutex, recursive:
        assert wait([lock, mutex, recursive], 0) == [recursive]


def test_descriptors_and_whatever_has_one() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = multiprocessing.Pipe(duplex=False)
    with ours, theirs, reader, writer:
        assert wait([ours, reader, ours.fileno()], 0) == []
        theirs.send(b"x")
        writer.send(1)
        assert wait([ours, reader, ours.fileno()]) == [ours, reader, ours.fileno()]


def test_end_of_a_stream_is_ready() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    try:
        assert wait([reader]) == [reader]
    finally:
        os.close(reader)


def test_queue_of_the_standard_library() -> None:
    queue: Any = multiprocessing.get_context("fork").SimpleQueue()
    queue.put(1)
    assert wait([queue, procession.Queue[int]()]) == [queue]
    queue.close()


@pytest.mark.parametrize("theirs", [False, True])
def test_process_that_ends(theirs: bool) -> None:
    kind: Any = multiprocessing.get_context("fork").Process if theirs else procession.Process
    process, queue = kind(target=sleep_long), procession.Queue[int]()
    process.start()
    assert wait([queue, process], 0.01) == []
    process.kill()
    assert wait([queue, process]) == [process]
    process.join()
    process.close()


def test_event_semaphore_and_connection() -> None:
    event, permits = procession.Event(), procession.Semaphore(1)
    reader, writer = procession.Pipe(duplex=False)
    assert wait([event, permits, reader], 0) == [permits]
    permits.acquire()
    assert wait([event, permits, reader], 0) == []
    event.set()
    writer.send(1)
    permits.release()
    assert set(wait([event, permits, reader])) >= {event, permits, reader}
    event.clear()
    assert reader.recv() == 1
    writer.close()
    assert wait([event, reader]) == [reader]
    with pytest.raises(EOFError):
        reader.recv()
    reader.close()


@core
def test_event_semaphore_and_connection_wake_it() -> None:
    event, permits = procession.Event(), procession.Semaphore(0)
    reader, writer = procession.Pipe(duplex=False)
    for make_ready, ready in [(event.set, event), (permits.release, permits), (lambda: writer.send(1), reader)]:
        with thread(wait, [event, permits, reader]) as answer:
            until(lambda: waiting(event))
            make_ready()
            assert answer.result() == [ready]
        event.clear()
        permits.acquire(False)
    reader.close()
    writer.close()


# ---- who wakes it


@core
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a descriptor"])
def test_put_of_another_process_wakes_it(beside: bool) -> None:
    first, second, answer = procession.Queue[int](), procession.Queue[int](), procession.Queue[int]()
    reader, writer = os.pipe()
    things: list[Any] = [first, second, *([reader] if beside else [])]

    def put() -> None:
        until(lambda: waiting(second))
        second.put(1)

    with child(put):
        assert wait(things) == [second]
    assert answer.empty()
    os.close(reader)
    os.close(writer)


@core
@pytest.mark.parametrize("kind", [procession.Lock, procession.Mutex, procession.RLock])
def test_release_wakes_it(kind: Callable[[], Any]) -> None:
    lock, queue = kind(), procession.Queue[int]()
    lock.acquire()
    with thread(wait, [queue, lock]) as answer:
        until(lambda: waiting(lock))
        lock.release()
        assert answer.result() == [lock]


@core
@pytest.mark.parametrize("kind", [procession.Lock, procession.Mutex, procession.RLock])
@pytest.mark.filterwarnings("ignore::procession.OwnerDiedWarning")
def test_death_of_an_owner_wakes_it(kind: Callable[[], Any]) -> None:
    lock, queue = kind(), procession.Queue[int]()
    with held_elsewhere(lock) as owner, thread(wait, [queue, lock]) as answer:
        until(lambda: waiting(lock))
        kill(owner)
        assert answer.result() == [lock]
    assert lock.acquire(False)


def take_and_tell(jobs: Any, told: Any) -> None:
    told.put(jobs.get())
    signal.pause()


@core
def test_item_of_a_killed_consumer_wakes_it() -> None:
    jobs, told = procession.JoinableQueue[int](), procession.Queue[int]()
    jobs.put(7)
    process = procession.Process(target=take_and_tell, args=(jobs, told), start_method="fork")
    process.start()
    told.get()
    with thread(wait, [told, jobs]) as answer:
        until(lambda: waiting(jobs))
        process.kill()
        assert answer.result() == [jobs]
    process.join()
    assert jobs.get() == 7
    jobs.task_done()


def test_shutdown_wakes_it() -> None:
    queue = procession.Queue[int]()
    with thread(wait, [queue, procession.Queue[int]()]) as answer:
        until(lambda: waiting(queue))
        queue.shutdown()
        assert answer.result() == [queue]


def test_every_waiter_is_woken() -> None:
    queue = procession.Queue[int]()
    threads = 40  # more than an object's window of the table has lines
    answers: list[list[Any]] = []
    waiters = [threading.Thread(target=lambda: answers.append(wait([queue]))) for _ in range(threads)]
    for waiter in waiters:
        waiter.start()
    until(lambda: queue.statistics().waiting == threads)
    queue.put(1)
    for waiter in waiters:
        waiter.join()
    assert answers == [[queue]] * threads


def test_killed_waiter_hinders_nobody_and_leaves_no_line() -> None:
    queue = procession.Queue[int]()

    def wait_for_it() -> None:
        wait([queue])

    with child(wait_for_it) as process:
        until(lambda: waiting(queue))
        kill(process)
    with thread(wait, [queue]) as answer:
        until(lambda: queue.statistics().waiting == 1)
        queue.put(1)
        assert answer.result() == [queue]
    until(lambda: domains.current().sweep() is not None and not waiting(queue))


# ---- being seen, being interrupted, being wrong


def test_wait_is_seen_on_each_object() -> None:
    first, second = procession.Queue[int](name="first"), procession.Lock(name="second")
    second.acquire()
    with thread(wait, [first, second]) as answer:
        until(lambda: waiting(first) and waiting(second))
        assert "1 waiting" in repr(first)
        assert "1 waiting" in repr(second)
        first.put(1)
        answer.result()
    assert not waiting(first)
    assert not waiting(second)


class Interrupt(Exception):
    """What the signal handler raises."""


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a descriptor"])
def test_signal_handler_ends_it(beside: bool) -> None:
    def handler(number: int, frame: object) -> None:
        raise Interrupt

    queue = procession.Queue[int]()
    reader, writer = os.pipe()
    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(lambda: waiting(queue))
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        with thread(interrupt), pytest.raises(Interrupt):
            wait([queue, reader] if beside else [queue])
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(reader)
        os.close(writer)
    assert not waiting(queue)


@pytest.mark.parametrize("wrong", [None, "queue", 1.5, True, [1]])
def test_what_cannot_be_waited_for_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="takes queues, locks, semaphores"):
        wait([procession.Queue[int](), wrong])


def test_process_that_was_not_started_is_refused() -> None:
    with pytest.raises(ValueError, match="not started"):
        wait([procession.Process(target=print)])


def test_closed_descriptors_are_refused() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        wait([reader])
    with pytest.raises(ValueError, match="no open descriptor"):
        wait([-1])


def test_wrong_timeouts_are_refused() -> None:
    with pytest.raises(TypeError):
        wait([procession.Queue[int]()], "soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        wait([procession.Queue[int]()], float("nan"))


def test_object_that_was_not_made_is_refused() -> None:
    with pytest.raises(RuntimeError, match="was not called"):
        wait([unmade(procession.Lock())])


def test_objects_of_several_domains() -> None:
    from procession import _core

    other = _core.Domain.create(size=1 << 28, max_bytes=1 << 24)
    theirs, ours = _core.Ring(other, "theirs"), procession.Queue[int]()

    def put() -> None:
        until(lambda: waiting(ours))
        theirs.put(1)

    with thread(put):
        assert wait([ours, theirs]) == [theirs]
    assert in_thread(wait, [theirs], 0) == [theirs]


def test_more_waiters_than_there_are_lines_look_from_time_to_time() -> None:
    from procession import _core

    domain = _core.Domain.create(size=1 << 28, max_bytes=1 << 24)
    queue = _core.Ring(domain, "queue")
    lines = 4096
    bells = [_core.Bell(((queue, 1),) * 64) for _ in range(lines // 64)]
    for bell in bells:
        bell.arm()
    with thread(wait, [queue]) as answer:
        until(lambda: queue._look()[4])
        queue.put(1)
        assert answer.result() == [queue]
    for bell in bells:
        bell.close()
