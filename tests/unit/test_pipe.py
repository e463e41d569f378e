"""Pipe: what a Connection of multiprocessing does, and who is at the other end."""

from __future__ import annotations

import array
import multiprocessing
import multiprocessing.connection
import os
import pickle
import select
import signal
import sys
from collections import deque
from multiprocessing import resource_sharer
from typing import Any

import numpy as np
import pytest

import procession
from procession._channels.pipe import MAX_BYTES, Connection
from procession._memory.domain import domains
from tests.helpers import METHODS, child, kill, send, thread, unmade, until

core = pytest.mark.core
method = pytest.mark.parametrize("method", METHODS)

Ends = tuple[Connection, Connection]


@pytest.fixture
def ends() -> Ends:
    return procession.Pipe(name="orders")


def waits(connection: Connection, count: int = 1) -> None:
    """Wait until so many sleep at either end."""
    until(lambda: connection.statistics().waiting == count)


def echo(connection: Connection) -> None:
    """Send back what comes, until the end."""
    while True:
        try:
            connection.send(connection.recv())
        except EOFError:
            return


def serve(connection: Connection) -> None:
    """Say that it is there, and stay."""
    connection.send("ready")
    while True:
        signal.pause()


def stay(among: object = None, begun: procession.Event | None = None) -> None:
    if begun is not None:
        begun.set()
    while True:
        signal.pause()


# ---- objects and bytes


@pytest.mark.parametrize("obj", [None, 1, 1 << 70, 2.5, "text", b"bytes", [1, {2}], (1, ("a", None)), "x" * (1 << 20)])
def test_object_comes_as_it_was_sent(ends: Ends, obj: object) -> None:
    ends[0].send(obj)
    assert ends[1].recv() == obj


def test_both_directions_are_apart(ends: Ends) -> None:
    ends[0].send("there")
    ends[1].send("back")
    assert (ends[0].recv(), ends[1].recv()) == ("back", "there")


def test_messages_come_in_their_order(ends: Ends) -> None:
    for number in range(1000):
        ends[0].send(number)
    assert [ends[1].recv() for _ in range(1000)] == list(range(1000))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 1000, 16_000, 17_000, 5 << 20])
def test_bytes_come_as_they_were_sent(ends: Ends, length: int) -> None:
    message = os.urandom(length)
    assert ends[0].send_bytes(message) is None  # type: ignore[func-returns-value]
    assert ends[1].recv_bytes() == message


@pytest.mark.parametrize("obj", [None, 1, "text", b"bytes", {4}, [b"x" * 100_000], deque([1])])
def test_bytes_of_a_sent_object_are_its_pickle(ends: Ends, obj: object) -> None:
    ends[0].send(obj)
    assert pickle.loads(ends[1].recv_bytes()) == obj


def test_object_of_sent_bytes_is_what_they_unpickle_to(ends: Ends) -> None:
    ends[0].send_bytes(pickle.dumps({"a": [1]}))
    assert ends[1].recv() == {"a": [1]}


def test_array_travels_in_one_copy(ends: Ends) -> None:
    sent = np.arange(1 << 18)
    ends[0].send(sent)
    got = ends[1].recv()
    assert (got == sent).all()
    assert not got.flags.owndata


def test_shared_object_travels(ends: Ends) -> None:
    queue: procession.Queue[int] = procession.Queue(name="inside")
    ends[0].send(queue)
    ends[1].recv().put(7)
    assert queue.get() == 7


def test_pickle_of_a_shared_object_is_refused(ends: Ends) -> None:
    ends[0].send(procession.Lock())
    with pytest.raises(procession.NotShared):
        ends[1].recv_bytes()
    ends[0].send("next")
    assert ends[1].recv() == "next"


def test_object_that_does_not_pickle_is_not_sent(ends: Ends) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        ends[0].send(lambda: None)
    assert ends[1].poll() is False


# ---- what the standard library checks


def test_part_of_a_buffer_is_sent(ends: Ends) -> None:
    ours, theirs = ends
    text = b"abcdefghijklmnopqrstuvwxyz"
    parts: list[tuple[Any, bytes]] = [
        ((), text),
        ((5,), text[5:]),
        ((7, 8), text[7:15]),
        ((26,), b""),
        ((26, 0), b""),
        ((3, None), text[3:]),
    ]
    for arguments, expected in parts:
        ours.send_bytes(text, *arguments)
        assert theirs.recv_bytes() == expected


