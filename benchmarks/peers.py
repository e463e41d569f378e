"""Whom we are compared with: ways for objects from producers to consumers, each as its manual says to use it."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import faster_fifo
import zmq

import procession
from benchmarks.team import FORK

OURS = "procession.Queue"
MP_QUEUE = "multiprocessing.Queue"
MP_SIMPLE_QUEUE = "multiprocessing.SimpleQueue"
FASTER_FIFO = "faster-fifo"
PYZMQ = "pyzmq"
ICEORYX2 = "iceoryx2"


class Channel(Protocol):
    """Inherited by the processes. Each calls for its end there, because a zmq socket does not survive a fork."""

    def put_end(self) -> Any:
        """An object with `put`."""

    def get_end(self, consumer: int, /) -> Any:
        """An object with `get`."""


class SharedQueue:
    """A queue that is the same for all who inherit it."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def put_end(self) -> Any:
        return self.queue

    def get_end(self, _consumer: int, /) -> Any:
        return self.queue


class _Socket:
    def __init__(self, kind: int) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.set_hwm(0)  # unbounded, as the others: and then PUSH deals in strict turns
        self.put = self.socket.send_pyobj
        self.get = self.socket.recv_pyobj


class PushPull:
    """Each producer pushes to all consumers in turn, without a broker between them."""

    def __init__(self, folder: str, consumers: int) -> None:
        self.addresses = [f"ipc://{folder}/{consumer}" for consumer in range(consumers)]

    def put_end(self) -> _Socket:
        end = _Socket(zmq.PUSH)
        for address in self.addresses:
            end.socket.connect(address)
        return end

    def get_end(self, consumer: int) -> _Socket:
        end = _Socket(zmq.PULL)
        end.socket.bind(self.addresses[consumer])
        return end


Opener = Callable[[int], AbstractContextManager[Channel]]  # for so many consumers


def shared(make: Callable[[], Any]) -> Opener:
    return lambda _consumers: contextlib.nullcontext(SharedQueue(make()))


@contextlib.contextmanager
def _push_pull(consumers: int) -> Iterator[Channel]:
    with tempfile.TemporaryDirectory(prefix=f"bench-{os.getpid()}-") as folder:
        yield PushPull(folder, consumers)


CHANNELS: dict[str, Opener] = {
    OURS: shared(procession.Queue),
    MP_QUEUE: shared(FORK.Queue),
    MP_SIMPLE_QUEUE: shared(FORK.SimpleQueue),
    FASTER_FIFO: shared(faster_fifo.Queue),
    PYZMQ: _push_pull,
}
