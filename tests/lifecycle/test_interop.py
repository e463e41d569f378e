"""Objects of the standard library work in our processes, and ours in its."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
from typing import Any

import pytest

from procession import Lock, Mutex, Process, Queue, RLock, SimpleQueue

METHODS = ["fork", "spawn", "forkserver"]


def context(method: str) -> Any:
    """The standard library's context, whose attributes its stubs do not know by a variable's name."""
    return multiprocessing.get_context(method)


def use_theirs(
    queue: Any, lock: Any, event: Any, value: Any, connection: multiprocessing.connection.Connection, barrier: Any
) -> None:
    with lock:
        value.value += 1
    queue.put(os.getpid())
    connection.send("from the child")
    event.set()
    barrier.wait()


@pytest.mark.parametrize("method", METHODS)
def test_objects_of_multiprocessing_in_our_process(method: str) -> None:
    theirs = context(method)
    queue, lock, event = theirs.SimpleQueue(), theirs.Lock(), theirs.Event()
    value, barrier = theirs.Value("i", 41), theirs.Barrier(2)
    mine, childs = theirs.Pipe()
    process = Process(target=use_theirs, args=(queue, lock, event, value, childs, barrier), start_method=method)
    process.start()
    event.wait()
    barrier.wait()
    assert queue.get() == process.pid
    assert mine.recv() == "from the child"
    assert value.value == 42
    process.join()
    assert str(process.outcome) == "finished"
    mine.close()
    childs.close()
    queue.close()


def use_ours(queue: Queue[Any], simple: SimpleQueue[Any], locks: list[Any]) -> None:
    for lock in locks:
        with lock:
            simple.put((lock.name, queue.get()))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_our_objects_in_a_process_of_multiprocessing(method: str) -> None:
    queue: Queue[int] = Queue()
    simple: SimpleQueue[Any] = SimpleQueue()
    locks = [Lock(name="lock"), RLock(name="rlock"), Mutex(name="mutex")]
    queue.put_many([1, 2, 3])
    process = context(method).Process(target=use_ours, args=(queue, simple, locks))
    process.start()
    assert [simple.get() for _ in range(3)] == [("lock", 1), ("rlock", 2), ("mutex", 3)]
    process.join()
    assert process.exitcode == 0
    process.close()


def start_ours(out: SimpleQueue[Any], method: str) -> None:
    inner = Process(target=out.put, args=("from the inner one",), start_method=method)
    inner.start()
    inner.join()
    out.put(str(inner.outcome))


@pytest.mark.parametrize("outer", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("inner", METHODS)
def test_our_process_inside_of_theirs(outer: str, inner: str) -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = context(outer).Process(target=start_ours, args=(out, inner))
    process.start()
    assert [out.get(), out.get()] == ["from the inner one", "finished"]
    process.join()
    process.close()


def start_theirs(out: SimpleQueue[Any], method: str) -> None:
    inner = context(method).Process(target=out.put, args=("from the inner one",))
    inner.start()
    inner.join()
    out.put(inner.exitcode)


@pytest.mark.parametrize("outer", METHODS)
@pytest.mark.parametrize("inner", ["fork", "spawn"])
def test_their_process_inside_of_ours(outer: str, inner: str) -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = Process(target=start_theirs, args=(out, inner), start_method=outer)
    process.start()
    assert [out.get(), out.get()] == ["from the inner one", 0]
    process.join()
    assert str(process.outcome) == "finished"
