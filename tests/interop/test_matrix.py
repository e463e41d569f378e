"""Every shared object in a process of either library, by each start method; and theirs in ours.

A row says how the object is made, what the child does with it, what the parent does meanwhile, and what it finds afterwards.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

import procession
from procession import shared_memory
from tests.helpers import METHODS
from tests.interop.test_arrays import each_start, our_child

each_method = pytest.mark.parametrize("method", METHODS)


def nothing(_: Any) -> bool:
    return True


class Row(NamedTuple):
    make: Callable[[Any], Any]  # from procession, or from a context of the standard library
    act: Callable[[Any], object]  # in the child
    find: Callable[[Any], object] = nothing  # in the parent, when the child has done it: true if that is seen
    meet: Callable[[Any], object] = nothing  # in the parent, at the same time
    end: Callable[[Any], object] = nothing


def refused(lock: Any) -> None:
    """The parent holds it; the child must find that."""
    assert not lock.acquire(block=False)


def taken(lock: Any) -> Any:
    assert lock.acquire()
    return lock


def let_go(lock: Any) -> bool:
    lock.release()
    return bool(lock.acquire(timeout=100)) and lock.release() is None


def permit(semaphore: Any) -> None:
    assert not semaphore.acquire(block=False)
    semaphore.release()


def drained(make: Callable[[], Any]) -> Any:
    semaphore = make()
    assert semaphore.acquire()
    return semaphore


def is_given(semaphore: Any) -> bool:
    return bool(semaphore.acquire(timeout=100))


def notify(condition: Any) -> None:
    """The parent has its lock until it waits, so nobody is notified too early."""
    with condition:
        condition.notify()


def is_notified(condition: Any) -> bool:
    woken = condition.wait(100)
    condition.release()
    return bool(woken)


def put(queue: Any) -> None:
    queue.put(("from the child", 1))


def came(queue: Any) -> bool:
    return bool(queue.get() == ("from the child", 1))


def close_queue(queue: Any) -> None:
    queue.close()
    queue.join_thread()


def do_a_job(queue: Any) -> None:
    assert queue.get() == "job"
    queue.task_done()


def with_a_job(queue: Any) -> Any:
    queue.put("job")
    return queue


def is_done(queue: Any) -> bool:
    queue.join()
    return True


def put_disorderly(queue: Any) -> None:
    for number in (3, 1, 2):
        queue.put(number)


def answer(ends: Any) -> None:
    ends[1].send(ends[1].recv() * 2)


def asked(ends: Any) -> Any:
    ends[0].send(21)
    return ends


def close_pipe(ends: Any) -> None:
    for end in ends:
        end.close()


def count_up(value: Any) -> None:
    with value.get_lock():
        value.value += 1


def set_first(array: Any) -> None:
    array[0] = 7


def set_value(value: Any) -> None:
    value.value = 7


def write_block(block: Any) -> None:
    block.buf[0] = 7


def close_block(block: Any) -> None:
    block.close()
    block.unlink()


def close_list(block: Any) -> None:
    close_block(block.shm)


def read_only(shared: Any) -> None:
    assert shared.value == b"big" * 10_000


def set_key(mapping: Any) -> None:
    mapping["child"] = 7


def has_key(mapping: Any) -> bool:
    return bool(mapping["child"] == 7)


# What both libraries have, as methods of a context.
COMMON: dict[str, Row] = {
    "Lock": Row(lambda c: taken(c.Lock()), refused, let_go),
    "RLock": Row(lambda c: taken(c.RLock()), refused, let_go),
    "Semaphore": Row(lambda c: drained(c.Semaphore), permit, is_given),
    "BoundedSemaphore": Row(lambda c: drained(c.BoundedSemaphore), permit, is_given),
    "Condition": Row(lambda c: taken(c.Condition()), notify, meet=is_notified),
    "Event": Row(lambda c: c.Event(), lambda event: event.set(), lambda event: event.wait(100)),
    "Barrier": Row(
        lambda c: c.Barrier(2), lambda barrier: barrier.wait(), meet=lambda barrier: barrier.wait(100) in {0, 1}
    ),
    "Queue": Row(lambda c: c.Queue(), put, came, end=close_queue),
    "SimpleQueue": Row(lambda c: c.SimpleQueue(), put, came, end=lambda queue: queue.close()),
    "JoinableQueue": Row(lambda c: with_a_job(c.JoinableQueue()), do_a_job, meet=is_done, end=close_queue),
    "Pipe": Row(lambda c: asked(c.Pipe()), answer, lambda ends: ends[0].recv() == 42, end=close_pipe),
    "Value": Row(lambda c: c.Value("i", 6), count_up, lambda value: value.value == 7),
    "Array": Row(lambda c: c.Array("d", 2), set_first, lambda array: array[:] == [7, 0]),
    "RawValue": Row(lambda c: c.RawValue("i", 6), set_value, lambda value: value.value == 7),
    "RawArray": Row(lambda c: c.RawArray("d", 2), set_first, lambda array: list(array) == [7, 0]),
}

# What stands on no context of theirs.
OURS: dict[str, Row] = {
    "Mutex": Row(lambda _: taken(procession.Mutex()), refused, let_go),
    "PriorityQueue": Row(
        lambda _: procession.PriorityQueue(), put_disorderly, lambda queue: [queue.get() for _ in range(3)] == [1, 2, 3]
    ),
    "Atomic": Row(lambda _: procession.Atomic(6), lambda number: number.add(), lambda number: number.value == 7),
    "SharedDict": Row(lambda _: procession.SharedDict(), set_key, has_key),
    "shared_array": Row(lambda _: procession.shared_array(3), set_first, lambda array: array[0] == 7),
    "SharedMemory": Row(
        lambda _: shared_memory.SharedMemory(create=True, size=100),
        write_block,
        lambda block: block.buf[0] == 7,
        end=close_block,
    ),
    "ShareableList": Row(
        lambda _: shared_memory.ShareableList([1, "two"]),
        set_first,
        lambda words: list(words) == [7, "two"],
        end=close_list,
    ),
    "broadcast": Row(lambda _: procession.broadcast(b"big" * 10_000), read_only),
}

ALL = {**COMMON, **OURS}


def act_on(name: str, made: Any) -> None:
    ALL[name].act(made)


@each_start
@pytest.mark.parametrize("name", ALL)
def test_ours_in_processes_of_either(name: str, start: Callable[..., Any]) -> None:
    row = ALL[name]
    made = row.make(procession)
    with start(act_on, name, made):
        assert row.meet(made)
    assert row.find(made)
    row.end(made)


@each_start
def test_file_lock_in_processes_of_either(tmp_path: Any, start: Callable[..., Any]) -> None:
    lock = procession.FileLock(tmp_path / "lock")
    with lock, start(refused, lock):
        pass
    assert not lock.locked()


@each_method
@pytest.mark.parametrize("name", COMMON)
def test_theirs_in_ours(name: str, method: str) -> None:
    row = COMMON[name]
    made = row.make(multiprocessing.get_context(method))
    with our_child(act_on, name, made, method=method):
        assert row.meet(made)
    assert row.find(made)
    row.end(made)


# ---- proxies of a manager


def use_proxies(mapping: Any, words: Any, queue: Any, lock: Any, event: Any, space: Any) -> None:
    with lock:
        mapping["child"] = os.getpid()
        words.append("word")
        space.name = "child"
    queue.put("done")
    event.set()


@contextmanager
def manager_of(library: Any, method: str) -> Iterator[Any]:
    with library.get_context(method).Manager() as manager:
        yield manager


@each_method
@pytest.mark.parametrize("library", [procession, multiprocessing], ids=["ours", "theirs"])
def test_proxies_of_a_manager_in_ours(library: Any, method: str) -> None:
    with manager_of(library, method) as manager:
        mapping, words, queue = manager.dict(), manager.list(), manager.Queue()
        lock, event, space = manager.Lock(), manager.Event(), manager.Namespace()
        with our_child(use_proxies, mapping, words, queue, lock, event, space, method=method) as process:
            assert event.wait(100)
            assert queue.get() == "done"
            assert (dict(mapping), list(words), space.name) == ({"child": process.pid}, ["word"], "child")


# ---- in an executor


given: Any = None


def take(name: str, made: Any) -> None:
    global given
    given = name, made


def act_on_what_was_given() -> None:
    act_on(*given)


@each_method
@pytest.mark.parametrize(
    ("made_by", "name"), [*(("ours", name) for name in ALL), *(("theirs", name) for name in COMMON)]
)
def test_initializer_of_an_executor_with_our_context(name: str, made_by: str, method: str) -> None:
    row = ALL[name]
    made = row.make(procession if made_by == "ours" else multiprocessing.get_context(method))
    context = procession.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context, initializer=take, initargs=(name, made)) as pool:
        done = pool.submit(act_on_what_was_given)
        assert row.meet(made)
        done.result()
        assert row.find(made)
    row.end(made)


# ---- what they leave: a program, for this one has had other objects before


WITNESS = """
import multiprocessing, sys, procession
from multiprocessing import resource_tracker
from tests.interop.test_matrix import ALL, COMMON, act_on, maps_shared_memory