@pytest.mark.parametrize("arguments", [(27,), (22, 5), (26, 1), (-1,), (4, -1)])
def test_part_outside_of_the_buffer_is_refused(ends: Ends, arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"offset|size"):
        ends[0].send_bytes(b"abcdefghijklmnopqrstuvwxyz", *arguments)
    assert ends[1].poll() is False


def test_str_is_no_buffer(ends: Ends) -> None:
    with pytest.raises(TypeError):
        ends[0].send_bytes("text")  # type: ignore[arg-type]


def test_typed_buffer_is_counted_in_bytes(ends: Ends) -> None:
    sent, got = array.array("i", range(4)), array.array("i", [0] * 10)
    ends[0].send_bytes(sent)
    assert ends[1].recv_bytes_into(got, 3 * got.itemsize) == 4 * got.itemsize
    assert list(got) == [0, 0, 0, 0, 1, 2, 3, 0, 0, 0]


def test_message_that_does_not_fit_is_in_the_exception(ends: Ends) -> None:
    buffer = bytearray(b" " * 4)
    ends[0].send_bytes(b"hello")
    with pytest.raises(multiprocessing.BufferTooShort) as caught:
        ends[1].recv_bytes_into(buffer)
    assert caught.value.args == (b"hello",)
    assert buffer == b"    "


@pytest.mark.parametrize(("offset", "text"), [(-1, "negative offset"), (11, "offset too large")])
def test_offset_outside_of_the_buffer_takes_nothing(ends: Ends, offset: int, text: str) -> None:
    ends[0].send_bytes(b"stays")
    with pytest.raises(ValueError, match=text):
        ends[1].recv_bytes_into(bytearray(10), offset)
    assert ends[1].recv_bytes() == b"stays"


def test_read_only_buffer_is_refused(ends: Ends) -> None:
    ends[0].send_bytes(b"stays")
    with pytest.raises((TypeError, BufferError)):
        ends[1].recv_bytes_into(b"constant")
    assert ends[1].recv_bytes() == b"stays"


def test_negative_maxlength_is_refused(ends: Ends) -> None:
    with pytest.raises(ValueError, match="negative maxlength"):
        ends[0].recv_bytes(-1)


def test_message_of_maxlength_is_taken(ends: Ends) -> None:
    ends[0].send_bytes(b"12345")
    assert ends[1].recv_bytes(5) == b"12345"


def test_after_a_longer_message_nothing_can_be_read(ends: Ends) -> None:
    ends[0].send_bytes(b"123456")
    with pytest.raises(OSError, match="bad message length"):
        ends[1].recv_bytes(5)
    assert (ends[1].readable, ends[1].writable, ends[1].closed) == (False, True, False)
    ends[1].send("still")
    assert ends[0].recv() == "still"


def test_after_a_longer_message_a_reader_is_closed() -> None:
    reader, writer = procession.Pipe(duplex=False)
    writer.send_bytes(b"123456")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(5)
    assert reader.closed


