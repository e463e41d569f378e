"""Queue and SimpleQueue: what they promise, whoever uses them at once and whoever dies."""

from __future__ import annotations

import contextlib
import copy
import gc
import itertools
import os
import pickle
import queue as standard
import random
import signal
import sys
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import procession
from tests.helpers import child, domain, in_thread, kill, memory, send, thread, unmade, until

core = pytest.mark.core
KINDS: list[Any] = [procession.Queue, procession.SimpleQueue]
Pair = tuple[int, int]


@pytest.fixture
def queue() -> procession.Queue[Any]:
    return procession.Queue(name="jobs")


@pytest.fixture(params=KINDS)
def any_queue(request: pytest.FixtureRequest) -> Any:
    return request.param(name="jobs")


def full_queue() -> procession.Queue[Any]:
    full = procession.Queue[Any](1, name="jobs")
    full.put("first")
    return full


def drain(queue: Any) -> list[Any]:
    """Everything that is in it now."""
    taken = []
    while not queue.empty():
        taken += queue.get_many(1000)
    return taken


def waiting(queue: Any, number: int = 1) -> None:
    until(lambda: queue.statistics().waiting == number)


def when_waiting(queue: Any, call: Callable[..., object], *args: Any) -> None:
    """Do it when somebody sleeps on the queue."""
    waiting(queue)
    call(*args)


# ---- order


@core
def test_first_in_first_out(any_queue: Any) -> None:
    for item in range(100):
        any_queue.put(item)
    assert [any_queue.get() for _ in range(100)] == list(range(100))


def produce(queue: Any, number: int, count: int) -> None:
    for item in range(count):
        queue.put((number, item))


def consume(queue: Any, results: Any) -> None:
    taken: list[Pair] = []
    try:
        while True:
            taken.append(queue.get())
    except procession.ShutDown:
        results.put(taken)


def consume_many(queue: Any, results: Any) -> None:
    taken: list[Pair] = []
    try:
        while True:
            taken += queue.get_many(7)
    except procession.ShutDown:
        results.put(taken)


def check_order(parts: list[list[Pair]], producers: int, count: int) -> None:
    """Each consumer sees each producer's items in order, and together they see each item once."""
    for part in parts:
        of: defaultdict[int, list[int]] = defaultdict(list)
        for producer, item in part:
            of[producer].append(item)
        assert all(items == sorted(items) for items in of.values())
    assert sorted(itertools.chain(*parts)) == [(number, item) for number in range(producers) for item in range(count)]


@core
@pytest.mark.parametrize("taker", [consume, consume_many])
@pytest.mark.parametrize("maxsize", [0, 10])
def test_order_of_each_producer_is_kept_among_many(maxsize: int, taker: Callable[..., None]) -> None:
    queue = procession.Queue[Pair](maxsize)
    results = procession.Queue[list[Pair]]()
    with child(taker, queue, results), child(taker, queue, results):
        with child(produce, queue, 0, 500), child(produce, queue, 1, 500), child(produce, queue, 2, 500):
            pass
        queue.shutdown()
    check_order(drain(results), producers=3, count=500)


def test_order_of_each_producer_is_kept_among_threads() -> None:
    queue, results = procession.Queue[Pair](5), procession.Queue[list[Pair]]()
    takers = [threading.Thread(target=consume, args=(queue, results)) for _ in range(4)]
    putters = [threading.Thread(target=produce, args=(queue, number, 200)) for number in range(4)]
    for one in takers + putters:
        one.start()
    for one in putters:
        one.join()
    queue.shutdown()
    for one in takers:
        one.join()
    check_order(drain(results), producers=4, count=200)


# ---- many at once


@core
def test_many_go_in_and_come_out_in_order(queue: procession.Queue[int]) -> None:
    queue.put_many(range(1000))
    assert queue.get_many(1000) == list(range(1000))


def test_put_many_takes_any_iterable(queue: procession.Queue[int]) -> None:
    queue.put_many(number for number in (1, 2, 3))
    assert drain(queue) == [1, 2, 3]


