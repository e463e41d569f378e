"""iceoryx2 as its documentation says to use it: samples loaned from the publisher's memory, and a listener to sleep on.

Nothing may be dropped: no overflow, a publisher that waits for room, and sends again what it has given up. A subscriber that finds nothing gives its CPU away
(the tight loop was slower on few CPUs) or, with events, sleeps in the listener. Its nodes do not survive a fork: each
process makes its own.
"""

import ctypes
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import iceoryx2
import numpy as np

from benchmarks.team import PATIENCE

iceoryx2.set_log_level(iceoryx2.LogLevel.Error)

BUFFER = 8  # samples that wait; 2 to 128 made no difference
EndT = TypeVar("EndT")
_numbers = itertools.count()


class Service:
    """A publish-subscribe service with one publisher and one subscriber; it ends with the processes that have opened it."""

    def __init__(self, payload: Any, borrowed: int = 2) -> None:
        self.name = f"bench/{os.getpid()}/{next(_numbers)}"
        self.payload = payload
        self.borrowed = borrowed
        self.ends: list[Any] = []  # of this process, as long as it lives

    def keep(self, end: EndT) -> EndT:
        """What a publisher has sent goes with it."""
        self.ends.append(end)
        return end

    def builder(self) -> Any:
        node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
        return node.service_builder(iceoryx2.ServiceName.new(self.name))

    def open(self) -> Any:
        return (
            self.builder()
            .publish_subscribe(self.payload)
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(BUFFER)
            .subscriber_max_borrowed_samples(self.borrowed)
            .history_size(0)
            .max_publishers(1)
            .max_subscribers(1)
            .open_or_create()
        )

    def publisher(self, service: Any, most: int = 0) -> Any:
        """Once there is somebody to publish to."""
        builder = service.publisher_builder().max_loaned_samples(2)
        builder = builder.backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
        publisher = (builder.initial_max_slice_len(most) if most else builder).create()
        _wait_for(lambda: service.dynamic_config.number_of_subscribers > 0)
        return publisher

    def subscriber(self, service: Any) -> Any:
        return service.subscriber_builder().buffer_size(BUFFER).create()


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the other side has not come")
        time.sleep(0.001)


View = Callable[[Any, int], Any]  # what is made of a sample of so many bytes


def documented(sample: Any, _size: int) -> Any:
    """An array over a sample, by what the package offers."""
    return np.frombuffer(sample.payload().as_memory_view(), np.uint8)


def by_pointer(sample: Any, size: int) -> Any:
    """The same by hand, past the wrappers: what somebody writes who has measured them."""
    return np.frombuffer(_array_type(size).from_address(sample.payload_ptr), np.uint8)


def bare(sample: Any, _size: int) -> Any:
    """Only the sample: neither end can read or write it."""
    return sample


def _array_type(size: int, _types: dict[int, Any] = {}) -> Any:  # noqa: B006 -- ctypes forgets array types
    if size not in _types:
        _types[size] = ctypes.c_uint8 * size
    return _types[size]


class Loans(Service):
    """Each `put` loans a sample of `size` bytes, makes an array of it and sends it; `get` makes an array of what has come."""

    def __init__(self, size: int, view: View) -> None:
        super().__init__(iceoryx2.Slice[ctypes.c_uint8])
        self.size = size
        self.view = view

    def put_end(self) -> "LoansOut":
        return self.keep(LoansOut(self))

    def get_end(self, _consumer: int, /) -> "LoansIn":
        return self.keep(LoansIn(self))


class LoansOut:
    def __init__(self, loans: Loans) -> None:
        self.service = loans.open()
        self.publisher = loans.publisher(self.service, most=loans.size)
        loan, size, view = self.publisher.loan_slice_uninit, loans.size, loans.view

        def put(_item: object) -> None:
            delivered = 0
            while not delivered:  # when a subscriber does not run for a while, the publisher gives up
                sample = loan(size)
                view(sample, size)
                delivered = sample.assume_init().send()

        self.put = put


class LoansIn:
    def __init__(self, loans: Loans) -> None:
        self.service = loans.open()
        self.subscriber = loans.subscriber(self.service)
        receive, size, view = self.subscriber.receive, loans.size, loans.view
        give_way = os.sched_yield

        def get() -> Any:
            while (sample := receive()) is None:
                give_way()
            return sample, view(sample, size)

        self.get = get


class Numbers(Service):
    """Small messages, one 64-bit number each, with an event for each: the receiver sleeps in the listener."""

    def __init__(self) -> None:
        super().__init__(ctypes.c_int64)

    def open_event(self) -> Any:
        return self.builder().event().open_or_create()

    def put_end(self) -> "NumbersOut":
        return self.keep(NumbersOut(self))

    def get_end(self, _consumer: int, /) -> "NumbersIn":
        return self.keep(NumbersIn(self))


class NumbersOut:
    def __init__(self, numbers: Numbers) -> None:
        self.service, self.event = numbers.open(), numbers.open_event()
        self.publisher = numbers.publisher(self.service)
        self.notifier = self.event.notifier_builder().create()
        send_copy, notify, number = self.publisher.send_copy, self.notifier.notify, ctypes.c_int64

        def put(item: int) -> None:
            while not send_copy(number(item)):
                pass
            notify()

        self.put = put


class NumbersIn:
    def __init__(self, numbers: Numbers) -> None:
        self.service, self.event = numbers.open(), numbers.open_event()
        self.listener = self.event.listener_builder().create()
        self.subscriber = numbers.subscriber(self.service)
        receive, wait = self.subscriber.receive, self.listener.blocking_wait

        def get() -> int:
            while (sample := receive()) is None:
                wait()
            number: int = sample.payload().contents.value
            return number

        self.get = get
