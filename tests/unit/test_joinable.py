"""JoinableQueue: what is unfinished, and who gets the items of those who died."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue as standard
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import procession
from tests.helpers import METHODS, child, domain, in_thread, kill, memory, thread, until

core = pytest.mark.core
Jobs = procession.JoinableQueue[Any]


@pytest.fixture
def jobs() -> Jobs:
    return procession.JoinableQueue(name="jobs")


def unfinished(jobs: Jobs) -> int:
    return jobs.statistics().unfinished


# ---- done and unfinished


@core
def test_an_item_is_unfinished_from_put_to_task_done(jobs: Jobs) -> None:
    assert jobs.join() is True
    jobs.put("a")
    assert (jobs.join(0), unfinished(jobs)) == (False, 1)
    assert jobs.get() == "a"
    assert (jobs.join(0.01), jobs.statistics().leased) == (False, 1)
    jobs.task_done()
    assert (jobs.join(), jobs.statistics().leased) == (True, 0)


def test_task_done_too_often_is_the_standard_librarys_error(jobs: Jobs) -> None:
    theirs: Any = multiprocessing.JoinableQueue()
    for each in (jobs, theirs):
        with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
            each.task_done()
    theirs.close()
    theirs.join_thread()


def test_task_done_before_the_get_counts_for_an_item(jobs: Jobs) -> None:
    jobs.put_many([1, 2])
    jobs.task_done()
    assert unfinished(jobs) == 1
    assert [jobs.get(), jobs.get()] == [1, 2]
    assert (unfinished(jobs), jobs.statistics().leased) == (1, 1)
    jobs.task_done()
    with pytest.raises(ValueError):
        jobs.task_done()


@pytest.mark.parametrize("method", METHODS)
def test_task_done_may_be_called_in_another_process(jobs: Jobs, method: str) -> None:
    jobs.put("a")
    assert jobs.get() == "a"
    with child(jobs.task_done, method=method):
        assert jobs.join()


def test_task_done_is_refused_for_an_object_that_was_not_made() -> None:
    empty = procession.JoinableQueue.__new__(procession.JoinableQueue)
    for call in (empty.task_done, empty.join, empty._leases, empty._get_item, lambda: empty._letter(0, False, True)):
        with pytest.raises(RuntimeError, match="__init__"):
            call()


@core
def test_items_of_get_many_are_unfinished_each(jobs: Jobs) -> None:
    jobs.put_many(range(50))
    assert jobs.get_many(50) == list(range(50))
    for left in range(49, -1, -1):
        jobs.task_done()
        assert unfinished(jobs) == left


def test_get_item_tells_the_ordinal_and_the_delivery(jobs: Jobs) -> None:
    jobs.put_many("ab")
    assert jobs.get_item() == ("a", 0, 1)
    assert jobs.get_item(timeout=1) == ("b", 1, 1)
    assert jobs.get_item.__doc__
    with pytest.raises(standard.Empty):
        jobs.get_item(block=False)


def test_maxsize_counts_what_waits_and_not_what_is_in_hand() -> None:
    jobs = procession.JoinableQueue[str](1)
    jobs.put("a")
    assert jobs.full()
    assert jobs.get() == "a"
    assert not jobs.full()
    jobs.put_nowait("b")
    with pytest.raises(standard.Full):
        jobs.put_nowait("c")


@pytest.mark.parametrize("wrong", [0, -1, 65535, 1.5, "2"])
def test_wrong_max_deliveries_are_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="max_deliveries"):
        procession.JoinableQueue(max_deliveries=wrong)


def test_leases_have_no_limit_and_their_memory_comes_back(jobs: Jobs) -> None:
    before = memory()["segments"]
    for number in range(0, 100_000, 100):
        jobs.put_many(range(number, number + 100))
        jobs.get_many(100)
    assert memory()["segments"] > before + 20_000_000
    for _ in range(100_000):
        jobs.task_done()
    assert jobs.join(0)
    assert memory()["segments"] <= before + 2_000_000


def test_items_can_be_taken_and_done_when_memory_has_ended() -> None:
    """Or nothing would ever give any back."""
    script = """