def test_put_many_of_nothing_puts_nothing(queue: procession.Queue[int]) -> None:
    queue.put_many([])
    assert queue.empty()


def test_get_many_takes_no_more_than_asked(queue: procession.Queue[int]) -> None:
    queue.put_many(range(10))
    assert (queue.get_many(3), queue.qsize()) == ([0, 1, 2], 7)


def test_get_many_takes_what_is_there(queue: procession.Queue[int]) -> None:
    queue.put(1)
    assert queue.get_many(10) == [1]


def test_get_many_waits_for_the_first(queue: procession.Queue[int]) -> None:
    with thread(queue.get_many, 10) as taken:
        waiting(queue)
        queue.put(1)
        assert taken.result() == [1]


def test_put_many_larger_than_maxsize_goes_in_as_room_comes() -> None:
    queue = procession.Queue[int](3)
    with thread(queue.put_many, range(100)) as putting:
        taken = [queue.get() for _ in range(100)]
        putting.result()
    assert taken == list(range(100))


def test_put_many_out_of_time_tells_how_many_went_in() -> None:
    queue = procession.Queue[int](3)
    with pytest.raises(standard.Full) as caught:
        queue.put_many(range(10), timeout=0.01)
    assert getattr(caught.value, "items_put") == 3  # noqa: B009
    assert drain(queue) == [0, 1, 2]


def test_get_many_without_memory_for_its_list_leaves_no_buffer(queue: procession.Queue[Any]) -> None:
    fails: Any = pytest.importorskip("_testcapi")  # not everywhere
    before = memory()["payloads"]
    lost = 0
    for nth in range(1, 200):
        queue.put_many([bytes(20_000)] * 10)
        try:
            fails.set_nomemory(nth, nth + 1)
            queue.get_many(10)
        except MemoryError as error:
            lost += not hasattr(error, "items")
        finally:
            fails.remove_mem_hooks()
        drain(queue)
        assert memory()["payloads"] == before, nth
    assert lost


def test_get_many_keeps_the_good_ones_beside_one_that_does_not_unpickle(queue: procession.Queue[Any]) -> None:
    queue.put_many([1, Breaks("there"), 2])
    with pytest.raises(ZeroDivisionError) as caught:
        queue.get_many(3)
    assert getattr(caught.value, "items") == [1, 2]  # noqa: B009


# ---- time-outs

OUT_OF_TIME: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "block=False": ((), {"block": False}),
    "positional": ((False,), {}),
    "timeout=0": ((), {"timeout": 0}),
    "small": ((), {"timeout": 0.01}),
    "negative is 0": ((True, -1), {}),
    "True is 1 second, not waited for": ((False, True), {}),
}


@core
@pytest.mark.parametrize(("args", "names"), OUT_OF_TIME.values(), ids=OUT_OF_TIME)
def test_get_raises_empty_in_time(queue: procession.Queue[int], args: tuple[Any, ...], names: dict[str, Any]) -> None:
    with pytest.raises(standard.Empty, match="Queue 'jobs' had no item in time"):
        queue.get(*args, **names)


@core
@pytest.mark.parametrize(("args", "names"), OUT_OF_TIME.values(), ids=OUT_OF_TIME)
def test_put_raises_full_in_time(args: tuple[Any, ...], names: dict[str, Any]) -> None:
    with pytest.raises(standard.Full, match="Queue 'jobs' had no room in time"):
        full_queue().put(2, *args, **names)


def test_nowait_raises_empty_and_full() -> None:
    queue = procession.Queue[int](1)
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    queue.put_nowait(1)
    with pytest.raises(standard.Full):
        queue.put_nowait(2)
    assert queue.get_nowait() == 1


@core
@pytest.mark.parametrize("timeout", [None, 60, float("inf")])
def test_get_waits_for_an_item_of_another_process(queue: procession.Queue[int], timeout: float | None) -> None:
    with child(when_waiting, queue, queue.put, 1):
        assert queue.get(True, timeout) == 1