method, library, run_by = sys.argv[1:]
context = (procession if library == "ours" else multiprocessing).get_context(method)
for name, row in (ALL if library == "ours" else COMMON).items():
    made = row.make(context)
    process = (procession if run_by == "ours" else multiprocessing).get_context(method).Process(
        target=act_on, args=(name, made)
    )
    process.start()
    assert row.meet(made), name
    process.join()
    assert row.find(made) and process.exitcode == 0, name
    if resource_tracker._resource_tracker._fd is not None or maps_shared_memory():
        print(name)
    row.end(made)
"""


def maps_shared_memory() -> bool:
    """Return whether this process has mapped a file of /dev/shm."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        return "/dev/shm/" in file.read()


def witnessed(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", WITNESS, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


@pytest.mark.slow
@pytest.mark.timeout(600)  # a process for each object
@each_method
def test_none_of_ours_starts_a_resource_tracker_or_is_in_dev_shm(method: str) -> None:
    assert witnessed(method, "ours", "ours") == []


def test_in_a_forked_process_of_theirs_neither() -> None:
    """By spawn and forkserver their processes start a resource tracker, whatever they are given."""
    assert witnessed("fork", "ours", "theirs") == []


def test_this_would_be_seen() -> None:
    assert {"Lock", "Queue", "Value"} <= set(witnessed("fork", "theirs", "ours"))