import procession
jobs = procession.JoinableQueue()
count = 0
for item in (bytes(200_000), bytes(3_000), 1):
    try:
        while True:
            jobs.put(item)
            count += 1
    except procession.DomainFull:
        pass
for _ in range(count):
    jobs.get()
    jobs.task_done()
print(jobs.join(0))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PROCESSION_MAX_BYTES": str(8 << 20)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_thread_that_only_ends_items_does_not_look_through_all(jobs: Jobs) -> None:
    count = 60_000
    jobs.put_many(range(count))
    while count > jobs.statistics().leased:
        jobs.get_many(count)

    def end_some() -> float:
        begin = time.thread_time()
        for _ in range(1000):
            jobs.task_done()
        return time.thread_time() - begin

    with thread(end_some) as other:
        seconds = other.result()
    assert seconds < 0.02 + 5 * end_some()


# ---- join


def test_join_sees_an_end_that_a_put_follows_at_once(jobs: Jobs) -> None:
    """As in the standard library: it has been told, whatever was put since."""
    for _ in range(30):
        jobs.put(0)
        with thread(jobs.join, 10) as joined:
            time.sleep(0.01)
            jobs.get()
            jobs.task_done()
            jobs.put(0)
            assert joined.result() is True
        jobs.get()
        jobs.task_done()


@core
def test_join_is_woken_by_the_last_task_done(jobs: Jobs) -> None:
    jobs.put_many([1, 2])
    with thread(jobs.join) as first, thread(jobs.join) as second:
        jobs.get_many(2)
        jobs.task_done()
        assert not first.done()
        jobs.task_done()
        assert (first.result(), second.result()) == (True, True)


def join_and_tell(jobs: Jobs, told: Any) -> None:
    told.put("here")
    told.put(jobs.join())


@core
def test_several_processes_join_and_one_that_is_killed_does_not_keep_the_others(jobs: Jobs) -> None:
    told = procession.Queue[Any]()
    jobs.put("a")
    with child(join_and_tell, jobs, told) as doomed, child(join_and_tell, jobs, told), child(join_and_tell, jobs, told):
        assert [told.get(), told.get(), told.get()] == ["here"] * 3
        kill(doomed)
        jobs.get()
        jobs.task_done()
        assert [told.get(), told.get()] == [True, True]
    assert told.empty()


def test_join_ends_with_an_exception_of_a_signal_handler(jobs: Jobs) -> None:
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    jobs.put("a")
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            jobs.join()
    finally:
        signal.signal(signal.SIGALRM, before)


# ---- consumers that die


def take(jobs: Jobs, told: Any, end: str) -> None:
    """Take one item, say so, and end in some way without task_done()."""
    told.put(jobs.get_item())
    if end == "killed":
        while True:
            signal.pause()
    elif end == "raise":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - its traceback is no news
        raise RuntimeError("no luck")
    elif end.startswith("exit"):
        sys.exit(int(end[4:]))
    elif end.startswith("_exit"):
        os._exit(int(end[5:]))


@contextlib.contextmanager
def ours(target: Callable[..., object], *args: Any, method: str) -> Iterator[Any]:
    process = procession.Process(target=target, args=args, start_method=method)
    process.start()
    try:
        yield process
        process.join()
    finally:
        process.kill()
        process.join()
        process.close()


@contextlib.contextmanager
def theirs(target: Callable[..., object], *args: Any, method: str) -> Iterator[Any]:
    process = multiprocessing.get_context(method).Process(target=target, args=args)  # type: ignore[attr-defined]
    process.start()
    try:
        yield process
        process.join()
    finally:
        process.kill()
        process.join()
        process.close()


KINDS = [(ours, "fork"), (ours, "spawn"), *((theirs, method) for method in METHODS)]
each_kind = pytest.mark.parametrize(("start", "method"), KINDS, ids=lambda value: getattr(value, "__name__", value))
Start = Callable[..., AbstractContextManager[Any]]