@core
@pytest.mark.parametrize("timeout", [None, 60, float("inf")])
def test_put_waits_for_room_of_another_process(timeout: float | None) -> None:
    queue = full_queue()
    with child(when_waiting, queue, queue.get):
        queue.put("second", True, timeout)
    assert drain(queue) == ["second"]


# ---- limits


@core
def test_maxsize_is_exact_among_processes() -> None:
    queue = procession.Queue[Pair](5)
    with child(produce, queue, 0, 200), child(produce, queue, 1, 200), child(produce, queue, 2, 200):
        waiting(queue, 3)
        most = 0
        for _ in range(600):
            most = max(most, queue.qsize())
            queue.get()
    assert most == 5


def test_max_bytes_bounds_what_waits() -> None:
    queue = procession.Queue[bytes](max_bytes=10_000)
    with contextlib.suppress(standard.Full):
        while True:
            queue.put(b"x" * 1000, block=False)
    assert 9000 <= queue.statistics().bytes <= 10_000


def test_max_bytes_bounds_many() -> None:
    queue = procession.Queue[bytes](max_bytes=10_000)
    with pytest.raises(standard.Full):
        queue.put_many([b"x" * 1000] * 100, block=False)
    assert 7500 <= queue.statistics().bytes <= 10_000  # a commit takes a quarter at most


def test_larger_item_travels_alone() -> None:
    queue = procession.Queue[bytes](max_bytes=10_000)
    queue.put(b"x" * 1_000_000)
    with pytest.raises(standard.Full):
        queue.put(b"y", block=False)
    assert len(queue.get()) == 1_000_000
    queue.put(b"y", block=False)


def test_full_by_items() -> None:
    queue = procession.Queue[int](2)
    queue.put(1)
    assert not queue.full()
    queue.put(2)
    assert queue.full()


def test_full_by_bytes() -> None:
    queue = procession.Queue[bytes](max_bytes=100)
    assert not queue.full()
    queue.put(b"x" * 200)
    assert queue.full()


def test_unbounded_is_never_full(any_queue: Any) -> None:
    any_queue.put_many(range(10_000))
    assert not any_queue.full()


def test_size_and_emptiness(any_queue: Any) -> None:
    assert (any_queue.qsize(), any_queue.empty()) == (0, True)
    any_queue.put(1)
    assert (any_queue.qsize(), any_queue.empty()) == (1, False)


@core
def test_unbounded_spills_and_gives_the_memory_back(queue: procession.Queue[Any]) -> None:
    before = memory()
    item = ("x" * 100, 1)
    for number in range(200_000):
        queue.put((number, item))
    assert queue.qsize() == 200_000
    assert memory()["segments"] > 20_000_000
    numbers = [number for number, _ in drain(queue)]
    assert numbers == list(range(200_000))
    queue.put(0)  # the empty queue begins anew in a small place
    assert drain(queue) == [0]
    assert memory()["segments"] <= before["segments"] + (1 << 16)


