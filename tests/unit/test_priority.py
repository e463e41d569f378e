"""PriorityQueue: Python's order, whatever waits, whoever is killed."""

from __future__ import annotations

import asyncio
import gc
import operator
import pickle
import queue as standard
import random
import select
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any

import numpy as np
import pytest

import procession
from procession import PriorityQueue, ShutDown, aio
from tests.helpers import METHODS, child, domain, error_of, kill, memory, send, thread, unmade, until


def drain(queue: PriorityQueue[Any]) -> list[Any]:
    return [queue.get() for _ in range(queue.qsize())]


def left() -> tuple[int, int]:
    gc.collect()
    used = memory()
    return domain().objects(), used["payloads"]


# ---- the order ----------------------------------------------------------------------------------

NUMBERS: list[Any] = [
    *(0, -0.0, False, True, 1, 1.0, -1, 0.5, -0.5, 1.5, 2, 255, 256, -256),
    *(2**53, 2**53 + 1, float(2**53), 2**63, 2**64, 2**64 + 1, float(2**64), 2**70, 2.0**70, -(2**70), -(2**70) - 1),
    *(10**300, 1e300, -(10**300), 2**2000, -(2**2000) + 1, 2**2000 - 1),
    *(5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, float("inf"), float("-inf")),
]
TEXTS: list[Any] = ["", "a", "ab", "b", "a\0", "a\0b", "\0", "\0\0", "ä", "€", "\U0001f600", "\ud800", "\uffff", "Z"]
BYTES: list[Any] = [b"", b"a", b"a\0", b"a\0\xff", b"\0", b"\xff", b"\xff\0", b"\xff\xff"]
TUPLES: list[Any] = [(), (1,), (1, ""), (1, "a"), (1, "a", 0), (1, "b"), (2,), (1.5, b"x")]
NESTED: list[Any] = [((), 1), ((1,), 0), ((1, 2), 0), ((1, 2), -1), ((2,), 0)]
LISTS: list[Any] = [[], [1], [1, 1], [2], [-1, 5]]


@pytest.mark.parametrize(
    "items", [NUMBERS, TEXTS, BYTES, TUPLES, NESTED, LISTS], ids=lambda items: type(items[1]).__name__
)
def test_order_is_that_of_python(items: list[Any]) -> None:
    shuffler = random.Random(7)
    for _ in range(10):
        mixed = shuffler.sample(items, len(items))
        queue: PriorityQueue[Any] = PriorityQueue()
        for item in mixed:
            queue.put(item)
        assert drain(queue) == sorted(mixed)


def test_equal_ones_come_in_the_order_of_their_puts() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    items = [(number % 3, {"number": number}) for number in range(100)]
    for item in items:
        queue.put(item)
    assert drain(queue) == sorted(items, key=operator.itemgetter(0))


def test_equal_numbers_of_other_types_are_equal() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    for item in (1, 1.0, True, np.int16(1), 1.0):
        queue.put(item)
    assert [type(item) for item in drain(queue)] == [int, float, bool, np.int16, float]


def test_a_tuple_is_compared_up_to_what_cannot_be() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    first, second = {"a": 1}, {"b": 2}
    for item in [
        (1, "b", second),
        (1, "b", first),
        (1, "a", second, 0),
        (1,),
        (0, second),
        ((1, first), 0),
        ((0, first), 5),
    ]:
        queue.put(item)
    assert drain(queue)[:5] == [(0, second), (1,), (1, "a", second, 0), (1, "b", second), (1, "b", first)]


class Level(IntEnum):
    LOW = 3
    HIGH = 1


@dataclass(order=True)
class Job:
    priority: int
    text: str = ""


class Opaque:
    def __repr__(self) -> str:  # the same in each process: it stands in the names of tests
        return "Opaque()"


def test_key() -> None:
    queue: PriorityQueue[Job] = PriorityQueue(key=operator.attrgetter("priority"))
    for job in (Job(2, "two"), Job(1, "one"), Job(2, "and two")):
        queue.put(job)
    assert [job.text for job in drain(queue)] == ["one", "two", "and two"]


def test_key_travels() -> None:
    queue: PriorityQueue[Job] = PriorityQueue(key=operator.attrgetter("priority"))
    with child(put_jobs, queue, method="spawn"):
        pass
    assert [job.priority for job in drain(queue)] == [1, 2, 3]