def test_one_way_pipe() -> None:
    reader, writer = procession.Pipe(duplex=False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    writer.send(1)
    assert reader.recv() == 1
    writes: list[Any] = [lambda: reader.send(2), lambda: reader.send_bytes(b"")]
    for call in writes:
        with pytest.raises(OSError, match="connection is read-only"):
            call()
    reads: list[Any] = [writer.recv, writer.poll, writer.recv_bytes, lambda: writer.recv_bytes_into(bytearray(1))]
    for call in reads:
        with pytest.raises(OSError, match="connection is write-only"):
            call()


def test_closed_connection_says_so(ends: Ends) -> None:
    ours = ends[0]
    ours.close()
    ours.close()
    assert ours.closed
    calls: list[Any] = [
        ours.recv,
        ours.poll,
        ours.recv_bytes,
        lambda: ours.send(1),
        lambda: ours.send_bytes(b""),
        lambda: ours.recv_bytes_into(bytearray(1)),
        ours.statistics,
        ours.__reduce__,
    ]
    for call in calls:
        with pytest.raises(OSError, match="handle is closed"):
            call()
    assert repr(ours) == "<Connection 'orders' closed>"


def test_with_closes_it(ends: Ends) -> None:
    with ends[0] as ours:
        assert ours is ends[0]
    assert ours.closed


def test_it_is_a_connection(ends: Ends) -> None:
    assert isinstance(ends[0], multiprocessing.connection.Connection)


def test_standard_connection_travels_still(ends: Ends) -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, writer:
        ends[0].send(writer)
        with ends[1].recv() as copy:
            copy.send("hello")
        assert reader.recv() == "hello"
    resource_sharer.stop()


def test_only_pipe_makes_connections() -> None:
    with pytest.raises(TypeError, match="made by Pipe"):
        Connection()


def test_unmade_connection_does_nothing(ends: Ends) -> None:
    with pytest.raises(RuntimeError, match="__init__"):
        unmade(ends[0]).recv()


def test_name_must_be_a_str() -> None:
    with pytest.raises(TypeError, match="name must be a str"):
        procession.Pipe(name=1)  # type: ignore[arg-type]


def test_repr_and_statistics_tell(ends: Ends) -> None:
    ends[0].send(1)
    ends[0].send(b"x" * 1000)
    assert repr(ends[1]) == "<Connection 'orders' 2 to receive, 0 not received yet>"
    now = ends[0].statistics()
    assert (now.name, now.incoming, now.outgoing, now.waiting, now.peer_ended) == ("orders", 0, 2, 0, False)
    assert now.outgoing_bytes > 1000
    ends[1].close()
    assert ends[0].statistics().peer_ended
    assert "the other end is over" in repr(ends[0])


# ---- polling and waiting


@core
@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_poll_finds_nothing(ends: Ends, timeout: float) -> None:
    assert ends[0].poll(timeout) is False


def test_poll_takes_nothing(ends: Ends) -> None:
    ends[0].send_bytes(b"")
    assert [ends[1].poll(), ends[1].poll(timeout=1), ends[1].poll(None)] == [True] * 3
    assert ends[1].recv_bytes() == b""


@core
def test_poll_waits_for_a_message(ends: Ends) -> None:
    with thread(ends[1].poll, None) as polled:
        waits(ends[0])
        ends[0].send(1)
        assert polled.result() is True


def test_poll_with_something_else_as_timeout(ends: Ends) -> None:
    with pytest.raises(TypeError, match="timeout must be seconds"):
        ends[0].poll("soon")  # type: ignore[arg-type]


@core
def test_recv_waits_for_a_message(ends: Ends) -> None:
    with thread(ends[1].recv) as got:
        waits(ends[0])
        ends[0].send("late")
        assert got.result() == "late"


@core
def test_send_waits_for_room(ends: Ends) -> None:
    half = bytes(MAX_BYTES // 2 - 100)
    ends[0].send_bytes(half)
    ends[0].send_bytes(half)
    with thread(ends[0].send_bytes, half) as sent:
        waits(ends[0])
        assert ends[1].recv_bytes() == half
        assert sent.result() is None
    assert ends[1].statistics().incoming == 2


def test_larger_message_than_the_bound_travels_alone(ends: Ends) -> None:
    ends[0].send_bytes(bytes(3 * MAX_BYTES))
    assert len(ends[1].recv_bytes()) == 3 * MAX_BYTES


LARGE = 16 * 1024 * 1024 + 1  # more than any pipe or socket of the kernel takes


@method
def test_sender_of_a_large_message_ends_before_it_is_received(ends: Ends, method: str) -> None:
    sender: Any = procession.get_context(method).Process(target=send_large, args=(ends[1],))
    sender.start()
    sender.join()
    assert sender.exitcode == 0
    sender.close()
    assert ends[0].recv_bytes() == b"x" * LARGE


def send_large(connection: Connection) -> None:
    connection.send_bytes(b"x" * LARGE)


@core
def test_close_calls_back_who_waits(ends: Ends) -> None:
    with thread(ends[0].recv) as got:
        waits(ends[0])
        ends[0].close()
        with pytest.raises(OSError, match="handle is closed"):
            got.result()
    with pytest.raises(EOFError):
        ends[1].recv()


def test_signal_handler_runs_while_recv_waits(ends: Ends) -> None:
    def handler(*_: object) -> None:
        raise InterruptedError("called")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with child(signals_its_parent, ends[1], os.getpid()):
            with pytest.raises(InterruptedError, match="called"):
                ends[0].recv()
            ends[0].send("done")
    finally:
        signal.signal(signal.SIGUSR1, before)


def signals_its_parent(connection: Connection, parent: int) -> None:
    waits(connection)
    os.kill(parent, signal.SIGUSR1)
    assert connection.recv() == "done"


def test_send_and_recv_go_on_after_a_signal_handler(ends: Ends) -> None:
    called = procession.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: called.set())
    try:
        with child(interrupts, ends[1], called, os.getpid()):
            assert ends[0].recv() == "late"
            called.clear()
            for _ in range(3):
                ends[0].send_bytes(bytes(MAX_BYTES // 2 - 100))
    finally:
        signal.signal(signal.SIGUSR1, before)


def interrupts(connection: Connection, called: procession.Event, parent: int) -> None:
    """Let the parent's handler run while it waits in recv(), and then in its third send()."""
    interrupt(connection, called, parent)
    connection.send("late")
    until(lambda: not called.is_set())
    interrupt(connection, called, parent)
    for _ in range(3):
        assert len(connection.recv_bytes()) == MAX_BYTES // 2 - 100


def interrupt(connection: Connection, called: procession.Event, parent: int) -> None:
    waits(connection)
    os.kill(parent, signal.SIGUSR1)
    assert called.wait()
    waits(connection)


# ---- the other end is over


@core
def test_what_was_sent_before_the_end_comes_first(ends: Ends) -> None:
    ours, theirs = ends
    theirs.send(1)
    theirs.send(2)
    theirs.close()
    assert [ours.recv(), ours.recv()] == [1, 2]
    assert ours.poll() is True
    with pytest.raises(EOFError, match="'orders'"):
        ours.recv()
    with pytest.raises(EOFError):
        ours.recv_bytes()


def test_send_to_nobody_is_a_broken_pipe(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(BrokenPipeError, match="'orders'") as caught:
        ends[0].send(1)
    assert caught.value.errno == 32
    with pytest.raises(BrokenPipeError):
        ends[0].send_bytes(b"1")


def test_forgotten_connection_is_a_closed_one(ends: Ends) -> None:
    ours, theirs = procession.Pipe()
    del theirs
    with pytest.raises(EOFError):
        ours.recv()


@core
def test_close_of_the_other_end_wakes_the_receiver(ends: Ends) -> None:
    with thread(ends[0].recv) as got:
        waits(ends[0])
        ends[1].close()
        with pytest.raises(EOFError):
            got.result()


@core
def test_close_of_the_other_end_wakes_the_sender(ends: Ends) -> None:
    half = bytes(MAX_BYTES // 2 - 100)
    ends[0].send_bytes(half)
    ends[0].send_bytes(half)
    with thread(ends[0].send_bytes, half) as sent:
        waits(ends[0])
        ends[1].close()
        with pytest.raises(BrokenPipeError):
            sent.result()


@core
@method
def test_killed_peer_is_the_end_at_once_though_a_sibling_inherited(ends: Ends, method: str) -> None:
    ours, theirs = ends
    with child(serve, theirs, method=method) as peer, child(stay) as heir:
        theirs.close()
        assert ours.recv() == "ready"
        with thread(ours.recv) as got:
            waits(ours)
            kill(peer)
            with pytest.raises(EOFError):
                got.result()
        with pytest.raises(BrokenPipeError):
            ours.send(1)
        kill(heir)


@method
def test_killed_peer_of_ours_is_the_end_at_once(ends: Ends, method: str) -> None:
    ours, theirs = ends
    peer = procession.Process(target=serve, args=(theirs,), start_method=method)
    peer.start()
    with child(stay) as heir:
        assert ours.recv() == "ready"
        theirs.close()
        peer.kill()
        with pytest.raises(EOFError):
            ours.recv()
        peer.join()
        kill(heir)


def test_peer_that_dies_before_it_did_anything_is_the_end(ends: Ends) -> None:
    ours, theirs = ends
    peer = procession.Process(target=stay, kwargs={"among": [theirs]}, start_method="fork")
    with child(stay) as heir:
        peer.start()
        theirs.close()
        kill(peer)
        with pytest.raises(EOFError):
            ours.recv()
        kill(heir)


def test_peer_of_the_standard_library_that_used_nothing_is_the_end(ends: Ends) -> None:
    ours, theirs = ends
    begun = procession.Event()
    with child(stay) as heir, child(stay, {"among": theirs}, begun) as peer:
        theirs.close()
        begun.wait()
        kill(peer)
        with pytest.raises(EOFError):
            ours.recv()
        kill(heir)


def test_messages_of_a_killed_sender_come_before_the_end(ends: Ends) -> None:
    ours, theirs = ends
    with child(sends_and_stays, theirs, 100) as peer:
        theirs.close()
        until(lambda: ours.statistics().incoming == 100)
        kill(peer)
        assert [ours.recv() for _ in range(100)] == list(range(100))
        with pytest.raises(EOFError):
            ours.recv()


def sends_and_stays(connection: Connection, count: int) -> None:
    for number in range(count):
        connection.send(number)
    stay()


def close_and_read(mine: Connection, not_mine: Connection, answers: Any) -> None:
    not_mine.close()
    try:
        answers.put("over" if mine.poll(0) else "waits")
        answers.put(mine.recv())
    except EOFError:
        answers.put("end of file")


@pytest.mark.parametrize("ours", [True, False])
@method
def test_end_that_a_child_was_given_and_closed_unused_is_still_the_parents(method: str, ours: bool) -> None:
    """What a careful child does, dask's workers too: it closes the end that its parent keeps."""
    reader, writer = procession.Pipe(duplex=False)
    answers = procession.Queue[str]()
    library: Any = procession if ours else multiprocessing
    process = library.get_context(method).Process(target=close_and_read, args=(reader, writer, answers))
    process.start()
    first = answers.get()
    if first == "waits":
        writer.send("from the parent")
    assert (first, answers.get()) == ("waits", "from the parent")
    process.join()
    process.close()


class Writers:
    """Has both ends, among other things, as programs have them."""

    def __init__(self) -> None:
        self.reader, self.writer = procession.Pipe(duplex=False)
        self.lanes = [{"writer": self.writer}]

    def send(self, gate: Any, number: int) -> None:
        gate.wait()
        self.lanes[0]["writer"].send(number)


@pytest.mark.parametrize("ours_too", [True, False])
def test_ends_in_attributes_are_given_to_a_forked_child(ours_too: bool) -> None:
    writers = Writers()
    gates = [procession.Event() for _ in range(2)]
    children = [process(ours_too, "fork", writers.send, gate, number) for number, gate in enumerate(gates)]
    for one in children:
        one.start()
    writers.writer.close()
    for number, (one, gate) in enumerate(zip(children, gates, strict=True)):
        gate.set()
        one.join()
        assert writers.reader.recv() == number  # the other one has not written yet
        one.close()
    with pytest.raises(EOFError):
        writers.reader.recv()


def read_beside_the_other(mine: Connection, _: Connection, answers: Any) -> None:
    answers.put("reads")
    answers.put(mine.recv())
    stay()


@method
def test_killed_reader_that_had_both_ends_does_not_end_its_parents(method: str) -> None:
    reader, writer = procession.Pipe(duplex=False)
    answers = procession.Queue[str]()
    readers = [process(True, method, read_beside_the_other, reader, writer, answers) for _ in range(2)]
    for one in readers:
        one.start()
    assert [answers.get() for _ in readers] == ["reads", "reads"]
    kill(readers[0])
    writer.send("from the parent")
    assert answers.get() == "from the parent"
    kill(readers[1])
    for one in readers:
        one.close()


@method
@pytest.mark.parametrize("ours_too", [True, False])
def test_replacement_brings_the_end_to_life(ends: Ends, method: str, ours_too: bool) -> None:
    ours, theirs = ends
    for _ in range(3):
        worker = process(ours_too, method, serve, theirs)
        worker.start()
        assert ours.recv() == "ready"
        ours.send("for whoever comes")
        kill(worker)
        with pytest.raises(EOFError):
            ours.recv()
        with pytest.raises(BrokenPipeError):
            ours.send("for nobody")
    assert [theirs.recv() for _ in range(3)] == ["for whoever comes"] * 3


def write(connection: Connection, number: int, code: int = 0) -> None:
    """Send it, and end without closing."""
    connection.send(number)
    sys.exit(code)


@method
@pytest.mark.parametrize("ours_too", [True, False])
def test_writers_one_after_the_other(method: str, ours_too: bool) -> None:
    """Who made the pipe keeps its ends until it closes them, as in the standard library."""
    reader, writer = procession.Pipe(duplex=False)
    with thread(received, reader) as got:
        for number in range(3):
            one = process(ours_too, method, write, writer, number)
            one.start()
            one.join()
            assert one.exitcode == 0
            one.close()
            domains.current().sweep()
            assert not writer.closed
        writer.close()
        assert got.result() == [0, 1, 2]


def received(connection: Connection) -> list[Any]:
    """All that comes, until the end."""
    messages = []
    while True:
        try:
            messages.append(connection.recv())
        except EOFError:
            return messages


@method
@pytest.mark.parametrize("ours_too", [True, False])
def test_last_writer_that_ends_badly_is_the_end_though_the_parent_keeps_it(method: str, ours_too: bool) -> None:
    reader, writer = procession.Pipe(duplex=False)
    one = process(ours_too, method, write, writer, 1, 1)
    one.start()
    assert received(reader) == [1]
    one.join()
    one.close()
    writer.send(2)  # and now the parent uses it
    assert reader.recv() == 2
    assert reader.poll(0) is False


@method
def test_killed_maker_keeps_nothing(method: str) -> None:
    """It made the pipe for others, and closed nothing."""
    ends: procession.Queue[Connection] = procession.Queue()
    with child(make_and_stay, ends, method=method) as maker:
        reader, writer = ends.get(), ends.get()
        with child(write, writer, 1):
            pass
        writer.close()
        assert reader.recv() == 1
        assert not reader.poll(0)
        kill(maker)
        with pytest.raises(EOFError):
            reader.recv()


def make_and_stay(ends: Any) -> None:
    made = procession.Pipe(duplex=False)
    for end in made:
        ends.put(end)
    stay(made)


def process(ours_too: bool, method: str, target: Any, *args: Any) -> Any:
    """A process of ours, or of the standard library."""
    if ours_too:
        return procession.Process(target=target, args=args, start_method=method)
    return multiprocessing.get_context(method).Process(target=target, args=args)  # type: ignore[attr-defined]


def test_inherited_end_that_is_used_is_one(ends: Ends) -> None:
    ours, theirs = ends

    def inherits() -> None:
        assert theirs.recv() == "go"
        theirs.send("went")

    with child(inherits):
        theirs.close()
        ours.send("go")
        assert ours.recv() == "went"
    with pytest.raises(EOFError):
        ours.recv()


def test_close_here_does_not_end_the_use_elsewhere(ends: Ends) -> None:
    ours, theirs = ends
    theirs.send("before")
    with child(echo, theirs):
        theirs.close()
        assert ours.recv() == "before"
        for number in range(10):
            ours.send(number)
            assert ours.recv() == number
        ours.close()


def test_two_of_one_end_in_a_process(ends: Ends) -> None:
    ours, theirs = ends
    carrier: procession.Queue[Connection] = procession.Queue()
    carrier.put(theirs)
    again = carrier.get()
    theirs.close()
    again.send("still")
    assert ours.recv() == "still"
    again.close()
    with pytest.raises(EOFError):
        ours.recv()


# ---- on its way


def test_end_in_a_queue_is_not_over(ends: Ends) -> None:
    ours, theirs = ends
    carrier: procession.Queue[Connection] = procession.Queue()
    theirs.send("from the first")
    carrier.put(theirs)
    theirs.close()
    assert ours.recv() == "from the first"
    assert ours.poll(0.01) is False
    carrier.get().send("from the second")
    assert ours.recv() == "from the second"
    with pytest.raises(EOFError):
        ours.recv()


def test_end_in_a_queue_that_goes_is_over(ends: Ends) -> None:
    ours, theirs = ends
    carrier: procession.Queue[Connection] = procession.Queue()
    carrier.put(theirs)
    theirs.close()
    assert ours.poll() is False
    del carrier
    with pytest.raises(EOFError):
        ours.recv()


@method
def test_end_sent_through_another_connection(ends: Ends, method: str) -> None:
    ours, theirs = ends
    with child(echo, theirs, method=method):
        theirs.close()
        reader, writer = procession.Pipe(duplex=False)
        ours.send(writer)
        writer.close()
        ours.recv().send("all is well")
        assert reader.recv() == "all is well"
        ours.close()


def test_pickled_elsewhere_it_is_refused(ends: Ends) -> None:
    with pytest.raises(procession.NotShared, match="orders"):
        pickle.dumps(ends[0])


@method
@pytest.mark.parametrize("ours", [True, False])
def test_argument_of_every_start(ends: Ends, method: str, ours: bool) -> None:
    if ours:
        process: Any = procession.Process(target=echo, args=(ends[1],), start_method=method)
    else:
        process = multiprocessing.get_context(method).Process(target=echo, args=(ends[1],))  # type: ignore[attr-defined]
    process.start()
    ends[1].close()
    ends[0].send({"a": b"x" * 100_000})
    assert ends[0].recv() == {"a": b"x" * 100_000}
    ends[0].close()
    process.join()
    assert process.exitcode == 0


# ---- many


def put_many(connection: Connection, who: int, count: int) -> None:
    for number in range(count):
        connection.send_bytes(bytes([who]) * (1 + number % 5000))


def test_senders_never_interleave() -> None:
    reader, writer = procession.Pipe(duplex=False)
    senders = [procession.Process(target=put_many, args=(writer, who, 300)) for who in range(4)]
    for sender in senders:
        sender.start()
    writer.close()
    counts = dict.fromkeys(range(4), 0)
    while True:
        try:
            message = reader.recv_bytes()
        except EOFError:
            break
        who = message[0]
        assert message == bytes([who]) * (1 + counts[who] % 5000)
        counts[who] += 1
    assert set(counts.values()) == {300}
    for sender in senders:
        sender.join()


def test_stopped_reader_of_the_same_end_hides_nothing(ends: Ends) -> None:
    """A stopped process that leads the wait delays the others by a slice at most."""
    ours, theirs = ends
    with child(takes_one, theirs) as stopped:
        waits(ours)
        send(stopped, signal.SIGSTOP)
        with thread(theirs.recv) as got:
            waits(ours, 2)
            ours.send(1)
            ours.send(2)
            assert got.result() in {1, 2}
        send(stopped, signal.SIGCONT)


def takes_one(connection: Connection) -> None:
    assert connection.recv() in {1, 2}


def test_authentication_of_the_standard_library_works(ends: Ends) -> None:
    connection: Any = multiprocessing.connection
    with thread(connection.deliver_challenge, ends[0], b"key") as delivered:
        connection.answer_challenge(ends[1], b"key")
        assert delivered.result() is None


# ---- descriptors, waiting for several


def test_descriptor_is_readable_while_something_is_there(ends: Ends) -> None:
    ours, theirs = ends
    assert select.select([ours], [], [], 0)[0] == []
    theirs.send(1)
    assert select.select([ours], [], [])[0] == [ours]
    assert ours.recv() == 1
    assert select.select([ours], [], [], 0)[0] == []
    theirs.close()
    assert select.select([ours], [], [])[0] == [ours]
    with pytest.raises(EOFError):
        ours.recv()
    ours.close()
    with pytest.raises(OSError, match="handle is closed"):
        ours.fileno()


@pytest.mark.parametrize("wait", [multiprocessing.connection.wait, procession.wait])
def test_wait_for_one_of_several(wait: Any) -> None:
    pipes = [procession.Pipe(duplex=False) for _ in range(3)]
    readers = [reader for reader, _ in pipes]
    assert wait(readers, 0) == []
    pipes[1][1].send("here")
    assert wait(readers) == [readers[1]]
    pipes[2][1].close()
    assert set(wait(readers, 5)) <= {readers[1], readers[2]}
    assert readers[1].recv() == "here"
    assert wait(readers, 5) == [readers[2]]
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("wait", [multiprocessing.connection.wait, procession.wait])
def test_wait_hears_of_a_killed_peer(ends: Ends, wait: Any) -> None:
    ours, theirs = ends
    with child(serve, theirs) as peer, child(stay) as heir:
        theirs.close()
        assert ours.recv() == "ready"
        with thread(wait, [ours]) as ready:
            kill(peer)
            assert ready.result() == [ours]
        kill(heir)
    ours.close()


def test_connection_with_a_descriptor_is_closed_for_the_other_end(ends: Ends) -> None:
    ours, theirs = ends
    assert isinstance(theirs.fileno(), int)
    theirs.close()
    with pytest.raises(EOFError):
        ours.recv()


def test_connection_with_a_descriptor_travels(ends: Ends) -> None:
    assert isinstance(ends[1].fileno(), int)
    carrier: procession.Queue[Connection] = procession.Queue()
    carrier.put(ends[1])
    ends[1].close()
    with carrier.get() as again:
        again.send("here")
        assert ends[0].recv() == "here"


def test_write_only_descriptor_tells_of_the_end() -> None:
    reader, writer = procession.Pipe(duplex=False)
    assert select.select([writer], [], [], 0)[0] == []
    reader.close()
    assert select.select([writer], [], [])[0] == [writer]
    writer.close()