@pytest.mark.parametrize("size", [20_000, 1 << 20, 5_000_001, 100 << 20])
def test_large_item_arrives_and_its_memory_comes_back(queue: procession.Queue[bytes], size: int) -> None:
    before = memory()["payloads"]
    item = random.Random(size).randbytes(1000) * (size // 1000)
    queue.put(item)
    assert memory()["payloads"] >= before + len(item)
    assert queue.get() == item
    assert memory()["payloads"] == before


def test_dropped_queue_gives_its_memory_back() -> None:
    before = memory()
    queue = procession.Queue[bytes]()
    queue.put_many([b"x" * 100_000] * 10)
    del queue
    free = {"committed": 0, "warm": 0}  # free memory may stay ready for use
    assert memory() | free == before | free


def test_value_named_many_times_is_stored_once(queue: procession.Queue[list[bytes]]) -> None:
    blob = b"x" * 1_000_000
    queue.put([blob] * 100)
    assert queue.statistics().bytes < 2_000_000
    assert queue.get() == [blob] * 100


# ---- ends


def test_closed_queue_takes_and_gives_nothing_here(any_queue: Any) -> None:
    any_queue.put(1)
    any_queue.close()
    any_queue.close()
    closed = rf"'jobs' is closed in this process \(pid {os.getpid()}\)"
    calls: list[Callable[[], object]] = [
        lambda: any_queue.put(2),
        lambda: any_queue.put_nowait(2),
        lambda: any_queue.put_many([2]),
        any_queue.get,
        any_queue.get_nowait,
        lambda: any_queue.get_many(1),
        any_queue.empty,
    ]
    for call in calls:
        with pytest.raises(ValueError, match=closed):
            call()


@pytest.mark.parametrize("kind", [procession.Queue, procession.JoinableQueue, procession.SimpleQueue])
def test_empty_of_a_closed_queue_is_an_oserror(kind: Callable[[], procession.Queue[int]]) -> None:
    queue = kind()
    queue.put(1)
    queue.close()
    with pytest.raises(OSError, match="is closed"):
        queue.empty()


@pytest.mark.parametrize("kind", [procession.Queue, procession.JoinableQueue])
def test_closed_queue_without_items_is_empty(kind: Callable[[], procession.Queue[int]]) -> None:
    queue = kind()
    queue.close()
    assert queue.empty()


@core
def test_close_is_of_one_process(queue: procession.Queue[str]) -> None:
    def say_and_close() -> None:
        queue.put("said")
        queue.close()

    with child(say_and_close):
        pass
    queue.put("too")
    assert drain(queue) == ["said", "too"]


def test_join_thread_has_nothing_to_wait_for(queue: procession.Queue[int]) -> None:
    with pytest.raises(AssertionError, match=r"Queue 'jobs' .* is not closed: call close\(\) first"):
        queue.join_thread()
    queue.close()
    queue.join_thread()
    queue.cancel_join_thread()


@core
def test_shut_down_queue_gives_what_it_has_and_takes_nothing(any_queue: Any) -> None:
    any_queue.put(1)
    any_queue.shutdown()
    with pytest.raises(procession.ShutDown, match="'jobs' was shut down: nothing more can be put"):
        any_queue.put(2)
    assert any_queue.get() == 1
    with pytest.raises(procession.ShutDown):
        any_queue.get()


def test_immediate_shutdown_gives_the_items_up(queue: procession.Queue[int]) -> None:
    queue.put(1)
    queue.shutdown(immediate=True)
    with pytest.raises(procession.ShutDown):
        queue.get()
    assert queue.empty()
    assert (queue.qsize(), queue.statistics().bytes) == (0, 0)


def expect_shutdown(call: Callable[..., object], *args: Any) -> None:
    with pytest.raises(procession.ShutDown):
        call(*args)


@core
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_consumers_of_all_processes(queue: procession.Queue[int], immediate: bool) -> None:
    with child(expect_shutdown, queue.get), child(expect_shutdown, queue.get_many, 5), thread(queue.get) as here:
        waiting(queue, 3)
        queue.shutdown(immediate)
        assert isinstance(here.exception(), procession.ShutDown)


@core
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_producers_of_all_processes(immediate: bool) -> None:
    queue = full_queue()
    with (
        child(expect_shutdown, queue.put, 1),
        child(expect_shutdown, queue.put_many, [1]),
        thread(queue.put, 1) as here,
    ):
        waiting(queue, 3)
        queue.shutdown(immediate)
        assert isinstance(here.exception(), procession.ShutDown)


def test_shutdown_of_another_process_counts_here(queue: procession.Queue[int]) -> None:
    with child(when_waiting, queue, queue.shutdown):
        expect_shutdown(queue.get)


# ---- what does not pickle


class Breaks:
    """Fails on the way in, or only there."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __reduce__(self) -> Any:
        if self.where == "here":
            raise ZeroDivisionError("not to be pickled")
        return divmod, (1, 0)


UNPICKLABLE: dict[str, Any] = {
    "a reducer that raises": Breaks("here"),
    "a lambda": lambda: None,
    "an iterator": iter(lambda: 0, 1),
    "a lock of threads": threading.Lock(),
    "inside a list": [1, lambda: None],
    "inside a large one": [b"x" * 100_000, lambda: None],
}


@core
@pytest.mark.parametrize("item", UNPICKLABLE.values(), ids=UNPICKLABLE)
def test_unpicklable_raises_in_put_and_nothing_is_lost(queue: procession.Queue[Any], item: object) -> None:
    before = memory()["payloads"]
    queue.put("before")
    with pytest.raises((ZeroDivisionError, pickle.PicklingError, TypeError, AttributeError)):
        queue.put(item)
    queue.put("after")
    assert drain(queue) == ["before", "after"]
    assert memory()["payloads"] == before


def test_unpicklable_among_many_puts_none_of_them(queue: procession.Queue[Any]) -> None:
    before = memory()["payloads"]
    with pytest.raises(ZeroDivisionError) as caught:
        queue.put_many([1, b"x" * 100_000, Breaks("here"), 2])
    assert getattr(caught.value, "items_put") == 0  # noqa: B009
    assert queue.empty()
    assert memory()["payloads"] == before


def test_item_that_does_not_unpickle_raises_in_get_alone(queue: procession.Queue[Any]) -> None:
    queue.put(Breaks("there"))
    queue.put("next")
    with pytest.raises(ZeroDivisionError):
        queue.get()
    assert queue.get() == "next"


def test_iterable_that_raises_puts_nothing(queue: procession.Queue[int]) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        queue.put_many(numbers())
    assert queue.empty()


class Uses:
    """Uses the queue while it is pickled for it."""

    def __init__(self, queue: procession.Queue[Any]) -> None:
        self.queue = queue

    def __reduce__(self) -> Any:
        self.queue.put("from inside")
        return str, ("the item",)


def test_reducer_may_use_the_same_queue(queue: procession.Queue[Any]) -> None:
    queue.put(Uses(queue))
    assert drain(queue) == ["from inside", "the item"]


# ---- shared objects inside items


@core
def test_queue_in_a_queue_reaches_another_process(queue: procession.Queue[Any]) -> None:
    def answer() -> None:
        question, back = queue.get()
        back.put(question * 2)

    with child(answer):
        back = procession.Queue[int]()
        queue.put((21, back))
        assert back.get() == 42


@pytest.mark.parametrize("kind", [procession.Lock, procession.RLock, procession.Mutex, *KINDS])
def test_shared_object_arrives_as_the_same_one(queue: procession.Queue[Any], kind: Any) -> None:
    sent = kind(name="sent")
    queue.put({"it": [sent]})
    got = queue.get()["it"][0]
    assert (type(got), got._handle, repr(got)) == (kind, sent._handle, repr(sent))


def test_last_reference_may_be_in_an_item(queue: procession.Queue[Any]) -> None:
    inner = procession.Queue[str](name="inner")
    inner.put("hello")
    queue.put(inner)
    del inner
    memory()
    assert queue.get().get() == "hello"


def test_last_reference_may_be_in_an_item_of_an_item(queue: procession.Queue[Any]) -> None:
    middle, inner = procession.Queue[Any](), procession.Queue[str]()
    inner.put("hello")
    middle.put(inner)
    queue.put(middle)
    del middle, inner
    memory()
    assert queue.get().get().get() == "hello"


def test_object_in_a_dropped_queue_is_freed() -> None:
    before = memory()["segments"]
    outer, inner = procession.Queue[Any](), procession.Queue[Any]()
    outer.put(inner)
    del outer, inner
    assert memory()["segments"] == before


def test_queue_that_is_only_in_itself_is_freed() -> None:
    before = memory()["segments"]
    queue = procession.Queue[Any]()
    queue.put([queue])
    del queue
    assert memory()["segments"] == before


def test_object_dropped_while_another_thread_takes_it_is_alive(
    queue: procession.Queue[Any],
) -> None:
    with thread(queue.get) as got:
        waiting(queue)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)  # the taker takes it, and then waits for the interpreter
        lock = procession.Lock(name="sent")
        queue.put(lock)
        while queue.qsize():
            pass
        del lock
        gc.collect()
        others = [procession.Lock() for _ in range(3)]
        sys.setswitchinterval(interval)
        assert got.result().name == "sent"
    assert all(other.name != "sent" for other in others)


def test_256_shared_objects_travel_in_one_item(queue: procession.Queue[Any]) -> None:
    locks = [procession.Lock() for _ in range(256)]
    queue.put(locks)
    assert [lock._handle for lock in queue.get()] == [lock._handle for lock in locks]


def test_257_shared_objects_do_not(queue: procession.Queue[Any]) -> None:
    with pytest.raises(ValueError, match=r"names 257 shared objects; at most 256 .* Put them in several items"):
        queue.put([procession.Lock() for _ in range(257)])
    assert queue.empty()


# ---- deaths


def produce_for_ever(queue: procession.Queue[Any]) -> None:
    while True:
        queue.put((os.getpid(), b"x" * 200))
        queue.put_many([(os.getpid(), b"x" * 20_000)] * 3)


def consume_for_ever(queue: procession.Queue[Any]) -> None:
    while True:
        queue.get()
        queue.get_many(5)


@core
@pytest.mark.parametrize("target", [produce_for_ever, consume_for_ever])
def test_killed_at_random_they_harm_nobody(target: Callable[..., None]) -> None:
    queue, counts = procession.Queue[Any](50), random.Random(7)
    before = memory()["payloads"]
    for _ in range(15):
        with child(target, queue) as victim:
            if target is produce_for_ever:
                until(lambda: queue.get()[0] == victim.pid)
            for number in range(counts.randrange(200)):  # it works between its start and its death
                if target is produce_for_ever:
                    queue.get()
                else:
                    queue.put(number)
            until(lambda: target is produce_for_ever or (queue.empty() and queue.statistics().waiting))
            kill(victim)
    drain(queue)
    queue.put("alive")
    assert queue.get() == "alive"
    assert memory()["payloads"] == before


def test_killed_sleepers_harm_nobody(queue: procession.Queue[int]) -> None:
    with child(queue.get) as first, child(queue.get) as second, thread(queue.get) as third:
        waiting(queue, 3)
        kill(first)
        kill(second)
        queue.put(1)
        assert third.result() == 1


# ---- signals

SLEEPS: dict[str, tuple[Callable[[Any], object], bool]] = {
    "get": (lambda queue: queue.get(), False),
    "get with a time-out": (lambda queue: queue.get(timeout=1000), False),
    "get_many": (lambda queue: queue.get_many(3), False),
    "put": (lambda queue: queue.put(1), True),
    "put_many": (lambda queue: queue.put_many([1, 2, 3]), True),
}


@core
@pytest.mark.parametrize(("sleep", "is_full"), SLEEPS.values(), ids=SLEEPS)
def test_interrupt_reaches_a_sleeper_and_leaves_the_queue_usable(sleep: Callable[[Any], object], is_full: bool) -> None:
    queue = full_queue() if is_full else procession.Queue[Any](1, name="jobs")

    def wait() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            sleep(queue)

    with child(wait) as waiter:
        waiting(queue)
        send(waiter, signal.SIGINT)
    assert drain(queue) == (["first"] if is_full else [])
    queue.put(2)
    assert queue.get() == 2


def test_signal_handler_may_use_the_queue_that_it_interrupts(queue: procession.Queue[Any]) -> None:
    answers = procession.Queue[Any]()

    def wait() -> None:
        signal.signal(signal.SIGUSR1, lambda *_: queue.put("from the handler"))
        answers.put(queue.get())

    with child(wait) as waiter:
        waiting(queue)
        send(waiter, signal.SIGUSR1)
        assert answers.get() == "from the handler"


def test_signal_handler_may_use_a_busy_queue(queue: procession.Queue[Any]) -> None:
    def work() -> None:
        handled = [0]

        def handle(*_: object) -> None:
            queue.put(None)
            queue.get()
            handled[0] += 1

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while handled[0] < 100:
            queue.put_many(range(10))
            queue.get_many(10)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert drain(queue).count(None) == 0

    with child(work):
        pass


# ---- as an object


def test_repr_tells_items_and_limit() -> None:
    assert repr(full_queue()) == "<Queue 'jobs' 1 of 1 items>"


def test_repr_tells_the_state(queue: procession.Queue[int]) -> None:
    with thread(queue.get):
        waiting(queue)
        assert repr(queue) == "<Queue 'jobs' 0 items, 1 waiting>"
        queue.shutdown()
    queue.close()
    assert repr(queue) == "<Queue 'jobs' 0 items, shut down, closed here>"


def test_statistics() -> None:
    now = procession.Queue[Any](3, max_bytes=500, name="jobs").statistics()
    assert (now.name, now.items, now.bytes, now.maxsize, now.max_bytes) == ("jobs", 0, 0, 3, 500)
    assert (now.waiting, now.shut_down, now.closed) == (0, False, False)


def test_queue_without_a_name_has_a_number(any_queue: Any) -> None:
    kind = type(any_queue)
    assert kind().name.startswith(f"{kind.__name__}-")


def test_subscripted_class_makes_a_queue() -> None:
    class Local:
        pass

    queue = procession.Queue[procession.Queue[Local]]()
    queue.put(procession.Queue[Local]())
    assert isinstance(queue.get(), procession.Queue)


class Named(procession.Queue[int]):
    """A subclass with an __init__ and an attribute of its own."""

    def __init__(self, remark: str) -> None:
        super().__init__(2)
        self.remark = remark


class Stately(Named):
    """And one that says itself what travels."""

    def __getstate__(self) -> Any:
        return self.remark.upper()

    def __setstate__(self, state: Any) -> None:
        self.remark = state


@pytest.mark.parametrize(("kind", "remark"), [(Named, "mine"), (Stately, "MINE")])
def test_attributes_of_a_subclass_travel(queue: procession.Queue[Any], kind: type[Named], remark: str) -> None:
    queue.put(kind("mine"))
    got = queue.get()
    assert (type(got), got.remark) == (kind, remark)


def test_subclass_without_init_of_the_base_says_so() -> None:
    class Careless(procession.Queue[int]):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"Careless.__init__\(\) was not called"):
        Careless().put(1)


def test_weak_reference_ends_with_the_queue() -> None:
    queue = procession.Queue[int]()
    reference = weakref.ref(queue)
    assert reference() is queue
    del queue
    assert reference() is None


def test_queue_in_a_cycle_is_freed() -> None:
    before = memory()["segments"]
    queue: Any = procession.Queue()
    queue.itself = queue
    del queue
    gc.collect()
    assert memory()["segments"] == before


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copy_outside_of_a_start_or_an_item_is_refused(any_queue: Any, duplicate: Callable[[Any], object]) -> None:
    with pytest.raises(
        procession.NotShared, match=r"'jobs' .* only as an argument of a process .* pickled by something"
    ):
        duplicate(any_queue)


@pytest.mark.parametrize("kind", [procession.Queue, procession.JoinableQueue])
def test_maxsize_below_zero_means_no_bound(kind: Callable[[int], procession.Queue[int]]) -> None:
    assert kind(-1).statistics().maxsize == 0  # as in the standard library, whose logging cookbook says -1


# ---- bad input

WRONG: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "maxsize of text": (lambda _: procession.Queue("3"), TypeError, "maxsize must be an integer, not str"),  # type: ignore[arg-type]
    "maxsize a float": (lambda _: procession.Queue(3.0), TypeError, "maxsize must be an integer, not float"),  # type: ignore[arg-type]
    "maxsize beyond 64 bits": (lambda _: procession.Queue(2**64 + 1), ValueError, "maxsize must be .* below 2"),
    "max_bytes of text": (lambda _: procession.Queue(max_bytes="1"), TypeError, "max_bytes must be an integer"),  # type: ignore[arg-type]
    "max_bytes below 0": (lambda _: procession.Queue(max_bytes=-5), ValueError, "max_bytes must be 0 .* not -5"),
    "name a number": (lambda queue: type(queue)(name=5), TypeError, "name must be a str, not int"),
    "made twice": (lambda queue: queue.__init__(), RuntimeError, "made already"),
    "put nothing": (lambda queue: queue.put(), TypeError, r"put\(\) needs the argument 'obj'"),
    "put too much": (lambda queue: queue.put(1, True, 1, 2), TypeError, r"put\(\) takes at most 3 arguments"),
    "put twice": (lambda queue: queue.put(1, obj=2), TypeError, r"put\(\) got an unexpected or repeated .*'obj'"),
    "put wrong name": (lambda queue: queue.put(1, wait=2), TypeError, r"unexpected or repeated argument 'wait'"),
    "put time-out of text": (lambda queue: queue.put(1, timeout="1"), TypeError, "timeout must be seconds .* not str"),
    "get time-out of text": (lambda queue: queue.get(timeout="1"), TypeError, "timeout must be seconds .* not str"),
    "get time-out NaN": (lambda queue: queue.get(timeout=float("nan")), ValueError, "not NaN"),
    "get too much": (lambda queue: queue.get(True, 1, 2), TypeError, r"get\(\) takes at most 2 arguments"),
    "put_many of a number": (lambda queue: queue.put_many(5), TypeError, r"put_many\(\) takes an iterable"),
    "get_many of none": (lambda queue: queue.get_many(0), ValueError, "max_items must be 1 or more, not 0"),
    "get_many of text": (lambda queue: queue.get_many("3"), TypeError, "'str' object cannot be interpreted"),
    "get_many of everything": (lambda queue: queue.get_many(2**70), OverflowError, "fit 'int'|too large"),
    "get_many without a number": (lambda queue: queue.get_many(), TypeError, "needs the argument 'max_items'"),
    **{
        f"never made: {name}": (call, RuntimeError, r"__init__\(\) was not called")
        for name, call in {
            "put": lambda queue: unmade(queue).put(1),
            "get": lambda queue: unmade(queue).get(),
            "put_many": lambda queue: unmade(queue).put_many([1]),
            "get_many": lambda queue: unmade(queue).get_many(1),
            "qsize": lambda queue: unmade(queue).qsize(),
            "empty": lambda queue: unmade(queue).empty(),
            "full": lambda queue: unmade(queue).full(),
            "shutdown": lambda queue: unmade(queue).shutdown(),
            "statistics": lambda queue: unmade(queue).statistics(),
            "pickle": lambda queue: unmade(queue).__reduce__(),
        }.items()
    },
}


@pytest.mark.parametrize(("call", "error", "words"), WRONG.values(), ids=WRONG)
def test_wrong_use_raises(any_queue: Any, call: Callable[[Any], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(any_queue)
    assert any_queue.qsize() == 0


def test_block_may_be_any_truth(queue: procession.Queue[int]) -> None:
    with pytest.raises(standard.Empty):
        queue.get([])  # type: ignore[arg-type]


def test_timeout_true_is_a_second(queue: procession.Queue[int]) -> None:
    with thread(queue.get, True, True) as got:
        waiting(queue)
        queue.put(1)
        assert got.result() == 1


def test_many_queues_cost_no_descriptor() -> None:
    domain()
    before = len(os.listdir("/proc/self/fd"))
    queues = [procession.Queue[int]() for _ in range(200)]
    assert len(os.listdir("/proc/self/fd")) == before
    del queues


def test_queue_made_in_a_thread_outlives_it() -> None:
    queue = in_thread(procession.Queue)
    queue.put(1)
    assert queue.get() == 1