def put_jobs(queue: Any) -> None:
    for number in (3, 1, 2):
        queue.put(Job(number))


def test_error_of_key_is_raised_and_nothing_is_put() -> None:
    queue: PriorityQueue[Any] = PriorityQueue(key=operator.attrgetter("priority"))
    with pytest.raises(AttributeError, match="priority"):
        queue.put(5)
    assert queue.empty()
    with pytest.raises(TypeError, match="key must be callable, not int"):
        PriorityQueue(key=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "item", [Opaque(), {}, None, (Opaque(), 1), [{}], ((None,), 1), Decimal(1), 1j, np.zeros(2)], ids=repr
)
def test_what_has_no_key_is_refused(item: Any) -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    with pytest.raises(TypeError, match=r"sorts by numbers, str, bytes, .* not by .*; put \(priority, item\)"):
        queue.put(item)
    assert queue.qsize() == 0


def test_numbers_that_are_no_priority() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    with pytest.raises(ValueError, match="NaN is no priority"):
        queue.put((float("nan"), 1))
    with pytest.raises(OverflowError, match="40001 bits is too large"):
        queue.put(2**40000)
    queue.put(Level.LOW)
    queue.put((Level.HIGH, "h"))
    assert queue.get() == Level.LOW


def test_numbers_of_numpy() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    for item in (np.float64(0.25), np.uint64(2**64 - 1), 2**64, np.int8(-3), 2**64 - 2):
        queue.put(item)
    assert drain(queue) == [-3, 0.25, 2**64 - 2, 2**64 - 1, 2**64]


def test_long_texts_are_compared_in_their_first_thousand_bytes() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    same = "x" * 2000
    items = [same + "b", same + "a", "x" * 900 + "b", "x" * 900 + "a", "x" * 900, same]
    for item in items:
        queue.put(item)
    assert drain(queue) == ["x" * 900, "x" * 900 + "a", "x" * 900 + "b", *(item for item in items if len(item) >= 2000)]
    for pair in [(1, b"\0" * 5000), (1, 2**5000), (1, -(2**20000) - 1), (1, ["x"] * 5000)]:
        queue.put(pair)
    assert len(drain(queue)) == 4


def test_deep_tuples_are_compared_so_far() -> None:
    deep: Any = (1,)
    for _ in range(200):
        deep = (deep,)
    with pytest.raises(TypeError):
        PriorityQueue[Any]().put(deep)


# ---- a queue as the others ------------------------------------------------------------------------


def test_items_arrive_as_they_were() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    payloads: list[Any] = [None, b"x" * 100_000, "text" * 1000, np.arange(100_000), Job(1), {"a": [1, (2,)]}, 1 << 100]
    for number, payload in enumerate(payloads):
        queue.put((number, payload))
    for number, payload in enumerate(payloads):
        got = queue.get()
        assert got[0] == number
        np.testing.assert_equal(got[1], payload)


def test_maxsize_full_and_empty() -> None:
    queue: PriorityQueue[int] = PriorityQueue(2, name="small")
    queue.put(2)
    assert not queue.full()
    queue.put_nowait(1)
    assert queue.full()
    puts: list[Callable[[], None]] = [
        lambda: queue.put_nowait(3),
        lambda: queue.put(3, timeout=0.001),
        lambda: queue.put(3, False),
    ]
    for put in puts:
        with pytest.raises(standard.Full, match="PriorityQueue 'small' had no room in time"):
            put()
    assert queue.get_nowait() == 1
    assert queue.get(timeout=1) == 2
    for get in (queue.get_nowait, lambda: queue.get(timeout=0.001), lambda: queue.get(False)):
        with pytest.raises(standard.Empty, match="PriorityQueue 'small' had no item in time"):
            get()
    assert queue.empty()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="maxsize"):
        PriorityQueue(-1)
    queue: PriorityQueue[int] = PriorityQueue()
    with pytest.raises(TypeError, match="timeout must be seconds"):
        queue.put(1, True, "soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout must be seconds"):
        queue.get(timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="was not called"):
        unmade(queue).qsize()


