"""Shared bytes: views keep them alive, whoever dies, and nobody has to give them back by hand."""

from __future__ import annotations

import gc
import os
import signal
from queue import Full
from typing import Any

import pytest

import procession
from procession import _core
from tests.helpers import child, domain, kill, memory, unmade, until

PAGE = 4096
LARGE = 100_000


def view_of(buffer: Any) -> memoryview:
    """Before Python 3.12 the buffer protocol of C has no name that a type checker knows."""
    return memoryview(buffer)


def new(size: int) -> memoryview:
    return view_of(_core.Buffer(domain(), size))


def payloads() -> int:
    gc.collect()
    return memory()["payloads"]


def test_view_is_writable_and_outlives_the_object() -> None:
    before = payloads()
    buffer = _core.Buffer(domain(), LARGE)
    view = view_of(buffer)
    assert (len(view), view.readonly, buffer.nbytes, buffer.readonly) == (LARGE, False, LARGE, False)
    view[:5] = b"hello"
    part = view[1:4]
    del buffer, view
    assert payloads() - before == (LARGE // PAGE + 4) // 4 * 4 * PAGE  # four size classes an octave
    assert bytes(part) == b"ell"
    del part
    assert payloads() == before


def test_view_outlives_the_domain_object() -> None:
    own = _core.Domain.create(max_bytes=16 << 20)
    view = view_of(_core.Buffer(own, LARGE))
    view[:] = b"x" * LARGE
    del own
    gc.collect()
    assert bytes(view) == b"x" * LARGE


def test_handle_names_the_same_bytes() -> None:
    buffer = _core.Buffer(domain(), 10)
    view_of(buffer)[:] = b"0123456789"
    same = _core.Buffer._attach(domain(), *buffer._handle)
    view_of(same)[0:1] = b"X"
    assert bytes(view_of(buffer)) == b"X123456789"
    handle = buffer._handle
    del buffer, same
    with pytest.raises(procession.StaleHandle):
        _core.Buffer._attach(domain(), *handle)


def test_empty_buffer() -> None:
    assert bytes(new(0)) == b""


@pytest.mark.parametrize("size", [-1, "1", 1.5, None, 1 << 70])
def test_wrong_sizes(size: Any) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        _core.Buffer(domain(), size)


def test_wrong_uses() -> None:
    buffer = _core.Buffer(domain(), 10)
    with pytest.raises(RuntimeError, match="made already"):
        buffer.__init__(domain(), 10)  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="was not called"):
        view_of(unmade(buffer))
    with pytest.raises(TypeError, match="another kind of object"):
        _core.Ring._attach(domain(), *buffer._handle)
    with pytest.raises(procession.DomainFull):
        _core.Buffer(domain(), 1 << 60)


def test_memory_that_is_not_there_leaves_nothing() -> None:
    own = _core.Domain.create(max_bytes=8 << 20)
    held = _core.Buffer(own, 5 << 20)
    for _ in range(100):
        with pytest.raises(procession.DomainFull):
            _core.Buffer(own, 5 << 20)
    used = own.used()
    assert used["payloads"] == 5 << 20
    del held
    _core.Buffer(own, 5 << 20)
    assert own.used()["payloads"] == 0


# ---- forks and deaths ---------------------------------------------------------------------------