def lives_and_ends(jobs: Jobs, start: Start, method: str, end: str) -> None:
    """A consumer took an item and has ended, and the sweep has been there."""
    told = procession.Queue[Any]()
    with start(take, jobs, told, end, method=method) as process:
        told.get()
        if end == "killed":
            process.kill()
    domain().sweep()


@each_kind
def test_what_a_killed_consumer_had_comes_again(jobs: Jobs, start: Start, method: str) -> None:
    jobs.put_many(["a", "b"])
    lives_and_ends(jobs, start, method, "killed")
    assert (jobs.qsize(), jobs.empty(), unfinished(jobs)) == (2, False, 2)
    assert jobs.get_item(block=False) == ("a", 0, 2)
    assert jobs.get_item(block=False) == ("b", 1, 1)
    jobs.task_done()
    jobs.task_done()
    assert jobs.join(0)


@each_kind
@pytest.mark.parametrize("end", ["raise", "exit3", "_exit3"])
def test_what_a_failed_consumer_had_comes_again(jobs: Jobs, start: Start, method: str, end: str) -> None:
    jobs.put("a")
    lives_and_ends(jobs, start, method, end)
    assert jobs.get_item(block=False) == ("a", 0, 2)


@each_kind
@pytest.mark.parametrize("end", ["return", "exit0"])
def test_what_a_consumer_left_that_ended_well_stays_unfinished_and_is_named(
    jobs: Jobs, start: Start, method: str, end: str
) -> None:
    jobs.put(None)
    lives_and_ends(jobs, start, method, end)
    with pytest.raises(standard.Empty):
        jobs.get(block=False)
    now = jobs.statistics()
    assert (now.items, now.unfinished, now.leased, len(now.left)) == (0, 1, 1, 1)
    assert (now.left[0].id, now.left[0].deliveries) == (0, 1)
    assert now.left[0].pid != os.getpid()
    assert start is theirs or now.left[0].process.startswith("Process-")
    jobs.task_done()
    assert jobs.join(0)
    assert jobs.statistics().left == ()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_os_exit_with_0_is_a_clean_end_of_a_child_of_ours(jobs: Jobs, method: str) -> None:
    jobs.put(None)
    lives_and_ends(jobs, ours, method, "_exit0")
    assert jobs.statistics().left[0].id == 0


def test_os_exit_with_0_is_a_clean_end_as_long_as_nobody_has_reaped_the_process(jobs: Jobs) -> None:
    jobs.put(None)
    told = procession.Queue[Any]()
    with theirs(take, jobs, told, "_exit0", method="fork") as process:
        told.get()
        until(lambda: domain().sweep() or jobs.statistics().left)
        assert jobs.statistics().left[0].pid == process.pid


def test_workers_that_take_a_sentinel_and_leave_do_not_hand_it_on(jobs: Jobs) -> None:
    def work() -> None:
        while jobs.get() is not None:
            jobs.task_done()

    jobs.put_many([*range(20), None, None, None])
    with ours(work, method="fork"), ours(work, method="fork"), ours(work, method="fork"):
        pass
    now = jobs.statistics()
    assert (now.items, now.unfinished, len(now.left)) == (0, 3, 3)


@pytest.mark.parametrize(("code", "deliveries"), [(0, 2), (9, 2)])
def test_a_plain_fork_hands_on_unless_it_ended_as_a_program_does(jobs: Jobs, code: int, deliveries: int) -> None:
    jobs.put("a")
    pid = os.fork()
    if pid == 0:
        jobs.get()
        os._exit(code)
    os.waitpid(pid, 0)
    domain().sweep()
    assert jobs.get_item(block=False).deliveries == deliveries


def take_in_a_fork(jobs: Jobs, told: Any, end: str) -> None:
    pid = os.fork()
    if pid == 0:
        take(jobs, told, end)
    else:
        os.waitpid(pid, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("end", "is_clean"), [("return", True), ("exit0", True), ("exit3", False), ("raise", False)])
