"""How items of queues that are not plain values become bytes."""

import io
import pickle

from procession import _core
from procession._base import stdlib
from procession._memory.handle import collect_handles

__all__ = ["dumps"]

PROTOCOL = 5


def dumps(obj: object, domain: _core.Domain) -> tuple[memoryview, tuple[int, ...], bool]:
    """Pickle `obj` for a queue of `domain`; also the offsets of the shared objects in it, and whether it unpickles
    once only, because a file descriptor is sent along.

    Whatever ``multiprocessing`` can send, this can, and reducers registered there count here.
    Raises what pickling raises, in the caller.
    """
    buffer = io.BytesIO()
    pickler = stdlib.ForkingPickler(buffer, PROTOCOL)
    sent = stdlib.descriptors_sent()
    with collect_handles(domain) as offsets:
        pickler.dump(obj)
    once = stdlib.descriptors_sent() != sent and stdlib.carries_descriptor(pickler)
    return buffer.getbuffer(), tuple(offsets), once


_core._use_serializer(dumps, pickle.loads)
