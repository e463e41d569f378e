"""Every function of the C module, called many times, leaves nothing behind: no block, no byte, no descriptor.

The list is checked for completeness: who adds a function to C adds a call here. Calls that fail are on it too, since an
error's way out is where references are forgotten.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import inspect
import os
import pickle
import socket
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import BufferTooShort
from typing import Any

import numpy as np
import pytest

from procession import _core
from procession._memory import serialize  # noqa: F401 - gives the core its pickler

CALLS = 1000
# Some thousand calls, some of which give the CPU away: on a busy machine each waits for its turn.
pytestmark = pytest.mark.timeout(500)
ROUNDS = 3  # a leak grows in each of them, a cache in the first only
RAISED = (
    ValueError,
    TypeError,
    RuntimeError,
    OSError,
    EOFError,
    BufferTooShort,
    MemoryError,
    AssertionError,
    OverflowError,
    LookupError,
    AttributeError,
)


class Unpicklable:
    """Raises when it is to be put."""

    def __reduce__(self) -> Any:
        raise ValueError("not to be pickled")


def explode() -> None:
    raise ValueError("not to be unpickled")


class Explosive:
    """Raises when it is taken."""

    def __reduce__(self) -> Any:
        return explode, ()


def array_over(buffer: Any) -> Any:
    return np.frombuffer(buffer)


class Mutex(_core.Mutex):
    """Takes note of nothing when it comes from a dead owner."""

    def _owner_died(self) -> None:
        pass


class Pipe:
    """Both ends of one, and what is done with them."""

    def __init__(self, domain: _core.Domain) -> None:
        self.ours, self.theirs = _core.Connection._pair(domain, "pipe", True, 1 << 20)
        self.reader, self.writer = _core.Connection._pair(domain, "one way", False, 1 << 20)
        self.lonely = _core.Connection._pair(domain, "lonely", True, 1 << 20)[0]

    def objects(self, items: Sequence[object]) -> None:
        for item in items:
            self.ours.send(item)
        assert [self.theirs.recv() for _ in items] == items

    def messages(self, items: Sequence[object]) -> None:
        buffer = bytearray(200_000)
        for item in (b"", b"x" * 100, b"x" * 100_000):
            self.ours.send_bytes(item)
            assert self.theirs.recv_bytes() == item
            self.ours.send_bytes(bytearray(item))
            assert self.theirs.recv_bytes_into(buffer) == len(item)
        for sent in items:
            self.ours.send(sent)
            assert pickle.loads(self.theirs.recv_bytes()) == sent
            self.ours.send_bytes(pickle.dumps(sent))
            assert self.theirs.recv() == sent

    def too_short(self) -> None:
        self.ours.send_bytes(b"x" * 100_000)
        self.theirs.recv_bytes_into(bytearray(1))

    def explosive(self) -> None:
        self.ours.send([np.zeros(1 << 16), Explosive()])
        self.theirs.recv()

    def too_long(self) -> None:
        domain = self.ours._domain
        for one, other in (
            _core.Connection._pair(domain, "two", True, 0),
            _core.Connection._pair(domain, "one", False, 0)[::-1],
        ):
            one.send_bytes(b"12")
            with contextlib.suppress(OSError):
                other.recv_bytes(1)

    def handed(self) -> None:
        self.ours._hand_at_fork(True)
        self.ours._hand_at_fork(False)

    def one_more(self) -> None:
        connections = _core.Connection._pair(self.ours._domain, "more", True, 0)
        connections[0].send(b"x" * 100_000)
        connections[0].close()
        connections[1].recv()
        connections[1].recv()


def pipe_calls() -> dict[str, Callable[[Bench], object]]:
    return {
        "Connection._pair": lambda bench: bench.pipe.one_more(),
        "Connection._pair wrong": lambda bench: _core.Connection._pair(bench.domain, "p", True, "many"),  # type: ignore[arg-type]
        "Connection._open": lambda bench: _core.Connection._attach(bench.domain, *bench.pipe.ours._handle),
        "Connection._open again": lambda bench: bench.pipe.ours._open(),
        "Connection.closed": lambda bench: bench.pipe.ours.closed,
        "Connection.readable": lambda bench: bench.pipe.ours.readable,
        "Connection.writable": lambda bench: bench.pipe.ours.writable,
        "Connection._label": lambda bench: bench.pipe.ours._label,
        "Connection._parts": lambda bench: bench.pipe.ours._parts,
        "Connection._rings": lambda bench: bench.pipe.reader._rings,
        "Connection.send": lambda bench: bench.pipe.objects(bench.items),
        "Connection.send unpicklable": lambda bench: bench.pipe.ours.send(Unpicklable()),
        "Connection.send too large": lambda bench: bench.pipe.ours.send(bytes(80 << 20)),
        "Connection.send to nobody": lambda bench: bench.pipe.lonely.send(b"x" * 100_000),
        "Connection.send read-only": lambda bench: bench.pipe.reader.send(1),
        "Connection.recv": lambda bench: bench.pipe.objects(bench.items),
        "Connection.recv explosive": lambda bench: bench.pipe.explosive(),
        "Connection.recv from nobody": lambda bench: bench.pipe.lonely.recv(),
        "Connection.recv write-only": lambda bench: bench.pipe.writer.recv(),
        "Connection.send_bytes": lambda bench: bench.pipe.messages(bench.items),
        "Connection.send_bytes wrong": lambda bench: bench.pipe.ours.send_bytes(b"x", 2),
        "Connection.send_bytes of what is none": lambda bench: bench.pipe.ours.send_bytes("x"),  # type: ignore[arg-type]
        "Connection.recv_bytes": lambda bench: bench.pipe.messages(bench.items),
        "Connection.recv_bytes wrong": lambda bench: bench.pipe.ours.recv_bytes(-1),
        "Connection.recv_bytes too long": lambda bench: bench.pipe.too_long(),
        "Connection.recv_bytes_into": lambda bench: bench.pipe.messages(bench.items),
        "Connection.recv_bytes_into too short": lambda bench: bench.pipe.too_short(),
        "Connection.recv_bytes_into wrong": lambda bench: bench.pipe.ours.recv_bytes_into(bytearray(1), 2),
        "Connection.poll": lambda bench: bench.pipe.ours.poll(0.0001),
        "Connection.poll wrong": lambda bench: bench.pipe.ours.poll("soon"),  # type: ignore[arg-type]
        "Connection.close": lambda bench: bench.pipe.one_more(),
        "Connection._hold_for": lambda bench: bench.hold(bench.pipe.ours),
        "Connection._hold_for wrong": lambda bench: bench.pipe.ours._hold_for(1 << 20),
        "Connection._hand_at_fork": lambda bench: bench.pipe.handed(),
        "Connection._look": lambda bench: bench.pipe.ours._look(),
    }


class Condition(_core.Condition):
    """Has a place for its lock."""

    _lock: Any


class Guarded(_core.Guarded):
    """With an attribute of its object, and one that its object does not have."""

    copy = _core.GuardedAttribute("copy")
    value = _core.GuardedAttribute("value")


def set_guarded(bench: Bench) -> None:
    guarded = Guarded(types.SimpleNamespace(), bench.rlock)
    guarded.value = [1]
    del guarded.value


def sort(bench: Bench) -> None:
    for item in bench.items:
        bench.sorted._put(("key", item), item)
    for item in bench.arrays:
        bench.sorted._put((1 << 90, -0.5, b"a\0b", "ü"), item)
    while not bench.sorted.empty():
        bench.sorted.get(timeout=1)


def sort_explosive(bench: Bench) -> None:
    bench.sorted._put("\ud800", [bench.shared, Explosive()])
    bench.sorted.get()


def enter_guarded(bench: Bench) -> None:
    with bench.guarded:
        pass


def unlink(bench: Bench) -> None:
    buffer = _core.Buffer(bench.domain, 8, "another", shared=True)
    buffer._publish()
    assert _core.Buffer._unlink(bench.domain, *buffer._handle)


class Bench:
    """What the calls work on: one domain and one object of each type."""

    def __init__(self) -> None:
        self.domain = _core.Domain.create(max_bytes=64 << 20)
        self.ring = _core.Ring(self.domain, "ring", 0, 0)
        self.one = _core.Ring(self.domain, "one", 1, 0)
        self.one.put(0)
        self.shut = _core.Ring(self.domain, "shut", 0, 0)
        self.closed = _core.Ring(self.domain, "closed", 0, 0)
        self.closed._close()
        self.leased = _core.LeasedRing(self.domain, "leased", 0, 0)
        self.dead: _core.LeasedRing | None = None
        self.mutex = Mutex(self.domain, "mutex")
        self.rlock = _core.RLock(self.domain, "rlock")
        self.lock = _core.Lock(self.domain, "lock")
        self.event = _core.Event(self.domain, "event")
        self.condition = Condition(self.domain, "condition")
        self.condition._lock = self.rlock
        self.barrier = _core.Barrier(self.domain, 1, "barrier")
        self.semaphore = _core.Semaphore(self.domain, "semaphore", 2)
        self.bounded = _core.Semaphore(self.domain, "bounded", 0, bounded=True)
        self.buffer: Any = _core.Buffer(self.domain, 1 << 16, shared=True)  # its protocol has no name before 3.12
        self.dict: Any = _core.Dict(self.domain, "dict")
        self.dict["one"] = 1
        self.shared = array_over(self.buffer)
        self.named = _core.Buffer(self.domain, 8, "named", shared=True)
        self.named._publish()
        self.atomic = _core.Atomic(self.domain, "atomic", 1)
        self.sorted = _core.Priority(self.domain, "sorted", 0)
        self.full_one = _core.Priority(self.domain, "full", 1)
        self.full_one._put(1, "item")
        self.guarded = Guarded([1], self.rlock)
        self.large: Any = np.zeros(1 << 16, "u1")
        self.pipe = Pipe(self.domain)
        self.ended = self.child()
        self.locked = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this
        self.same_file = open(f"/proc/self/fd/{self.locked.fileno()}", "rb")  # noqa: SIM115
        self.items = [
            None,
            True,
            1,
            1 << 40,
            1 << 90,
            0.5,
            "text",
            b"bytes",
            (1, [2, {3: "x"}]),
            {4},
            b"x" * 100_000,
        ]

    @property
    def arrays(self) -> list[Any]:
        return [self.large, self.shared, self.shared[::2], ("id", self.large), [self.shared, self.large, self.large]]

    def arrays_there_and_back(self) -> None:
        for item in self.arrays:
            self.ring.put(item)
        self.ring.put_many(self.arrays)
        got = [self.ring.get() for _ in self.arrays]
        assert len(got) + len(self.ring.get_many(100)) == 10

    def arrays_leased(self) -> None:
        for item in self.arrays:
            self.leased.put(item)
        got = [self.leased.get() for _ in self.arrays]
        got[0][:] = 1  # a copy is made now
        for _ in self.arrays:
            self.leased.task_done()

    def array_that_fails(self) -> None:
        self.ring.put([self.large, self.shared, Explosive()])
        self.ring.get()

    def set_and_get(self) -> None:
        for item in [*self.items, *self.arrays]:
            self.dict["item"] = item
            self.dict["item", 1.0, None] = [item, self.ring]
            assert type(self.dict["item"]) is type(item)
            assert len(self.dict["item", True, None]) == 2
        assert self.dict.pop("item").size > 0
        del self.dict["item", 1, None]

    def set_and_pop_last(self) -> None:
        for item in [*self.items, *self.arrays]:
            self.dict[7.0] = [item, self.ring]
            self.dict.popitem()

    def set_and_clear(self) -> None:
        for i, item in enumerate([*self.items, *self.arrays]):
            self.dict[i] = item
        self.dict.clear()
        self.dict["one"] = 1

    def scan(self, what: int) -> None:
        for i, item in enumerate([*self.items, *self.arrays]):
            self.dict[i] = item
        keys: list[Any] = self.dict._scan(what, 0, 0, 0, 0)[0]
        assert len(keys) > 10
        self.dict._scan(what, 5, *self.dict._scan(what, 5, 0, 0, 0)[1:4])

    def scan_explosive(self) -> None:
        self.dict.clear()
        self.dict[0] = [self.shared, Explosive()]
        self.dict[1] = [self.ring, self.large]
        try:
            self.dict._scan(2, 0, 0, 0, 0)
        finally:
            self.dict.clear()

    def there_and_back(self) -> None:
        for item in self.items:
            self.ring.put(item)
        assert [self.ring.get() for _ in self.items] == self.items

    def many_there_and_back(self) -> None:
        self.ring.put_many(self.items)
        got: list[object] = []
        while len(got) < len(self.items):
            got += self.ring.get_many(100)
        assert got == self.items

    def lease_and_done(self) -> None:
        for item in self.items:
            self.leased.put(item)
        got = [self.leased._get_item()[0] for _ in self.items]
        assert got == self.items
        assert self.leased.join(0) is False
        for _ in self.items:
            self.leased.task_done()
        assert self.leased.join()

    def letters(self) -> _core.LeasedRing:
        """A queue with two dead letters, one of which does not unpickle."""
        if self.dead is None:
            self.dead = _core.LeasedRing(self.domain, "letters", 0, 0, 1)
            self.dead.put([self.ring, b"x" * 100_000])
            self.dead.put(Explosive())
            pid = os.fork()
            if pid == 0:
                for _ in range(2):
                    with contextlib.suppress(ValueError):
                        self.dead.get()
                os._exit(1)
            os.waitpid(pid, 0)
            self.domain.sweep()
        return self.dead

    def slot(self, *steps: str) -> None:
        index, generation = self.domain.reserve_slot("child", 0)
        for step in steps:
            getattr(self.domain, step)(index, generation)
        self.domain.release_slot(index, generation)

    def child(self) -> _core.Child:
        index, generation = self.domain.reserve_slot("child", 0)
        child = _core.Child(self.domain, index, generation, os.posix_spawn("/bin/true", ["true"], {}), 1)
        assert child.wait()
        return child

    def ask(self, descriptors: tuple[int, ...] = (0, 1)) -> None:
        """A template that is dead and has read nothing."""
        index, generation = self.domain.reserve_slot("child", 0)
        mine, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
        mine.setblocking(False)
        try:
            answer = _core.ask_template(
                self, self.domain, index, generation, self.ended, mine.fileno(), b"question", descriptors, 1.0
            )
            assert answer is None
        finally:
            mine.close()
            other.close()
            self.domain.release_slot(index, generation)

    def attach_domain(self) -> None:
        other = _core.Domain.attach(os.dup(self.domain.fd))
        index, generation = other.slot, other.generation
        del other
        self.domain.release_slot(index, generation)

    def visit_domain(self) -> None:
        other = _core.Domain.attach(os.dup(self.domain.fd), visitor=True)
        assert other.visitor  # and its line goes with it

    def bell(self, *steps: str, edge: bool = False) -> None:
        bell = _core.Bell(((self.ring, 1), (self.lock, 1)), edge)
        bell.arm(True)
        for step in steps:
            getattr(bell, step)()

    def hold(self, shared: _core.Shared) -> None:
        index, generation = self.domain.reserve_slot("child", 0)
        shared._hold_for(index)
        self.domain.release_slot(index, generation)


def lock_calls(name: str) -> dict[str, Callable[[Bench], object]]:
    def lock(bench: Bench) -> Any:
        return getattr(bench, name.lower())

    def take_and_give(bench: Bench) -> None:
        assert lock(bench).acquire(timeout=1)
        lock(bench).release()

    def enter_and_exit(bench: Bench) -> None:
        with lock(bench):
            pass

    return {
        f"{name}.__init__": lambda bench: getattr(_core, name)(bench.domain, "another"),
        f"{name}.acquire": take_and_give,
        f"{name}.acquire wrong": lambda bench: lock(bench).acquire(True, "soon"),
        f"{name}.acquire unknown": lambda bench: lock(bench).acquire(hurry=True),
        f"{name}.release": take_and_give,
        f"{name}.release unowned": lambda bench: lock(bench).release(),
        f"{name}.__enter__": enter_and_exit,
        f"{name}.__exit__": enter_and_exit,
        f"{name}.locked": lambda bench: lock(bench).locked(),
        f"{name}._look": lambda bench: lock(bench)._look(),
    }


def in_condition(call: Callable[[Any], object]) -> Callable[[Bench], object]:
    def inside(bench: Bench) -> None:
        with bench.condition:
            call(bench.condition)

    return inside


def acquire_and_release(lock: Any) -> None:
    lock.acquire()
    lock.release()


def new_condition(bench: Bench) -> None:
    condition = Condition(bench.domain, "another")
    condition._lock = bench.lock
    with condition:
        condition.wait(0)


def lockless_condition(bench: Bench) -> None:
    condition = Condition(bench.domain)
    condition._lock = 3
    condition.acquire()


def use_barrier(bench: Bench) -> None:
    assert bench.barrier._wait(None, list) == 0
    bench.barrier.abort()
    assert bench.barrier._look()[2]
    try:
        bench.barrier._wait(None, None)
    except threading.BrokenBarrierError:
        bench.barrier.reset()


def time_out_at_barrier(bench: Bench) -> None:
    with contextlib.suppress(threading.BrokenBarrierError):
        _core.Barrier(bench.domain, 2)._wait(0, None)


def semaphore_calls() -> dict[str, Callable[[Bench], object]]:
    def take_and_give(bench: Bench) -> None:
        assert bench.semaphore.acquire(timeout=1)
        bench.semaphore.release()

    def enter_and_exit(bench: Bench) -> None:
        with bench.semaphore:
            bench.semaphore._look()

    return {
        "Semaphore.__init__": lambda bench: _core.Semaphore(bench.domain, "another", 3, True, True),
        "Semaphore.__init__ wrong": lambda bench: _core.Semaphore(bench.domain, "another", -1),
        "Semaphore.acquire": take_and_give,
        "Semaphore.acquire wrong": lambda bench: bench.semaphore.acquire(True, "soon"),
        "Semaphore.acquire in vain": lambda bench: bench.bounded.acquire(timeout=0),
        "Semaphore.release": take_and_give,
        "Semaphore.release too often": lambda bench: bench.bounded.release(),
        "Semaphore.__enter__": enter_and_exit,
        "Semaphore.__exit__": enter_and_exit,
        "Semaphore.get_value": lambda bench: bench.semaphore.get_value(),
        "Semaphore._look": lambda bench: bench.semaphore._look(),
    }


def attribute(name: str) -> Callable[[Bench], object]:
    return lambda bench: getattr(bench.domain, name)


def pause_and_resume() -> None:
    _core.pause_janitor()
    _core.resume_janitor()


def put_nowait(bench: Bench) -> None:
    bench.ring.put_nowait(1)
    bench.ring.get()


def get_nowait(bench: Bench) -> None:
    bench.ring.put(2)
    bench.ring.get_nowait()


# From 3.12 on the buffer protocol has names in Python.
BUFFER_PROTOCOL: dict[str, Callable[[Bench], object]] = (
    {
        "Buffer.__buffer__": lambda bench: bytes(memoryview(bench.buffer)[5:9]),
    }
    if sys.version_info >= (3, 12)
    else {}
)

# "Type.name", and behind it in words the way of calling if there are several.
TABLE: dict[str, Callable[[Bench], object]] = {
    "features": lambda _: _core.features(),
    "_use_serializer": lambda _: _core._use_serializer(1),  # type: ignore[call-arg, arg-type]
    "Domain.create": lambda _: _core.Domain.create(size=1 << 28, max_bytes=1 << 24),
    "Domain.create wrong": lambda _: _core.Domain.create(size="big"),  # type: ignore[arg-type]
    "Domain.attach": Bench.attach_domain,
    "Domain.attach wrong": lambda _: _core.Domain.attach(-1),
    "Domain.identify": lambda bench: _core.Domain.identify(bench.domain.fd),
    "Domain.identify no domain": lambda _: _core.Domain.identify(0),
    "Domain.identify wrong": lambda _: _core.Domain.identify(-1),
    "Domain.named": lambda bench: bench.domain.named(),
    "Domain.attach visitor": Bench.visit_domain,
    "Domain.watch": lambda bench: _core.Domain.watch(os.dup(bench.domain.fd)),
    "Domain.reserve_slot": Bench.slot,
    "Domain.reserve_slot wrong": lambda bench: bench.domain.reserve_slot(1),  # type: ignore[arg-type]
    "Domain.release_slot": Bench.slot,
    "Domain.release_slot wrong": lambda bench: bench.domain.release_slot(1 << 20, 0),
    "Domain.slots": lambda bench: bench.domain.slots(),
    "Domain.waits": lambda bench: bench.domain.waits(),
    "Domain.sweep": lambda bench: bench.domain.sweep(),
    "Domain.set_report": lambda bench: bench.domain.set_report(b"words" * 1000),
    "Domain.set_report wrong": lambda bench: bench.domain.set_report("words"),  # type: ignore[arg-type]
    "Domain.judge": lambda bench: bench.domain.judge(True),
    "Domain.leave": lambda bench: bench.domain.leave(),
    "Domain.slot_flags": lambda bench: bench.domain.slot_flags(bench.domain.slot, bench.domain.generation),
    "Domain.slot_flags other": lambda bench: bench.domain.slot_flags(bench.domain.slot, 77),
    "Domain.mark_orphan": lambda bench: bench.domain.mark_orphan(5, 77),
    "Domain.claim_guardian": lambda bench: bench.domain.claim_guardian(0),
    "Child.look of no slot": lambda bench: _core.Child(bench.domain, 1 << 20, 0, 1, 1),
    "Child.look of a new one": Bench.child,
    "Child.look": lambda bench: bench.ended.look(),
    "Child.wait": lambda bench: bench.ended.wait(0),
    "Child.wait wrong": lambda bench: bench.ended.wait("soon"),  # type: ignore[arg-type]
    "Child.signal": lambda bench: bench.ended.signal(0),
    "Child.result": lambda bench: bench.ended.result(),
    "Child.pid": lambda bench: bench.ended.pid,
    "Child.pidfd": lambda bench: bench.ended.pidfd,
    "pause_janitor": lambda _: pause_and_resume(),
    "other_threads": lambda _: _core.other_threads(),
    "thread_count": lambda _: _core.thread_count(),
    "dispositions": lambda _: _core.dispositions(),
    "ask_template dead": Bench.ask,
    "ask_template wrong": lambda bench: _core.ask_template(bench, bench.domain, 0, 0, bench.ended, 0, b"", (), 1.0),
    "ask_template wrong descriptors": lambda bench: Bench.ask(bench, ("one",)),  # type: ignore[arg-type]
    "resume_janitor": lambda _: _core.resume_janitor(),
    "arm_guardian wrong": lambda bench: _core.arm_guardian(bench.domain, ()),
    "Domain.guardian": lambda bench: bench.domain.guardian(),
    "Domain.objects": lambda bench: bench.domain.objects(),
    "Domain.used": lambda bench: bench.domain.used(),
    "Domain.cool": lambda bench: bench.domain.cool(0),
    "Domain.cool wrong": lambda bench: bench.domain.cool("all"),  # type: ignore[arg-type]
    **{
        f"Domain.{name}": attribute(name)
        for name in ("fd", "uuid", "size", "max_bytes", "slot", "generation", "visitor")
    },
    "Shared._attach": lambda bench: _core.Ring._attach(bench.domain, *bench.ring._handle),
    "Shared._attach other kind": lambda bench: _core.Lock._attach(bench.domain, *bench.ring._handle),
    "Shared._attach stale": lambda bench: _core.Ring._attach(bench.domain, bench.ring._handle[0], 1 << 30),
    "Shared._mate": lambda bench: (bench.buffer._set_mate(bench.lock), bench.buffer._mate),
    "Shared._set_mate": lambda bench: bench.buffer._set_mate(bench.lock),
    "Shared._set_mate none": lambda bench: bench.buffer._set_mate(5),
    "Shared._be_part": lambda bench: bench.lock._be_part(),
    "Buffer._form": lambda bench: _core.Buffer(bench.domain, 5000, "name", True, form="('shared_array',)")._form,
    "Shared._hold_for": lambda bench: bench.hold(bench.ring),
    "Shared._hold_for wrong": lambda bench: bench.ring._hold_for(1 << 20),
    "Shared._label": lambda bench: bench.ring._label,
    "Shared._parts": lambda bench: bench.ring._parts,
    "Shared._handle": lambda bench: bench.ring._handle,
    "Shared._domain": lambda bench: bench.ring._domain,
    "Ring.__init__": lambda bench: _core.Ring(bench.domain, "another", 10, 1 << 20),
    "Ring.__init__ wrong": lambda bench: _core.Ring(bench.domain, "another", "many", 0),  # type: ignore[arg-type]
    "Ring.__init__ twice": lambda bench: bench.ring.__init__(bench.domain, "ring", 0, 0),  # type: ignore[misc]
    "Ring.put": Bench.there_and_back,
    "Ring.put unpicklable": lambda bench: bench.ring.put(Unpicklable()),
    "Ring.put full": lambda bench: bench.one.put(1, timeout=0),
    "Ring.put too large": lambda bench: bench.ring.put(bytes(80 << 20)),
    "Ring.put closed": lambda bench: bench.closed.put(1),
    "Ring.get": Bench.there_and_back,
    "Ring.get empty": lambda bench: bench.ring.get(timeout=0),
    "Ring.get wrong": lambda bench: bench.ring.get(True, "soon"),  # type: ignore[arg-type]
    "Ring.put_nowait": put_nowait,
    "Ring.put_nowait full": lambda bench: bench.one.put_nowait([1]),
    "Ring.get_nowait": get_nowait,
    "Ring.get_nowait empty": lambda bench: bench.ring.get_nowait(),
    "Ring.put_many": Bench.many_there_and_back,
    "Ring.put_many unpicklable": lambda bench: bench.ring.put_many([*bench.items, Unpicklable()]),
    "Ring.put_many wrong": lambda bench: bench.ring.put_many(1),  # type: ignore[arg-type]
    "Ring.put_many full": lambda bench: bench.one.put_many([1, "x" * 50_000], timeout=0),
    "Ring.get_many": Bench.many_there_and_back,
    "Ring.get_many empty": lambda bench: bench.ring.get_many(9, timeout=0),
    "Ring.get_many wrong": lambda bench: bench.ring.get_many(0),
    "Ring.qsize": lambda bench: bench.ring.qsize(),
    "Ring.empty": lambda bench: bench.ring.empty(),
    "Ring.full": lambda bench: bench.ring.full(),
    "Ring._close": lambda bench: bench.closed._close(),
    "Ring._shut": lambda bench: bench.shut._shut(False),
    "Ring._shut put": lambda bench: bench.shut.put(1),
    "Ring._open": lambda bench: bench.ring._open(),
    "Ring._look": lambda bench: bench.ring._look(),
    "Ring.put arrays": Bench.arrays_there_and_back,
    "Ring.put arrays full": lambda bench: bench.one.put(bench.large, timeout=0),
    "Ring.put arrays full beside": lambda bench: bench.one.put([bench.large, bench.shared], timeout=0),
    "Ring.put arrays too large": lambda bench: bench.ring.put([np.zeros(80 << 20, "u1")]),
    "Ring.put arrays beside one that does not pickle": lambda bench: bench.ring.put([bench.large, Unpicklable()]),
    "Ring.get arrays that do not unpickle": Bench.array_that_fails,
    "Buffer.__init__": lambda bench: _core.Buffer(bench.domain, 5000, "name", shared=True),
    "Buffer.__init__ wrong": lambda bench: _core.Buffer(bench.domain, -1),
    "Buffer.__init__ too large": lambda bench: _core.Buffer(bench.domain, 1 << 40, shared=True),
    "Buffer.__init__ twice": lambda bench: bench.buffer.__init__(bench.domain, 1),
    "Shared._attach buffer": lambda bench: _core.Buffer._attach(bench.domain, *bench.buffer._handle),
    "Buffer.nbytes": lambda bench: bench.buffer.nbytes,
    "Buffer.readonly": lambda bench: bench.buffer.readonly,
    "Buffer.__init__ and a view": lambda bench: bytes(bench.buffer)[:3],
    **BUFFER_PROTOCOL,
    "Buffer._publish": unlink,
    "Buffer._publish twice": lambda bench: _core.Buffer(bench.domain, 8, "named")._publish(),
    "Buffer._clear": lambda bench: bench.buffer._clear(),
    "Buffer._find": lambda bench: _core.Buffer._find(bench.domain, "named"),
    "Buffer._find none": lambda bench: _core.Buffer._find(bench.domain, "nobody"),
    "Buffer._find wrong": lambda _: _core.Buffer._find(1, "nobody"),  # type: ignore[arg-type]
    "Buffer._unlink": unlink,
    "Buffer._unlink stale": lambda bench: _core.Buffer._unlink(bench.domain, bench.named._handle[0], 1 << 30),
    "Buffer._unlink wrong": lambda _: _core.Buffer._unlink(1, 2, 3),  # type: ignore[arg-type]
    "Buffer._seal": lambda bench: _core.Buffer(bench.domain, 8)._seal(),
    "teach_arrays": lambda _: _core.teach_arrays(),
    "Atomic.__init__": lambda bench: _core.Atomic(bench.domain, "another", 1 << 62),
    "Atomic.__init__ wrong": lambda bench: _core.Atomic(bench.domain, "another", 1 << 63),
    "Atomic.load": lambda bench: bench.atomic.load(),
    "Atomic.store": lambda bench: bench.atomic.store(1 << 40),
    "Atomic.store wrong": lambda bench: bench.atomic.store("many"),  # type: ignore[arg-type]
    "Atomic.add": lambda bench: bench.atomic.add(7),
    "Atomic.add too much": lambda bench: [bench.atomic.add((1 << 63) - 1) for _ in range(2)],
    "Atomic.exchange": lambda bench: bench.atomic.exchange(1 << 50),
    "Atomic.compare_exchange": lambda bench: bench.atomic.compare_exchange(1, 1 << 50),
    "Atomic.compare_exchange wrong": lambda bench: bench.atomic.compare_exchange(1, 1 << 90),
    "Atomic.value": lambda bench: bench.atomic.value,
    "Priority.__init__": lambda bench: _core.Priority(bench.domain, "another", 10),
    "Priority.__init__ wrong": lambda bench: _core.Priority(bench.domain, "another", "many"),  # type: ignore[arg-type]
    "Priority._put": sort,
    "Priority._put no key": lambda bench: bench.sorted._put(({}, 1), 1),
    "Priority._put NaN": lambda bench: bench.sorted._put((1, float("nan")), 1),
    "Priority._put huge": lambda bench: bench.sorted._put((1, 1 << 40_000), 1),
    "Priority._put unpicklable": lambda bench: bench.sorted._put(1, Unpicklable()),
    "Priority._put full": lambda bench: bench.full_one._put(0, [bench.large, bench.shared], True, 0),
    "Priority._put wrong": lambda bench: bench.sorted._put(1),  # type: ignore[call-arg]
    "Priority.get": sort,
    "Priority.get explosive": sort_explosive,
    "Priority.get empty": lambda bench: bench.sorted.get(False),
    "Priority.get wrong": lambda bench: bench.sorted.get(True, "soon"),  # type: ignore[arg-type]
    "Priority.qsize": lambda bench: bench.full_one.qsize(),
    "Priority.empty": lambda bench: bench.full_one.empty(),
    "Priority.full": lambda bench: bench.full_one.full(),
    "Priority._close": lambda bench: _core.Priority(bench.domain)._close(),
    "Priority._shut": lambda bench: _core.Priority(bench.domain)._shut(True),
    "Priority._open": lambda bench: bench.sorted._open(),
    "Priority._look": lambda bench: bench.full_one._look(),
    "Guarded.__init__": lambda bench: Guarded([1, 2], bench.mutex),
    "Guarded.__init__ wrong": lambda _: Guarded([1], 2),
    "Guarded.__init__ twice": lambda bench: bench.guarded.__init__([1], bench.rlock),  # type: ignore[misc]
    "Guarded.acquire": lambda bench: bench.guarded.acquire,
    "Guarded.release": lambda bench: bench.guarded.release,
    "Guarded._obj": lambda bench: bench.guarded._obj,
    "Guarded._lock": lambda bench: bench.guarded._lock,
    "Guarded.get_obj": lambda bench: bench.guarded.get_obj(),
    "Guarded.get_lock": lambda bench: bench.guarded.get_lock(),
    "Guarded._get_item": lambda bench: bench.guarded._get_item(0),
    "Guarded._get_item missing": lambda bench: bench.guarded._get_item(1),
    "Guarded._set_item": lambda bench: bench.guarded._set_item(0, [1 << 80]),
    "Guarded._set_item missing": lambda bench: bench.guarded._set_item(1, [1 << 80]),
    "Guarded.__enter__": enter_guarded,
    "Guarded.__exit__": lambda bench: bench.guarded.__exit__(),
    "GuardedAttribute.__get__": lambda bench: bench.guarded.copy,
    "GuardedAttribute.__get__ missing": lambda bench: bench.guarded.value,
    "GuardedAttribute.__get__ wrong": lambda bench: _core.GuardedAttribute("copy").__get__(bench, Bench),
    "GuardedAttribute.__set__": set_guarded,
    "GuardedAttribute.__set__ missing": lambda bench: setattr(bench.guarded, "value", [1]),
    "GuardedAttribute.__delete__": set_guarded,
    "find_shared": lambda bench: _core.find_shared(bench.shared[3:]),
    "find_shared none": lambda bench: _core.find_shared(bench.large),
    "find_shared wrong": lambda _: _core.find_shared(1),
    "goes_beside": lambda bench: _core.goes_beside(pickle.PickleBuffer(bench.large)),
    "goes_beside wrong": lambda _: _core.goes_beside(1),  # type: ignore[arg-type]
    "_use_arrays": lambda _: _core._use_arrays(1),  # type: ignore[call-arg, arg-type]
    "LeasedRing.__init__": lambda bench: _core.LeasedRing(bench.domain, "another", 10, 1 << 20, 3),
    "LeasedRing.__init__ wrong": lambda bench: _core.LeasedRing(bench.domain, "another", 0, 0, "many"),  # type: ignore[arg-type]
    "LeasedRing.task_done": Bench.lease_and_done,
    "LeasedRing.task_done of arrays": Bench.arrays_leased,
    "LeasedRing.task_done too often": lambda bench: bench.leased.task_done(),
    "LeasedRing.join": Bench.lease_and_done,
    "LeasedRing.join wrong": lambda bench: bench.leased.join("soon"),  # type: ignore[arg-type]
    "LeasedRing._mark_join": lambda bench: bench.leased._mark_join(),
    "LeasedRing._get_item": Bench.lease_and_done,
    "LeasedRing._get_item empty": lambda bench: bench.leased._get_item(timeout=0),
    "LeasedRing._leases": lambda bench: bench.leased._leases(),
    "LeasedRing._leases of letters": lambda bench: bench.letters()._leases(),
    "LeasedRing._letter": lambda bench: bench.letters()._letter(0, False, True),
    "LeasedRing._letter undecoded": lambda bench: bench.letters()._letter(0, False, False),
    "LeasedRing._letter explosive": lambda bench: bench.letters()._letter(1, False, True),
    "LeasedRing._letter missing": lambda bench: bench.letters()._letter(2, True, True),
    "LeasedRing._letter wrong": lambda bench: bench.leased._letter("first", False, False),  # type: ignore[arg-type]
    "Dict.__init__": lambda bench: _core.Dict(bench.domain, "another"),
    "Dict.__init__ wrong": lambda bench: _core.Dict(bench.domain, 1),  # type: ignore[arg-type]
    "Dict.__init__ twice": lambda bench: bench.dict.__init__(bench.domain, "dict"),
    "Shared._attach dict": lambda bench: _core.Dict._attach(bench.domain, *bench.dict._handle),
    "Dict.__len__": lambda bench: len(bench.dict),
    "Dict.__getitem__": Bench.set_and_get,
    "Dict.__getitem__ missing": lambda bench: bench.dict["no", 1],
    "Dict.__getitem__ wrong": lambda bench: bench.dict[1, []],
    "Dict.__setitem__": Bench.set_and_get,
    "Dict.__setitem__ unpicklable": lambda bench: bench.dict.__setitem__(1, [bench.ring, Unpicklable()]),
    "Dict.__setitem__ too large": lambda bench: bench.dict.__setitem__(1, bytes(80 << 20)),
    "Dict.__delitem__": Bench.set_and_get,
    "Dict.__delitem__ missing": lambda bench: bench.dict.__delitem__("no"),
    "Dict.__contains__": lambda bench: ("one" in bench.dict, "no" in bench.dict),
    "Dict.__contains__ wrong": lambda bench: (1, []) in bench.dict,
    "Dict.get": lambda bench: (bench.dict.get("one"), bench.dict.get("no", bench)),
    "Dict.get wrong": lambda bench: bench.dict.get("one", other=1),
    "Dict.pop": Bench.set_and_get,
    "Dict.pop missing": lambda bench: (bench.dict.pop("no", bench), bench.dict.pop("no")),
    "Dict.popitem": Bench.set_and_pop_last,
    "Dict.popitem empty": lambda bench: _core.Dict(bench.domain, "empty").popitem(),
    "Dict.setdefault": lambda bench: (
        bench.dict.setdefault("one", bench.large),
        bench.dict.setdefault("two", bench.shared),
    ),
    "Dict.setdefault wrong": lambda bench: bench.dict.setdefault("three", Unpicklable()),
    "Dict.clear": Bench.set_and_clear,
    "Dict.add": lambda bench: (bench.dict.add("n", 1), bench.dict.add("x", 0.5), bench.dict.add("large", 1 << 70)),
    "Dict.add wrong": lambda bench: bench.dict.add("one", "1"),
    "Dict.add to what is no number": lambda bench: (
        bench.dict.setdefault("ring", bench.ring),
        bench.dict.add("ring", 1),
    ),
    "Dict.compare_and_set": lambda bench: (
        bench.dict.compare_and_set("no", 1, bench.ring),
        bench.dict.compare_and_set("one", 2, bench.ring),
        bench.dict.compare_and_set("one", 1, [bench.ring]),
        bench.dict.__setitem__("one", 1),
    ),
    "Dict.compare_and_set wrong": lambda bench: bench.dict.compare_and_set("one", 1, Unpicklable()),
    "Dict._scan keys": lambda bench: bench.scan(0),
    "Dict._scan values": lambda bench: bench.scan(1),
    "Dict._scan items": lambda bench: bench.scan(2),
    "Dict._scan wrong": lambda bench: bench.dict._scan(3, 0, 0, 0, 0),
    "Dict._scan explosive": Bench.scan_explosive,
    "Dict._look": lambda bench: bench.dict._look(),
    "Dict._open": lambda bench: bench.dict._open(),
    "lock_file": lambda bench: _core.lock_file(bench.locked),
    "lock_file in vain": lambda bench: _core.lock_file(bench.same_file, 0.001, bench.domain),
    "lock_file wrong": lambda _: _core.lock_file(-1),
    "lock_file wrong file": lambda _: _core.lock_file("a path"),  # type: ignore[arg-type]
    "lock_file wrong domain": lambda bench: _core.lock_file(bench.same_file, 0, bench),  # type: ignore[arg-type]
    "wait_any": lambda bench: _core.wait_any(((bench.ring, 1), (bench.lock, 1))),
    "wait_any in vain": lambda bench: _core.wait_any(((bench.ring, 1),), 0.0001),
    "wait_any wrong": lambda bench: _core.wait_any(((bench.ring, 1), (bench.buffer, 1))),
    "wait_any wrong pairs": lambda bench: _core.wait_any((bench.ring,)),  # type: ignore[arg-type]
    "Bell.arm": Bench.bell,
    "Bell.arm edge": lambda bench: bench.bell(edge=True),
    "Bell.arm of what has none": lambda bench: _core.Bell(((bench.ring, 1), (bench.buffer, 1))),
    "Bell.disarm": lambda bench: bench.bell("disarm", "arm"),
    "Bell.clear": lambda bench: bench.bell("clear"),
    "Bell.close": lambda bench: bench.bell("close"),
    "Bell.clear closed": lambda bench: bench.bell("close", "clear"),
    **lock_calls("Mutex"),
    "Mutex.owner_died": lambda bench: bench.mutex.owner_died,
    **lock_calls("RLock"),
    **lock_calls("Lock"),
    "Event.__init__": lambda bench: _core.Event(bench.domain, "another"),
    "Event.__init__ wrong": lambda bench: _core.Event(bench.domain, 1),  # type: ignore[arg-type]
    "Event.__init__ twice": lambda bench: bench.event.__init__(bench.domain),  # type: ignore[misc]
    "Event.set": lambda bench: bench.event.set(),
    "Event.clear": lambda bench: bench.event.clear(),
    "Event.is_set": lambda bench: bench.event.is_set(),
    "Event.wait": lambda bench: bench.event.wait(0),
    "Event.wait wrong": lambda bench: bench.event.wait("soon"),  # type: ignore[arg-type]
    "Event.wait unknown": lambda bench: bench.event.wait(seconds=1),  # type: ignore[call-arg]
    "Event._look": lambda bench: bench.event._look(),
    "Condition.__init__": new_condition,
    "Condition.__init__ wrong": lambda _: _core.Condition(1, "another"),  # type: ignore[arg-type]
    "Condition.acquire": in_condition(acquire_and_release),
    "Condition.acquire wrong": lambda bench: bench.condition.acquire(True, "soon"),  # type: ignore[arg-type]
    "Condition.acquire without a lock": lockless_condition,
    "Condition.release": in_condition(acquire_and_release),
    "Condition.release unowned": lambda bench: bench.condition.release(),
    "Condition.__enter__": in_condition(repr),
    "Condition.__exit__": in_condition(repr),
    "Condition.wait": in_condition(lambda condition: condition.wait(0)),
    "Condition.wait wrong": in_condition(lambda condition: condition.wait("soon")),
    "Condition.wait unowned": lambda bench: bench.condition.wait(),
    "Condition.notify": in_condition(lambda condition: condition.notify(2)),
    "Condition.notify wrong": in_condition(lambda condition: condition.notify("all")),
    "Condition.notify unowned": lambda bench: bench.condition.notify(),
    "Condition.notify_all": in_condition(lambda condition: condition.notify_all()),
    "Condition.notify_all unowned": lambda bench: bench.condition.notify_all(),
    "Condition._look": lambda bench: bench.condition._look(),
    "Barrier.__init__": lambda bench: _core.Barrier(bench.domain, 3, "another"),
    "Barrier.__init__ wrong": lambda bench: _core.Barrier(bench.domain, "three"),  # type: ignore[arg-type]
    "Barrier._wait": use_barrier,
    "Barrier._wait in vain": time_out_at_barrier,
    "Barrier._wait wrong": lambda bench: bench.barrier._wait("soon", None),  # type: ignore[arg-type]
    "Barrier._wait action that raises": lambda bench: _core.Barrier(bench.domain, 1)._wait(None, explode),
    "Barrier.abort": use_barrier,
    "Barrier.reset": use_barrier,
    "Barrier._look": use_barrier,
    **semaphore_calls(),
    **pipe_calls(),
}

# What cannot be called here a thousand times, and where it is exercised instead.
ELSEWHERE = {
    "fork_child": "makes a process: tests/lifecycle",
    "spawn_child": "makes a process: tests/lifecycle",
    "serve_template": "makes processes: tests/lifecycle/test_forkserver.py",
    "settle_threads": "makes a process: tests/lifecycle/test_preload.py",
    "die_with": "ties this process to its parent: every start of a child calls it",
    "mark_tree": "changes this process's environment: the same",
}


class Memory(ctypes.Structure):
    """glibc's struct mallinfo2."""

    names = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )
    _fields_ = [(name, ctypes.c_size_t) for name in names]


