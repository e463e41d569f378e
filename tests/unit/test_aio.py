"""procession.aio: awaited, without a thread for each wait, and with nothing left behind by whoever gives up."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

import procession
from procession import aio
from tests.helpers import child, held_elsewhere, kill, until

core = pytest.mark.core

R = TypeVar("R")


def run(main: Coroutine[Any, Any, R]) -> R:
    """Run it, and see that the loop watches nothing of ours at the end."""

    async def checked() -> R:
        loop: Any = asyncio.get_running_loop()
        before = len(loop._selector.get_map())
        result = await main
        await asyncio.sleep(0)
        assert len(loop._selector.get_map()) == before
        return result

    return asyncio.run(checked())


async def awaiting(*tasks: asyncio.Task[Any]) -> None:
    """Let the tasks come to their await."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


def send(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)
    queue.shutdown()


# ---- queues


@core
def test_items_of_another_process_come_in_their_order() -> None:
    queue = procession.Queue[int]()

    async def main() -> list[int]:
        with child(send, queue, 1000):
            return [item async for item in aio.wrap(queue)]

    assert run(main()) == list(range(1000))


def test_what_is_there_is_taken_at_once() -> None:
    queue = procession.Queue[int]()
    queue.put(1)
    assert run(aio.wrap(queue).get()) == 1


def test_get_many() -> None:
    queue = procession.Queue[int]()

    async def main() -> list[int]:
        task = asyncio.create_task(aio.wrap(queue).get_many(10))
        await awaiting(task)
        queue.put_many([1, 2, 3])
        return await task

    assert run(main()) == [1, 2, 3]


def test_first_come_first_served() -> None:
    queue = procession.Queue[int]()

    async def main() -> list[int]:
        wrapped = aio.wrap(queue)
        tasks = [asyncio.create_task(wrapped.get()) for _ in range(5)]
        await awaiting(*tasks)
        queue.put_many(range(5))
        return await asyncio.gather(*tasks)

    assert run(main()) == list(range(5))


@core
def test_put_waits_for_room() -> None:
    queue = procession.Queue[int](2)

    async def main() -> list[int]:
        wrapped = aio.wrap(queue)

        async def put_all() -> None:
            for number in range(100):
                await wrapped.put(number)

        task = asyncio.create_task(put_all())
        got = [await wrapped.get() for _ in range(100)]
        await task
        return got

    assert run(main()) == list(range(100))


def test_put_of_much_waits_until_there_is_room_for_it_without_spinning() -> None:
    queue = procession.Queue[bytes](max_bytes=10_000)
    queue.put(bytes(4000))
    queue.put(bytes(4000))

    async def main() -> float:
        task = asyncio.create_task(aio.wrap(queue).put(bytes(8000)))
        await awaiting(task)
        before = time.process_time()
        await asyncio.sleep(0.3)
        used = time.process_time() - before
        assert not task.done()
        queue.get()
        await awaiting(task)
        queue.get()
        await task
        return used

    assert run(main()) < 0.2
    assert len(queue.get()) == 8000


def test_shutdown_ends_a_get() -> None:
    queue = procession.Queue[int]()

    async def main() -> None:
        task = asyncio.create_task(aio.wrap(queue).get())
        await awaiting(task)
        queue.shutdown()
        with pytest.raises(procession.ShutDown):
            await task

    run(main())


@core
def test_join_waits_for_what_is_unfinished() -> None:
    queue = procession.JoinableQueue[int]()
    queue.put_many([1, 2])

    async def main() -> None:
        wrapped = aio.wrap(queue)
        task = asyncio.create_task(wrapped.join())
        for _ in range(2):
            await awaiting(task)
            await wrapped.get()
            await awaiting(task)
            wrapped.task_done()
        await task
        await wrapped.join()

    run(main())


def test_join_does_not_miss_an_end_that_a_put_followed() -> None:
    queue = procession.JoinableQueue[int]()
    queue.put(1)

    async def main() -> None:
        task = asyncio.create_task(aio.wrap(queue).join())
        await awaiting(task)
        queue.get()
        queue.task_done()
        queue.put(2)
        await task

    run(main())
    queue.get()
    queue.task_done()