def test_a_plain_fork_of_a_child_is_judged_as_the_child_is(jobs: Jobs, method: str, end: str, is_clean: bool) -> None:
    jobs.put("a")
    told = procession.Queue[Any]()
    with theirs(take_in_a_fork, jobs, told, end, method=method):
        told.get()
    domain().sweep()
    now = jobs.statistics()
    assert (len(now.left), now.items) == ((1, 0) if is_clean else (0, 1))


def test_a_killed_plain_fork_hands_on(jobs: Jobs) -> None:
    jobs.put("a")
    pid = os.fork()
    if pid == 0:
        jobs.get()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert jobs.get_item() == ("a", 0, 2)  # nobody else looks: the sleeper does


@core
def test_a_sleeping_consumer_gets_what_a_killed_child_had_at_once(jobs: Jobs) -> None:
    jobs.put("a")
    told = procession.Queue[Any]()
    with ours(take, jobs, told, "killed", method="fork") as process:
        told.get()
        with thread(jobs.get_item) as item:
            until(lambda: jobs.statistics().waiting == 1)
            process.kill()
            assert item.result() == ("a", 0, 2)


@core
def test_an_item_may_kill_many_and_is_counted(jobs: Jobs) -> None:
    jobs.put("poison")
    for _ in range(4):
        lives_and_ends(jobs, ours, "fork", "killed")
    assert jobs.get_item() == ("poison", 0, 5)


def take_many(jobs: Jobs, told: Any) -> None:
    told.put(jobs.get_many(3))
    jobs.task_done()
    told.put("done")
    signal.pause()


def test_of_a_batch_what_was_not_done_comes_again_in_order(jobs: Jobs) -> None:
    jobs.put_many(range(5))
    told = procession.Queue[Any]()
    with child(take_many, jobs, told) as process:
        assert (told.get(), told.get()) == ([0, 1, 2], "done")
        kill(process)
    domain().sweep()
    assert jobs.get_many(10) == [1, 2]
    assert jobs.get_many(10) == [3, 4]
    for _ in range(4):
        jobs.task_done()
    assert jobs.join(0)


def get_and_do(jobs: Jobs) -> None:
    jobs.get()
    jobs.task_done()


def test_threads_end_each_what_they_have_in_hand(jobs: Jobs) -> None:
    def two_threads(told: Any) -> None:
        jobs.get()  # still at it
        in_thread(get_and_do, jobs)
        told.put("done")
        signal.pause()

    jobs.put_many(["slow", "quick"])
    told = procession.Queue[Any]()
    with child(two_threads, told) as process:
        told.get()
        kill(process)
    domain().sweep()
    assert jobs.get_item(block=False) == ("slow", 0, 2)
    with pytest.raises(standard.Empty):
        jobs.get_nowait()


def test_large_items_and_shared_objects_come_again_whole(jobs: Jobs) -> None:
    lock = procession.Lock(name="inside")
    large = os.urandom(3_000_000)
    jobs.put((large, lock, {"text": "x" * 50_000}))
    del lock
    for _ in range(2):
        lives_and_ends(jobs, ours, "fork", "killed")
    before = memory()
    item, number, deliveries = jobs.get_item()
    assert (item[0] == large, item[1].name, item[2]["text"], number, deliveries) == (
        True,
        "inside",
        "x" * 50_000,
        0,
        3,
    )
    with item[1]:
        pass
    del item
    jobs.task_done()
    assert memory()["payloads"] < before["payloads"]
    assert memory()["payloads"] == 0


def test_an_item_that_does_not_unpickle_is_in_hand(jobs: Jobs) -> None:
    jobs.put(Explosive())
    with pytest.raises(RuntimeError, match="unpickled"):
        jobs.get()
    assert jobs.statistics().leased == 1
    jobs.task_done()
    assert jobs.join(0)


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ()


def explode() -> None:
    raise RuntimeError("unpickled")


# ---- dead letters


