"""Descriptors of shared objects: for select, selectors, multiprocessing.connection.wait and event loops."""

from __future__ import annotations

import asyncio
import multiprocessing.connection
import os
import select
import selectors
import threading
from queue import Empty
from typing import Any

import pytest

import procession
from procession import _core
from tests.helpers import child, held_elsewhere, kill, output_of, thread, until


def rings(bell: Any) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


def threads() -> list[str]:
    """What the kernel calls the threads of this process."""
    names = []
    for tid in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{tid}/comm", encoding="utf-8") as file:
                names.append(file.read().strip())
        except FileNotFoundError:
            continue
    return names


# ---- when it rings


def test_it_is_readable_while_there_is_an_item() -> None:
    queue = procession.Queue[int]()
    assert not rings(queue)
    queue.put(1)
    queue.put(2)
    assert select.select([queue], [], [])[0] == [queue]
    queue.get()
    assert rings(queue)
    queue.get()
    assert not rings(queue)


def test_it_is_the_same_descriptor_each_time() -> None:
    queue = procession.Queue[int]()
    assert queue.fileno() == queue.fileno()


def test_item_that_was_there_before_rings() -> None:
    queue = procession.Queue[int]()
    queue.put(1)
    assert rings(queue)


@pytest.mark.core
def test_put_of_another_process_rings() -> None:
    queue = procession.Queue[int]()
    queue.fileno()
    with child(queue.put, 1):
        assert select.select([queue], [], [])[0] == [queue]


@pytest.mark.core
def test_what_another_process_takes_is_cleared() -> None:
    queue = procession.Queue[int]()
    queue.put(1)
    assert rings(queue)
    with child(queue.get):
        until(lambda: not rings(queue))


def test_second_object_of_the_same_queue_clears_it_too() -> None:
    queue, letters = procession.Queue[int](), procession.Queue[Any]()
    letters.put(queue)
    again = letters.get()
    queue.put(1)
    assert rings(queue)
    again.get()
    assert not rings(queue)


@pytest.mark.core
@pytest.mark.filterwarnings("ignore::procession.OwnerDiedWarning")
@pytest.mark.parametrize("kind", [procession.Lock, procession.Mutex, procession.RLock])
def test_lock_rings_while_it_can_be_had(kind: Any) -> None:
    lock = kind()
    assert rings(lock)
    with lock:
        assert not rings(lock)
    assert select.select([lock], [], [])[0] == [lock]
    with held_elsewhere(lock) as owner:
        until(lambda: not rings(lock))
        kill(owner)
        assert select.select([lock], [], [])[0] == [lock]


def test_shutdown_rings_for_good() -> None:
    queue = procession.Queue[int]()
    assert not rings(queue)
    queue.shutdown()
    assert select.select([queue], [], [])[0] == [queue]
    with pytest.raises(procession.ShutDown):
        queue.get_nowait()
    assert rings(queue)


def test_room_rings_for_those_who_put() -> None:
    queue = procession.Queue[int](1)
    bell = procession.Doorbell(queue, "put")
    assert rings(bell)
    queue.put(1)
    assert not rings(bell)
    queue.get()
    assert select.select([bell], [], [])[0] == [bell]
    bell.close()


def test_with_edge_it_rings_once_for_each_change() -> None:
    queue = procession.Queue[int]()
    bell = procession.Doorbell(queue, edge=True)
    bell.fileno()
    queue.put(1)
    assert select.select([bell], [], [])[0] == [bell]
    bell.clear()
    queue.put(2)
    assert select.select([bell], [], [])[0] == [bell]
    bell.close()


def test_paused_bell_is_silent_and_listens_again() -> None:
    queue = procession.Queue[int]()
    bell = procession.Doorbell(queue)
    fd = bell.fileno()
    queue.put(1)
    assert select.select([fd], [], [])[0]
    bell.pause()
    assert not select.select([fd], [], [], 0)[0]
    assert bell.fileno() == fd
    assert rings(bell)
    bell.close()


def test_puts_and_gets_are_never_missed() -> None:
    queue = procession.Queue[int]()

    def consume() -> list[int]:
        got: list[int] = []
        while len(got) < 20_000:
            select.select([queue], [], [])
            try:
                got += queue.get_many(1000, False)
            except Empty:
                continue
        return got

    queue.fileno()
    with thread(consume) as answer:
        for number in range(20_000):
            queue.put(number)
        assert answer.result() == list(range(20_000))


# ---- in whose hands it is used


def test_connection_wait_of_the_standard_library() -> None:
    queue = procession.SimpleQueue[int]()
    process = procession.Process(target=queue.put, args=(1,), start_method="fork")
    process.start()
    reader: Any = queue._reader
    ready: set[Any] = set()
    while len(ready) < 2:
        ready |= set(multiprocessing.connection.wait([reader, process.sentinel]))
    assert ready == {reader, process.sentinel}
    process.join()
    assert reader.poll()
    assert reader.recv() == 1
    assert not reader.poll()
    assert not reader.poll(0.01)


def test_selectors() -> None:
    queue = procession.Queue[int]()
    with selectors.DefaultSelector() as selector:
        selector.register(queue, selectors.EVENT_READ)
        assert selector.select(0) == []
        queue.put(1)
        assert [key.fileobj for key, _ in selector.select()] == [queue]