# ---- giving up


@pytest.mark.parametrize("moment", ["asleep", "woken"])
def test_cancelled_get_takes_nothing(moment: str) -> None:
    queue = procession.Queue[int]()

    async def main() -> None:
        wrapped = aio.wrap(queue)
        task = asyncio.create_task(wrapped.get())
        await awaiting(task)
        if moment == "woken":
            queue.put(1)
            wrapped._getting._rung()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if moment == "asleep":
            queue.put(1)

    run(main())
    assert queue.get_nowait() == 1


def test_wake_of_a_cancelled_get_goes_to_the_next() -> None:
    queue = procession.Queue[int]()

    async def main() -> int:
        wrapped = aio.wrap(queue)
        first, second = asyncio.create_task(wrapped.get()), asyncio.create_task(wrapped.get())
        await awaiting(first, second)
        queue.put(1)
        wrapped._getting._rung()
        first.cancel()
        return await second

    assert run(main()) == 1


def test_timeout_of_asyncio() -> None:
    queue = procession.Queue[int]()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await aio.wrap(queue).get()

    run(main())
    assert queue.statistics().waiting == 0


def test_nothing_is_lost_or_doubled_when_many_are_cancelled_at_random() -> None:
    queue, count = procession.Queue[int](), 2000

    async def main() -> list[int]:
        wrapped, got = aio.wrap(queue), list[int]()

        async def consume(patience: float) -> None:
            while len(got) < count:
                try:
                    async with asyncio.timeout(patience):
                        got.append(await wrapped.get())
                except TimeoutError:
                    pass

        with child(send_slowly, queue, count):
            await asyncio.gather(*[consume(0.0001 * (n + 1)) for n in range(5)])
        return got

    assert sorted(run(main())) == list(range(count))
    assert queue.empty()


def send_slowly(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)
        if number % 50 == 0:
            time.sleep(0.001)


# ---- the others


@core
def test_lock_keeps_tasks_and_processes_apart() -> None:
    lock, counter = procession.Lock(), procession.Queue[int]()
    counter.put(0)

    def count_there() -> None:
        for _ in range(200):
            with lock:
                counter.put(counter.get() + 1)

    async def main() -> None:
        wrapped = aio.wrap(lock)

        async def count_here() -> None:
            for _ in range(50):
                async with wrapped:
                    number = counter.get()
                    await asyncio.sleep(0)
                    counter.put(number + 1)

        with child(count_there):
            await asyncio.gather(*[count_here() for _ in range(4)])

    run(main())
    assert counter.get() == 400


@core
@pytest.mark.filterwarnings("ignore::procession.OwnerDiedWarning")
@pytest.mark.parametrize("kind", [procession.Lock, procession.Mutex])
def test_lock_of_a_killed_owner_comes_back(kind: Any) -> None:
    lock = kind()

    async def main(owner: Any) -> Any:
        task = asyncio.create_task(aio.wrap(lock).acquire())
        await awaiting(task)
        kill(owner)
        return await task

    with held_elsewhere(lock) as owner:
        assert run(main(owner)) is True
    lock.release()


@pytest.mark.parametrize("theirs", [False, True])
def test_process_is_joined(theirs: bool) -> None:
    queue = procession.Queue[int]()
    kind: Any = multiprocessing.get_context("fork").Process if theirs else procession.Process
    process = kind(target=queue.get)

    async def main() -> Any:
        process.start()
        wrapped = aio.wrap(process)
        tasks = [asyncio.create_task(wrapped.wait()), asyncio.create_task(aio.wrap(process).wait())]
        await awaiting(*tasks)
        queue.put(1)
        return await asyncio.gather(*tasks)

    assert run(main()) == [0, 0]
    process.close()


class OneEvent:
    """What an Event looks like to aio: is_set, and something to wait for."""

    def __init__(self) -> None:
        self.queue = procession.Queue[int]()

    def is_set(self) -> bool:
        return not self.queue.empty()

    def _waits_on(self, want: str) -> Any:
        return ((self.queue, 1),)