def test_an_item_whose_consumers_die_too_often_becomes_a_dead_letter() -> None:
    jobs = procession.JoinableQueue[Any](max_deliveries=2, name="jobs")
    jobs.put({"poison": 1})
    with thread(jobs.join) as joined:
        lives_and_ends(jobs, ours, "fork", "killed")
        lives_and_ends(jobs, ours, "fork", "raise")
        assert joined.result()
    with pytest.raises(standard.Empty):
        jobs.get_nowait()
    assert (unfinished(jobs), jobs.statistics().dead_letters) == (0, 1)
    (letter,) = jobs.dead_letters()
    assert (letter.id, letter.deliveries, letter.item) == (0, 2, {"poison": 1})
    assert isinstance(letter.error, procession.NotRedeliverable)
    assert str(letter.error) == "item 0 of JoinableQueue 'jobs': 2 consumers died before they had done it"
    assert letter.process.startswith("Process-")
    assert jobs.dead_letters(clear=True)[0].item == {"poison": 1}
    assert (jobs.dead_letters(), jobs.statistics().dead_letters) == ([], 0)
    with pytest.raises(ValueError):
        jobs.task_done()


def test_a_dead_letter_that_does_not_unpickle_says_why() -> None:
    jobs = procession.JoinableQueue[Any](max_deliveries=1)
    jobs.put(Explosive())
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(RuntimeError):
            jobs.get()
        os._exit(1)
    os.waitpid(pid, 0)
    domain().sweep()
    (letter,) = jobs.dead_letters(clear=True)
    assert (letter.item, str(letter.error.__cause__)) == (None, "unpickled")


class Raiser:
    """Its unpickling raises what looks as if there were no such letter."""

    def __reduce__(self) -> tuple[Any, ...]:
        return raise_key_error, ()


def raise_key_error() -> None:
    raise KeyError("mine")


def interrupt() -> None:
    raise KeyboardInterrupt


class Interrupter:
    def __reduce__(self) -> tuple[Any, ...]:
        return interrupt, ()


def dead_letter_of(item: object) -> Jobs:
    jobs = procession.JoinableQueue[Any](max_deliveries=1)
    jobs.put(item)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            jobs.get()
        os._exit(1)
    os.waitpid(pid, 0)
    domain().sweep()
    return jobs


def test_a_key_error_of_a_dead_letter_is_its_own() -> None:
    jobs = dead_letter_of(Raiser())
    (letter,) = jobs.dead_letters(clear=True)
    assert isinstance(letter.error.__cause__, KeyError)
    assert jobs.statistics().dead_letters == 0


def test_an_interrupted_look_forgets_no_dead_letter() -> None:
    jobs = dead_letter_of(Interrupter())
    with pytest.raises(KeyboardInterrupt):
        jobs.dead_letters(clear=True)
    assert jobs.statistics().dead_letters == 1


def test_a_dead_letter_keeps_its_objects_and_lets_them_go() -> None:
    jobs = procession.JoinableQueue[Any](max_deliveries=1)
    jobs.put((procession.Lock(name="inside"), b"x" * 100_000))
    lives_and_ends(jobs, ours, "fork", "killed")
    assert jobs.dead_letters()[0].item[0].name == "inside"  # type: ignore[index]
    assert jobs.dead_letters(clear=True)[0].item[0].name == "inside"  # type: ignore[index]
    assert memory()["payloads"] == 0


@pytest.mark.parametrize("wrap", [lambda end: end, lambda end: {"deep": [end]}], ids=["alone", "inside"])
def test_an_item_with_a_connection_is_not_handed_out_again(jobs: Jobs, wrap: Callable[[Any], Any]) -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)
    jobs.put(wrap(reader))
    jobs.put("next")
    lives_and_ends(jobs, ours, "fork", "killed")
    assert jobs.get_item(block=False) == ("next", 1, 1)
    jobs.task_done()
    assert jobs.join(0)
    (letter,) = jobs.dead_letters()
    assert (letter.id, letter.deliveries, letter.item) == (0, 1, None)
    assert "file descriptor" in str(letter.error)
    reader.close()
    writer.close()
    stop_sharing()


def stop_sharing() -> None:
    """End the thread and the socket by which multiprocessing hands descriptors over."""
    from multiprocessing import resource_sharer

    resource_sharer.stop()