def test_add_reader_of_asyncio() -> None:
    queue, other = procession.Queue[int](), procession.Queue[int]()

    async def main() -> list[int]:
        loop, got, done = asyncio.get_running_loop(), list[int](), asyncio.Event()

        def take() -> None:
            got.append(queue.get_nowait())
            if len(got) == 3:
                done.set()

        loop.add_reader(queue, take)
        for number in range(3):
            other.put(number)
            queue.put(number)
        await done.wait()
        loop.remove_reader(queue)
        return got

    assert asyncio.run(main()) == [0, 1, 2]


# ---- the two ends


def test_ends_of_a_queue() -> None:
    queue = procession.SimpleQueue[str]()
    queue._writer.send("x")
    assert queue._reader.recv() == "x"
    assert queue._reader == queue._reader
    assert queue._reader != queue._writer
    assert select.select([queue._writer], [], [], 0)[0]
    queue._writer.close()
    assert queue._writer.closed
    assert not queue._reader.closed
    with pytest.raises(OSError, match="handle is closed"):
        queue._writer.send("y")
    queue.put("z")
    assert queue._reader.recv() == "z"
    queue.shutdown()
    with pytest.raises(EOFError):
        queue._reader.recv()
    with queue._reader as reader:
        assert reader.poll()
    with pytest.raises(OSError, match="handle is closed"):
        reader.poll()
    with queue._rlock, queue._wlock:
        pass


# ---- the thread, forks, ends


def test_thread_is_there_from_the_first_descriptor_on_and_goes_away() -> None:
    program = """
import os, procession, time
def threads():
    return len(os.listdir("/proc/self/task"))
queue = procession.Queue()
queue.put(1)
procession.wait([queue])
assert threads() == 1
queue.fileno()
assert threads() == 2
queue.close()
while threads() > 1:
    time.sleep(0.01)
print("gone")
"""
    assert output_of(program) == "gone"


def test_fork_beside_it_does_not_warn_and_the_child_has_a_descriptor_of_its_own() -> None:
    program = """
import os, procession, select
queue = procession.Queue()
mine = queue.fileno()
assert select.select([queue], [], [], 0)[0] == []
told = procession.Queue()
pid = os.fork()
if pid == 0:
    assert len(os.listdir("/proc/self/task")) == 1
    queue.put(1)
    assert select.select([queue], [], [])[0] == [queue]
    told.put("child")
    assert queue.get() == 1
    assert select.select([queue], [], [], 0)[0] == []
    os._exit(0)
assert told.get() == "child"
assert os.waitpid(pid, 0)[1] == 0
queue.put(2)
assert select.select([queue], [], [])[0] == [queue]
process = procession.Process(target=queue.get, start_method="fork")
process.start()
process.join()
assert process.exitcode == 0
while select.select([queue], [], [], 0)[0]:
    pass
print("both")
"""
    assert output_of(program) == "both"


def test_program_ends_while_it_listens() -> None:
    program = """
import procession
queue = procession.Queue()
queue.fileno()
bell = procession.Doorbell(procession.Lock())
bell.fileno()
"""
    assert output_of(program) == ""


def test_closed_queue_has_no_descriptor() -> None:
    queue = procession.Queue[int](name="jobs")
    fd = queue.fileno()
    queue.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    with pytest.raises(ValueError, match=r"'jobs'.*is closed"):
        queue.fileno()


def test_descriptor_goes_with_its_queue() -> None:
    queue = procession.Queue[int]()
    fd = queue.fileno()
    del queue
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_bell_keeps_its_object() -> None:
    queue = procession.Queue[int]()
    handle, domain = queue._handle, queue._domain
    bell = procession.Doorbell(queue)
    bell.fileno()
    del queue
    again = _core.Ring._attach(domain, *handle)
    again.put(1)
    assert select.select([bell], [], [])[0] == [bell]
    del again
    bell.close()
    with pytest.raises(procession.StaleHandle):
        _core.Ring._attach(domain, *handle)


def test_many_threads_ask_for_the_same_descriptor() -> None:
    queue = procession.Queue[int]()
    found: set[int] = set()
    asking = [threading.Thread(target=lambda: found.add(queue.fileno())) for _ in range(8)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert found == {queue.fileno()}


def test_what_has_no_bell_is_refused() -> None:
    with pytest.raises(TypeError, match="not for int"):
        procession.Doorbell(1)
    with pytest.raises(ValueError, match="'get', 'put' or 'join'"):
        procession.Doorbell(procession.Lock(), "take")
    with pytest.raises(TypeError, match="cannot be waited for"):
        procession.Doorbell(procession.Lock(), "put")
    bell = procession.Doorbell(procession.Lock())
    bell.close()
    bell.close()
    with pytest.raises(ValueError, match="closed"):
        bell.fileno()
    with pytest.raises(ValueError, match="closed"):
        bell.clear()
    bell.pause()


def test_threads_are_named() -> None:
    queue = procession.Queue[int]()
    queue.fileno()
    until(lambda: "pn-bells" in threads())
