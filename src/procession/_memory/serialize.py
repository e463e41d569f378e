"""How items of queues that are not plain values become bytes."""

import io
import pickle

from procession import _core
from procession._base import stdlib
from procession._memory.handle import pickle_item

__all__ = ["dumps"]

PROTOCOL = 5


def dumps(
    obj: object, domain: _core.Domain
) -> tuple[memoryview, dict[int, _core.Shared], list[pickle.PickleBuffer], bool]:
    """Pickle `obj` for a queue of `domain`; also the shared objects in it, the buffers that travel beside, and
    whether it unpickles once only, because a file descriptor is sent along.

    Whatever ``multiprocessing`` can send, this can, and reducers registered there count here.
    Raises what pickling raises, in the caller.
    """
    file = io.BytesIO()
    beside: list[pickle.PickleBuffer] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        if not _core.goes_beside(buffer):
            return True
        beside.append(buffer)
        return False

    pickler = stdlib.ForkingPickler(file, PROTOCOL, True, stays_inside)  # it takes no names
    sent = stdlib.descriptors_sent()
    objects = pickle_item(pickler, obj, domain)
    once = stdlib.descriptors_sent() != sent and stdlib.carries_descriptor(pickler)
    return file.getbuffer(), objects, beside, once


_core._use_serializer(dumps, pickle.loads)
