"""Our objects as arguments of the standard library's processes, by each of its start methods."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import procession
from tests.helpers import METHODS, AnyLock, child, domain, kill, memory, until

LOCKS: list[Callable[..., AnyLock]] = [procession.Lock, procession.RLock, procession.Mutex]
QUEUES: list[Callable[..., Any]] = [procession.Queue, procession.SimpleQueue]

each_method = pytest.mark.parametrize("method", METHODS)
# What starts a fresh interpreter or leaves its arguments to a server: the arguments are pickled.
pickling = pytest.mark.parametrize("method", ["spawn", "forkserver"])


def find_held(lock: AnyLock, holder: int) -> None:
    assert lock.statistics().owner_pid == holder
    assert not lock.acquire(block=False)


@each_method
@pytest.mark.parametrize("kind", LOCKS)
def test_lock_is_the_same_in_the_child(kind: Callable[..., AnyLock], method: str) -> None:
    lock = kind(name="stock")
    with lock, child(find_held, lock, os.getpid(), method=method):
        pass


def double(queue: Any, answers: Any) -> None:
    answers.put((queue.get() * 2, queue.name))


@each_method
@pytest.mark.parametrize("kind", QUEUES)
def test_queue_is_the_same_in_the_child(kind: Callable[..., Any], method: str) -> None:
    queue, answers = kind(name="jobs"), kind()
    with child(double, queue, answers, method=method):
        queue.put(21)
        assert answers.get() == (42, "jobs")


def put_to_all(queues: list[Any]) -> None:
    for number, queue in enumerate(queues):
        queue.put(number)


@each_method
def test_300_objects_travel_in_one_start(method: str) -> None:
    queues: list[Any] = [procession.SimpleQueue() for _ in range(300)]
    with child(put_to_all, queues, method=method):
        pass
    assert [queue.get() for queue in queues] == list(range(300))


@pickling
def test_two_starts_at_once(method: str) -> None:
    queue = procession.Queue[int]()
    context = multiprocessing.get_context(method)
    processes: list[Any] = [context.Process(target=put_to_all, args=([queue] * 10,)) for _ in range(2)]  # type: ignore[attr-defined]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda process: process.start(), processes))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(queue.get_many(20)) == sorted([*range(10)] * 2)


def put_and_get(queue: Any) -> None:
    queue.put("there")
    assert queue.get() == "there"


@each_method
def test_last_reference_of_the_parent_may_go_after_the_start(method: str) -> None:
    before = memory()["segments"]
    context = multiprocessing.get_context(method)
    queue = procession.Queue[str]()
    process = context.Process(target=put_and_get, args=(queue,))  # type: ignore[attr-defined]
    process.start()
    del queue
    memory()
    process.join()
    assert process.exitcode == 0
    assert memory()["segments"] == before


@pickling
def test_child_has_one_descriptor_of_the_domain(method: str) -> None:
    answers = procession.Queue[int]()
    with child(count_descriptors, answers, procession.Lock(), method=method):
        assert answers.get() == 1


def count_descriptors(answers: Any, _: Any) -> None:
    here = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    answers.put(sum("memfd:procession" in target for target in here))


@pickling
def test_failed_start_leaves_no_line_in_the_process_table(method: str) -> None:
    before = len(domain().slots())
    process = multiprocessing.get_context(method).Process(target=print, args=(procession.Lock(), lambda: None))  # type: ignore[attr-defined]
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match=r"pickle|lambda"):
        process.start()
    del process
    assert len(domain().slots()) == before


@pickling
def test_child_killed_before_it_has_its_arguments_leaves_nothing(method: str) -> None:
    before = memory()["segments"]
    queue = procession.Queue[int]()
    with child(put_and_get, queue, method=method) as process:
        kill(process)
    del queue, process
    assert memory()["segments"] == before


def pass_on(queue: Any, method: str) -> None:
    with child(queue.put, "from the grandchild", method=method):
        pass


@each_method
def test_child_passes_it_on(method: str) -> None:
    queue = procession.Queue[str]()
    with child(pass_on, queue, method, method=method):
        assert queue.get() == "from the grandchild"


def send(queue: Any) -> None:
    queue.get().send("through the connection")


@each_method
def test_connection_travels_in_a_queue(method: str) -> None:
    from multiprocessing import resource_sharer

    queue = procession.Queue[Any]()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender, child(send, queue, method=method):
        queue.put(sender)
        assert receiver.recv() == "through the connection"
    resource_sharer.stop()


@each_method
def test_event_of_multiprocessing_and_queue_of_ours_side_by_side(method: str) -> None:
    event = multiprocessing.get_context(method).Event()
    queue = procession.Queue[Any]()
    with child(answer_when_set, event, queue, method=method):
        event.set()
        assert queue.get() == "set"


def answer_when_set(event: Any, queue: Any) -> None:
    event.wait()
    queue.put("set")


def test_object_made_between_two_forks_is_freed_with_the_last_of_them() -> None:
    before = memory()["segments"]
    gate = procession.Queue[int]()
    queue = procession.Queue[int]()
    with child(gate.get), child(gate.get):
        del queue
        assert memory()["segments"] == before + 2 * 65536
        gate.put_many([1, 2])
    del gate
    until(lambda: memory()["segments"] == before)