def test_fork_keeps_a_view_that_its_parent_drops() -> None:
    """The parent makes new ones meanwhile: the child's bytes are nobody else's."""
    buffer = _core.Buffer(domain(), LARGE)
    view = view_of(buffer)
    view[:] = b"a" * LARGE
    go_reader, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.read(go_reader, 1)
            code = int(bytes(view) != b"a" * LARGE)
        finally:
            os._exit(code)
    del buffer, view
    others = [new(LARGE) for _ in range(20)]
    for other in others:
        other[:] = b"b" * LARGE
    os.write(go, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(go)
    os.close(go_reader)


def put_and_stay(queue: procession.Queue[bytes], ready: procession.Queue[int]) -> None:
    for number in range(20):
        queue.put(bytes([number]) * LARGE)
    ready.put(1)
    signal.pause()


def take_and_stay(queue: procession.Queue[bytes], ready: procession.Queue[int]) -> None:
    view = new(LARGE)
    taken = [queue.get() for _ in range(5)]
    ready.put(len(taken) + len(view))
    signal.pause()


def test_items_of_a_killed_sender_are_whole_and_come_back() -> None:
    before = payloads()
    queue: procession.Queue[bytes] = procession.Queue()
    ready: procession.Queue[int] = procession.Queue()
    with child(put_and_stay, queue, ready) as sender:
        ready.get()
        kill(sender)
    assert payloads() - before >= 20 * LARGE
    for number in range(20):
        assert queue.get() == bytes([number]) * LARGE
    assert payloads() == before


def test_what_a_killed_receiver_had_comes_back() -> None:
    before = payloads()
    queue: procession.Queue[bytes] = procession.Queue()
    ready: procession.Queue[int] = procession.Queue()
    for _ in range(6):
        queue.put(b"x" * LARGE)
    one = (payloads() - before) // 6
    with child(take_and_stay, queue, ready) as receiver:
        ready.get()
        assert payloads() - before == 2 * one  # the last item, and its own buffer
        kill(receiver)
    assert payloads() - before == one
    del queue
    assert payloads() == before


def test_queue_that_is_given_up_frees_what_waits_in_it_at_once() -> None:
    before = domain().used()["payloads"]
    queue: procession.Queue[Any] = procession.Queue()
    inner: procession.Queue[bytes] = procession.Queue()
    inner.put(b"y" * LARGE)
    queue.put(b"x" * LARGE)
    queue.put([inner, "z" * LARGE])
    del inner
    assert domain().used()["payloads"] - before >= 3 * LARGE
    del queue
    assert domain().used()["payloads"] == before  # no sweep


def test_full_queue_and_failed_puts_keep_nothing() -> None:
    before = payloads()
    queue: procession.Queue[bytes] = procession.Queue(maxsize=1)
    queue.put(b"x" * LARGE)
    one = payloads() - before
    for _ in range(50):
        with pytest.raises(Full):
            queue.put(b"y" * LARGE, timeout=0)
    with pytest.raises(Full):
        queue.put_many([b"z" * LARGE] * 5, timeout=0)
    assert payloads() - before == one
    queue.get()
    queue.shutdown()
    with pytest.raises(procession.ShutDown):
        queue.put(b"x" * LARGE)
    assert payloads() == before


# ---- many ---------------------------------------------------------------------------------------


def echo(queue: procession.Queue[bytes], back: procession.Queue[int]) -> None:
    while item := queue.get():
        back.put(len(item))


def test_many_items_of_all_sizes_leave_memory_flat() -> None:
    before = payloads()
    queue: procession.Queue[bytes] = procession.Queue(maxsize=8)
    back: procession.Queue[int] = procession.Queue()
    sizes = [20_000, 33_000, 70_000, 150_000, 400_000]
    content = bytes(max(sizes))
    marks = []
    with child(echo, queue, back):
        for _ in range(4):
            for number in range(1500):
                queue.put(content[: sizes[number % len(sizes)]])
            for _ in range(1500):
                back.get()
            marks.append(memory()["committed"])
        queue.put(b"")
    assert max(marks[1:]) - marks[0] <= 4 << 20, marks
    assert payloads() == before


def test_many_buffers_are_held_at_once() -> None:
    before = payloads()
    views = [new(8) for _ in range(20_000)]
    for number, view in enumerate(views):
        view[:] = number.to_bytes(8, "little")
    assert all(int.from_bytes(view, "little") == number for number, view in enumerate(views))
    del views[::2]
    assert all(int.from_bytes(view, "little") == 2 * place + 1 for place, view in enumerate(views))
    del view, views
    assert payloads() == before


def test_idle_memory_is_given_back() -> None:
    own = _core.Domain.create(max_bytes=64 << 20)
    _core.Buffer(own, 4 << 20)
    kept = own.used()["warm"]
    assert kept >= 4 << 20
    assert own.cool(60.0) == 0
    committed = own.used()["committed"]
    until(lambda: own.cool(0.01))
    used = own.used()
    assert (used["warm"], used["committed"]) == (0, committed - kept)