def allocated() -> int:
    """Return the bytes that C has allocated and not freed; 0 where the C library does not tell."""
    try:
        look = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    look.restype = Memory
    memory = look()
    return int(memory.uordblks + memory.hblkhd)


def functions() -> set[str]:
    """Return "Type.name" for all that the C module offers, inherited names once."""
    names = set()
    for name, thing in vars(_core).items():
        if isinstance(thing, types.BuiltinFunctionType):
            names.add(name)
        elif inspect.isclass(thing) and thing.__module__ == _core.__name__:
            # The last one is a cache of copyreg's, once an instance was pickled.
            ignored = {"__doc__", "__module__", "__new__", "__slotnames__"}
            members = {member for member in vars(thing) if member not in ignored}
            names |= {f"{name}.{member}" for member in members}
    return names


def test_list_is_complete() -> None:
    assert {name.partition(" ")[0] for name in TABLE} | set(ELSEWHERE) == functions()


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """What is there before the first test is not looked through at each of some thousand collections."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    del bench.ended  # its pidfd: pytest keeps the fixture a little longer
    bench.locked.close()
    bench.same_file.close()


@pytest.mark.parametrize("name", TABLE)
def test_no_growth(bench: Bench, name: str) -> None:
    call = TABLE[name]

    def measure() -> tuple[int, int, int, int]:
        gc.collect()
        used = bench.domain.used()
        descriptors = len(os.listdir("/proc/self/fd"))
        return (
            sys.getallocatedblocks(),
            allocated(),
            used["payloads"] + used["reports"] + 512 * bench.domain.objects(),
            descriptors,
        )

    def repeat(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(*RAISED, *queue_errors()):
                call(bench)

    calls = (
        CALLS
        if name not in {"Domain.create", "Domain.attach", "Domain.watch", "Child.look of a new one"}
        else CALLS // 10
    )
    repeat(calls // 5)  # fills the caches
    growth = []
    for _ in range(ROUNDS):
        before = measure()
        repeat(calls)
        growth.append([after - then for then, after in zip(before, measure(), strict=True)])
    # One block, or 16 bytes, left by every fifth call is a leak; less is noise of the interpreter.
    limits = (calls // 5, 16 * calls // 5, 4096, 1)
    for what, limit, values in zip(
        ("blocks", "bytes", "domain", "descriptors"), limits, zip(*growth, strict=True), strict=True
    ):
        assert min(values) < limit, f"{name}: {what} grew by {values} in {ROUNDS} times {calls} calls"


def queue_errors() -> tuple[type[BaseException], ...]:
    import queue

    return (queue.Empty, queue.Full)


def test_growth_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setitem(TABLE, "Domain.used", lambda bench: kept.append(bench.domain.used()))
    with pytest.raises(AssertionError, match="blocks grew"):
        test_no_growth(bench, "Domain.used")