def test_an_item_that_does_not_pickle_is_not_put() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    before = left()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        queue.put((1, lambda: 1))
    assert queue.qsize() == 0
    assert left() == before


def test_close_is_of_this_process() -> None:
    queue: PriorityQueue[int] = PriorityQueue(name="done")
    with pytest.raises(AssertionError, match="is not closed"):
        queue.join_thread()
    queue.put(1)
    queue.close()
    queue.close()
    queue.join_thread()
    queue.cancel_join_thread()
    calls: list[Callable[[], object]] = [lambda: queue.put(1), queue.get, queue.empty]
    for call in calls:
        with pytest.raises(ValueError, match="PriorityQueue 'done' is closed in this process"):
            call()


def test_shutdown() -> None:
    queue: PriorityQueue[int] = PriorityQueue()
    queue.put(2)
    queue.put(1)
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(3)
    assert [queue.get(), queue.get()] == [1, 2]
    with pytest.raises(ShutDown):
        queue.get()


def test_shutdown_immediate_gives_up_what_waits() -> None:
    before = left()
    queue: PriorityQueue[Any] = PriorityQueue()
    queue.put((1, np.zeros(100_000)))
    queue.shutdown(immediate=True)
    assert queue.qsize() == 0
    with pytest.raises(ShutDown):
        queue.get()
    del queue
    assert left() == before


def test_statistics_and_repr() -> None:
    queue: PriorityQueue[Any] = PriorityQueue(5, name="jobs")
    queue.put((1, b"x" * 1000))
    now = queue.statistics()
    assert (now.name, now.items, now.maxsize, now.waiting, now.shut_down) == ("jobs", 1, 5, 0, False)
    assert now.bytes > 1000
    assert repr(queue) == "<PriorityQueue 'jobs' 1 of 5 items>"
    queue.shutdown()
    queue.close()
    assert repr(queue) == "<PriorityQueue 'jobs' 1 of 5 items, shut down, closed here>"


def test_memory_comes_back() -> None:
    before = left()
    queue: PriorityQueue[Any] = PriorityQueue()
    for number in range(1000):
        queue.put((number % 7, "x" * (number % 400)))
    drain(queue)
    assert domain().objects() == before[0] + 1
    queue.put((1, queue, procession.Lock()))  # itself in it
    del queue
    assert left() == before


def test_what_an_item_names_lives_as_long_as_it() -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    array, value = procession.shared_array(1000, fill=1), procession.Value("i", 7)
    queue.put((1, array, value))
    del array, value
    gc.collect()
    memory()
    _, array, value = queue.get()
    assert (array.sum(), value.value) == (1000, 7)


def test_a_full_domain_is_an_error_and_loses_nothing() -> None:
    program = """if 1:
        import procession
        queue = procession.PriorityQueue(name="jobs")
        put = 0
        try:
            while True:
                queue.put((-put, b"x" * 10_000))
                put += 1
        except procession.DomainFull as error:
            assert [queue.get()[0] for _ in range(queue.qsize())] == list(range(1 - put, 1))
            raise
    """
    line = error_of(program, PROCESSION_MAX_BYTES="33554432")
    assert line.startswith("DomainFull: no memory for PriorityQueue 'jobs'")


# ---- waiting ---------------------------------------------------------------------------------------


def test_a_getter_waits_for_a_put_and_a_putter_for_room() -> None:
    queue: PriorityQueue[int] = PriorityQueue(1)
    with thread(queue.get) as got:
        until(lambda: queue.statistics().waiting == 1)
        queue.put(5)
        assert got.result() == 5
    queue.put(1)
    with thread(queue.put, 2) as put:
        until(lambda: queue.statistics().waiting == 1)
        assert queue.get() == 1
        put.result()
    assert queue.get() == 2


def test_it_can_be_waited_for_among_others() -> None:
    queue, other = PriorityQueue[int](1), procession.Queue[int]()
    assert procession.wait([queue, other], 0) == []
    with thread(procession.wait, [other, queue]) as found:
        queue.put(1)
        assert found.result() == [queue]
    room = procession.Doorbell(queue, "put")
    assert select.select([queue], [], [])[0] == [queue]
    assert select.select([room], [], [], 0)[0] == []
    queue.get()
    assert select.select([room], [], [])[0] == [room]
    room.close()
    with thread(procession.wait, [queue]) as found:
        queue.shutdown()
        assert found.result() == [queue]
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        queue.fileno()