def test_an_item_with_a_socket_that_was_done_leaves_nothing(jobs: Jobs) -> None:
    ends = socket.socketpair()
    jobs.put(ends[0])
    mine = in_thread(jobs.get)
    jobs.task_done()
    assert jobs.join(0)
    assert jobs.dead_letters() == []
    for end in (mine, *ends):
        end.close()
    stop_sharing()


def test_an_item_that_was_pickled_beside_a_descriptor_is_handed_out_again(jobs: Jobs) -> None:
    ends = socket.socketpair()
    other = procession.Queue[Any]()

    class Sends:
        """Another thread sends a descriptor while this is pickled."""

        def __reduce__(self) -> tuple[Any, ...]:
            in_thread(other.put, ends[0])
            return str, ("plain",)

    jobs.put(Sends())
    lives_and_ends(jobs, ours, "fork", "killed")
    assert jobs.get_item(block=False) == ("plain", 0, 2)
    for end in (other.get(), *ends):
        end.close()
    stop_sharing()


# ---- shutdown


@core
def test_after_shutdown_what_a_dead_consumer_had_comes_still(jobs: Jobs) -> None:
    jobs.put("a")
    told = procession.Queue[Any]()
    with ours(take, jobs, told, "killed", method="fork") as process:
        told.get()
        jobs.shutdown()
        with pytest.raises(procession.ShutDown):  # what a living consumer has in hand is not waited for
            jobs.get()
        process.kill()
    domain().sweep()
    assert jobs.get_item() == ("a", 0, 2)
    with pytest.raises(procession.ShutDown):
        jobs.get()
    jobs.task_done()
    assert jobs.join(0)


@core
def test_an_immediate_shutdown_gives_up_what_waits_and_wakes_who_joins(jobs: Jobs) -> None:
    jobs.put_many([1, 2, 3])
    jobs.get()
    with thread(jobs.join) as joined:
        jobs.shutdown(immediate=True)
        assert unfinished(jobs) == 1
        jobs.task_done()
        assert joined.result()


def test_an_immediate_shutdown_wakes_who_joins_when_nothing_is_in_hand(jobs: Jobs) -> None:
    jobs.put(1)
    with thread(jobs.join) as joined:
        jobs.shutdown(immediate=True)
        assert joined.result()


def test_after_an_immediate_shutdown_only_what_is_in_hand_can_be_done(jobs: Jobs) -> None:
    jobs.put_many([1, 2, 3])
    jobs.get()
    jobs.shutdown(immediate=True)
    jobs.task_done()
    with pytest.raises(ValueError, match="too many times"):
        jobs.task_done()
    assert unfinished(jobs) == 0


# ---- many at once


def do_some(jobs: Jobs, done: Any) -> None:
    with contextlib.suppress(procession.ShutDown):
        while True:
            item = jobs.get_item()
            done.put(item[:2])
            jobs.task_done()


def put_all(jobs: Jobs, count: int) -> None:
    for number in range(count):
        jobs.put(number)


def test_many_workers_are_killed_and_everything_is_done(jobs: Jobs) -> None:
    count = 3000
    done = procession.Queue[tuple[int, int]]()
    workers: list[Any] = []
    producer = threading.Thread(target=put_all, args=(jobs, count))
    producer.start()

    def start() -> None:
        workers.append(procession.Process(target=do_some, args=(jobs, done), start_method="fork"))
        workers[-1].start()

    for _ in range(3):
        start()
    for _ in range(12):
        seen = done.qsize()
        until(lambda: done.qsize() > seen or jobs.join(0))  # noqa: B023
        workers[-3].kill()
        start()
    producer.join()
    assert jobs.join()
    jobs.shutdown()
    for worker in workers:
        worker.join()
        worker.close()
    numbers = [pair[0] for pair in done.get_many(10 * count)]
    while not done.empty():
        numbers += [pair[0] for pair in done.get_many(10 * count)]
    assert sorted(set(numbers)) == list(range(count))
    assert len(numbers) <= count + 12  # at most one for each kill was done and not said to be