def test_event_wakes_all() -> None:
    event = OneEvent()

    async def main() -> Any:
        wrapped = aio.wrap(event)
        tasks = [asyncio.create_task(wrapped.wait()) for _ in range(3)]
        await awaiting(*tasks)
        event.queue.put(1)
        return await asyncio.gather(*tasks)

    assert run(main()) == [True] * 3


@core
def test_event_that_is_cleared_again_was_heard() -> None:
    event = procession.Event()

    async def main() -> None:
        task = asyncio.create_task(aio.wrap(event).wait())
        await awaiting(task)
        event.set()
        event.clear()
        assert await task is True

    run(main())


@core
def test_semaphore_lets_so_many_in() -> None:
    permits = procession.Semaphore(2)
    inside: list[int] = []

    async def main() -> int:
        wrapped, most = aio.wrap(permits), 0

        async def enter(number: int) -> None:
            nonlocal most
            async with wrapped:
                inside.append(number)
                most = max(most, len(inside))
                await asyncio.sleep(0)
                inside.remove(number)

        await asyncio.gather(*[enter(number) for number in range(10)])
        return most

    assert run(main()) == 2


def test_wait_for_one_of_several() -> None:
    queue, lock = procession.Queue[int](), procession.Lock()
    lock.acquire()

    async def main() -> list[Any]:
        task = asyncio.create_task(aio.wait([queue, lock]))
        await awaiting(task)
        lock.release()
        return await task

    assert run(main()) == [lock]
    assert run(aio.wait([])) == []


@pytest.mark.parametrize("wrong", [procession.RLock, object, int])
def test_what_cannot_be_awaited_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        aio.wrap(wrong())


@pytest.mark.parametrize(
    "make",
    [
        lambda: procession.FileLock("/nowhere/lock"),
        lambda: procession.Value("i"),
        procession.Condition,
        multiprocessing.Queue,
        multiprocessing.Event,
        multiprocessing.Lock,
        threading.Lock,
    ],
)
def test_what_could_not_wake_a_task_is_refused_at_once_and_not_when_it_first_has_to_wait(make: Any) -> None:
    with pytest.raises(TypeError, match="queues, locks, semaphores and events of procession"):
        aio.wrap(make())


def test_one_thread_for_all_waits() -> None:
    queues = [procession.Queue[int]() for _ in range(50)]

    async def main() -> int:
        tasks = [asyncio.create_task(aio.wrap(queue).get()) for queue in queues]
        await awaiting(*tasks)
        threads = len(os.listdir("/proc/self/task"))
        for number, queue in enumerate(queues):
            queue.put(number)
        assert await asyncio.gather(*tasks) == list(range(50))
        return threads

    before = len(os.listdir("/proc/self/task"))  # numpy's among them, if another test imported it
    assert run(main()) <= before + 2  # the bells', and a janitor that is going


def test_wrapper_goes_on_in_the_next_loop() -> None:
    queue = procession.Queue[int]()
    wrapped = aio.wrap(queue)

    async def main() -> int:
        task = asyncio.create_task(wrapped.get())
        await awaiting(task)
        queue.put(1)
        return await task

    assert run(main()) == 1
    assert run(main()) == 1


def test_wrapper_awaited_in_two_loops_is_refused() -> None:
    queue = procession.Queue[int]()
    wrapped = aio.wrap(queue)
    refused: list[BaseException] = []

    def other() -> None:
        try:
            asyncio.run(wrapped.get())
        except RuntimeError as error:
            refused.append(error)

    async def main() -> None:
        task = asyncio.create_task(wrapped.get())
        await awaiting(task)
        thread = threading.Thread(target=other)
        thread.start()
        await asyncio.to_thread(thread.join)
        queue.put(1)
        await task

    run(main())
    assert "another event loop" in str(refused[0])


def test_wait_of_a_task_is_seen() -> None:
    queue = procession.Queue[int]()

    async def main() -> None:
        task = asyncio.create_task(aio.wrap(queue).get())
        await awaiting(task)
        assert queue.statistics().waiting == 1
        queue.put(1)
        await task

    run(main())
    until(lambda: queue.statistics().waiting == 0)