def test_await() -> None:
    async def main() -> Any:
        queue: PriorityQueue[Any] = PriorityQueue()
        wrapped = aio.wrap(queue)
        getting = asyncio.create_task(wrapped.get())
        await asyncio.sleep(0)
        await wrapped.put((2, "item"))
        return await getting

    assert asyncio.run(main()) == (2, "item")


def test_shutdown_wakes_all() -> None:
    queue: PriorityQueue[int] = PriorityQueue()
    with thread(queue.get) as one, thread(queue.get) as two:
        until(lambda: queue.statistics().waiting == 2)
        queue.shutdown()
        for future in (one, two):
            with pytest.raises(ShutDown):
                future.result()


def interruptible(queue: Any, answers: Any) -> None:
    def handler(*_: object) -> None:
        raise InterruptedError

    signal.signal(signal.SIGUSR1, handler)
    try:
        queue.get()
    except InterruptedError:
        answers.put("interrupted")


def test_a_signal_reaches_a_waiter() -> None:
    queue, answers = PriorityQueue[int](), procession.Queue[str]()
    with child(interruptible, queue, answers) as process:
        until(lambda: queue.statistics().waiting == 1)
        send(process, signal.SIGUSR1)
        assert answers.get() == "interrupted"


# ---- other processes ---------------------------------------------------------------------------------


def put_some(queue: Any, numbers: list[int]) -> None:
    for number in numbers:
        queue.put((number, "x" * (number % 300)))


@pytest.mark.parametrize("method", METHODS)
def test_children_put_and_get(method: str) -> None:
    queue: PriorityQueue[Any] = PriorityQueue()
    with child(put_some, queue, [5, 1, 9], method=method), child(put_some, queue, [4, 2, 8], method=method):
        pass
    assert [number for number, _ in drain(queue)] == [1, 2, 4, 5, 8, 9]


def get_until_end(queue: Any, answers: Any) -> None:
    while True:
        try:
            answers.put(queue.get())
        except ShutDown:
            return


def test_several_consumers_get_each_item_once() -> None:
    queue, answers = PriorityQueue[int](10), procession.Queue[int]()
    with child(get_until_end, queue, answers), child(get_until_end, queue, answers):
        for number in range(2000):
            queue.put(number % 50 * 10_000 + number)
        queue.shutdown()
    got = [answers.get() for _ in range(2000)]
    assert sorted(number % 10_000 for number in got) == list(range(2000))


def put_for_ever(queue: Any, begun: Any, first: int) -> None:
    number = first
    begun.add()
    while True:
        queue.put((random.randrange(100), number))
        number += 1


def get_for_ever(queue: Any, begun: Any) -> None:
    begun.add()
    while True:
        queue.get()


def test_after_kills_it_is_in_order_and_complete() -> None:
    before = left()
    queue: PriorityQueue[Any] = PriorityQueue(500)
    for turn in range(6):
        begun = procession.Atomic()
        first = turn * 1_000_000
        with child(put_for_ever, queue, begun, first) as putter, child(get_for_ever, queue, begun) as getter:
            got: list[Any] = []
            while len(got) < 300:
                got.append(queue.get())
            until(lambda begun=begun: begun.value == 2)  # type: ignore[misc]  # a fork killed at its birth keeps a line for a while
            kill(putter if turn % 2 else getter)
            kill(getter if turn % 2 else putter)
        rest = drain(queue)
        assert [item[0] for item in rest] == sorted(item[0] for item in rest)
        numbers = [item[1] for item in got + rest]
        assert len(set(numbers)) == len(numbers)
    assert queue.qsize() == 0
    del queue, begun
    until(lambda: left() == before)


def test_threads() -> None:
    queue: PriorityQueue[Any] = PriorityQueue(20)
    got: list[Any] = []

    def take() -> None:
        got.extend(queue.get()[1] for _ in range(1000))

    takers = [threading.Thread(target=take) for _ in range(2)]
    for taker in takers:
        taker.start()
    for number in range(2000):
        queue.put((number % 5, number))
    for taker in takers:
        taker.join()
    assert sorted(got) == list(range(2000))
