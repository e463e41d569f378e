"""How an object is named on its way: refused where nobody could receive it, never taken for another."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

import procession
from procession import _core
from procession._memory import handle
from procession._memory.domain import domains
from tests.helpers import domain, in_thread, memory

KINDS: list[Callable[..., Any]] = [
    procession.Lock,
    procession.RLock,
    procession.Mutex,
    procession.Queue,
    procession.SimpleQueue,
]

PICKLERS: dict[str, Callable[[Any], object]] = {
    "pickle": pickle.dumps,
    "the standard library's": lambda shared: ForkingPickler(io.BytesIO()).dump(shared),
    "inside something": lambda shared: pickle.dumps({"it": [shared]}),
}


@pytest.mark.parametrize("dump", PICKLERS.values(), ids=PICKLERS)
@pytest.mark.parametrize("kind", KINDS)
def test_pickled_elsewhere_is_refused(kind: Callable[..., Any], dump: Callable[[Any], object]) -> None:
    shared = kind(name="stock")
    with pytest.raises(procession.NotShared, match=r"'stock' .* can be sent to another process only as an argument"):
        dump(shared)


def test_pickler_of_an_item_is_its_thread_s_own() -> None:
    lock = procession.Lock()

    class Item:
        def __reduce__(self) -> Any:
            with pytest.raises(procession.NotShared):
                in_thread(pickle.dumps, lock)
            return int, ()

    queue = procession.Queue[Any]()
    queue.put(Item())
    assert queue.get() == 0


def test_pickled_while_an_item_is_pickled_it_travels() -> None:
    lock = procession.Lock(name="stock")

    class Item:
        def __reduce__(self) -> Any:
            return pickle.loads, (pickle.dumps(lock),)

    queue = procession.Queue[Any]()
    queue.put(Item())
    assert queue.get().name == "stock"


def test_failed_item_does_not_leave_the_pickler_open() -> None:
    queue = procession.Queue[Any]()
    with pytest.raises(AttributeError):
        queue.put([procession.Lock(), lambda: None])
    with pytest.raises(procession.NotShared):
        pickle.dumps(procession.Lock())


@pytest.mark.parametrize("kind", KINDS)
def test_stale_handle_is_refused(kind: Any) -> None:
    shared = kind()
    offset, generation = shared._handle
    del shared
    memory()
    with pytest.raises(procession.StaleHandle, match=f"the {kind.__name__} of this handle has been freed: nobody held"):
        kind._attach(domain(), offset, generation)


def test_handle_of_a_place_used_again_is_refused() -> None:
    first = procession.Lock()
    offset, generation = first._handle
    del first
    kept = [procession.Lock() for _ in range(3)]
    assert offset in {lock._handle[0] for lock in kept}
    with pytest.raises(procession.StaleHandle):
        procession.Lock._attach(domain(), offset, generation)


@pytest.mark.parametrize("offset", [0, 1, 512, 4096, 1 << 40, (1 << 64) - 512])
def test_handle_of_nothing_is_refused(offset: int) -> None:
    with pytest.raises(procession.StaleHandle):
        procession.Lock._attach(domain(), offset, 1)


def test_handle_of_another_kind_is_refused() -> None:
    lock = procession.Lock()
    with pytest.raises(TypeError, match="another kind of object than Queue"):
        procession.Queue._attach(domain(), *lock._handle)


def test_same_handle_twice_is_the_same_object() -> None:
    lock = procession.Lock()
    again = procession.Lock._attach(domain(), *lock._handle)
    lock.acquire()
    assert again.locked()


def other_domain() -> _core.Domain:
    """A second domain of this process, as a child has that made an object before it got its arguments."""
    made = _core.Domain.create(64 << 20)
    domains._by_uuid[made.uuid] = made
    return made


def test_object_of_another_domain_arrives() -> None:
    other = other_domain()
    lock = procession.Lock.__new__(procession.Lock)
    _core.Lock.__init__(lock, other, "far")
    queue = procession.Queue[procession.Lock]()
    queue.put(lock)
    got = queue.get()
    assert (got.name, got._domain.uuid) == ("far", other.uuid)
    del domains._by_uuid[other.uuid]


def rebuilt(passage: Any) -> Any:
    return handle._rebuild(procession.Lock, bytes(16), 4096, 1, passage, None, 0)


def test_object_of_a_domain_that_is_not_here_is_refused() -> None:
    with pytest.raises(
        procession.StaleHandle, match=rf"domain of this Lock is not attached to .*\(pid {os.getpid()}\)"
    ):
        rebuilt(None)


def test_object_of_a_process_that_is_gone_is_refused() -> None:
    with pytest.raises(procession.StaleHandle, match="the Lock belongs to process 4194304, which is gone or not ours"):
        rebuilt((4194304, 3))
