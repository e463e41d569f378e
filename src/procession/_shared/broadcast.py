"""One read-only copy of a big object for all processes.

    broadcast(obj)  ->  Broadcast: a small handle that travels; .value is the object, its large parts in shared memory

The object is pickled once, into one Buffer, which nobody can write to from then on. Whatever pickles with buffers (numpy,
Arrow) is not copied again: each process unpickles once, with read-only views of that Buffer.
"""

import copyreg
import io
import pickle
import struct
import sys
import weakref
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from procession import _core
from procession._base import stdlib
from procession._base.arguments import label
from procession._base.public import public
from procession._memory.domain import domains
from procession._memory.handle import handles_travel, not_shared
from procession._shared.array import ArrayReducer

__all__ = ["Broadcast", "broadcast"]

T = TypeVar("T")

# head | (begin, length) of each part | the parts: the pickle, and what is beside it; or the bytes alone
_HEAD = struct.Struct("QQ")  # is it a pickle, how many parts
_PART = struct.Struct("QQ")
_ALIGNMENT = 64
_PROTOCOL = 5


@public
class Broadcast(Generic[T]):
    """A handle of an object that ``broadcast()`` has put into shared memory."""

    _buffer: Any  # a sealed _core.Buffer
    _value: T

    def __init__(self) -> None:
        raise TypeError("a Broadcast is made by broadcast(obj)")

    @property
    def value(self) -> T:
        """The object. It is unpickled at the first use in each process, and the same one from then on.

        Raises whatever unpickling raises, at each use.
        """
        try:
            return self._value
        except AttributeError:
            pass
        # Without a lock, which a fork might find locked: of two threads that unpickle at the same time one is too late.
        found: T = self.__dict__.setdefault("_value", _read(self._buffer))
        return found

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        name: str = self._buffer._label
        return name

    @property
    def nbytes(self) -> int:
        """How much shared memory it takes, in bytes."""
        size: int = self._buffer.nbytes
        return size

    def __repr__(self) -> str:
        return f"<Broadcast '{self.name}' {self.nbytes} bytes>"

    def __reduce__(self) -> tuple[Any, ...]:
        if not handles_travel():
            raise not_shared(self)
        return _handle_of, (self._buffer,)


def broadcast(obj: T, *, name: str | None = None) -> Broadcast[T]:
    """Give every process one read-only copy of a big object: what is returned is a small handle, ``handle.value`` the object.

    The handle travels as an argument of a process that is being started and in items of our queues. Arrays of numpy and Arrow in the object, and
    whatever else pickles with protocol-5 buffers, are views of one shared memory: they take no memory in the receivers, and cannot be written to. The rest
    is unpickled once in each process, and is that process's own. ``bytes``, ``bytearray`` and ``memoryview`` arrive as a
    read-only ``memoryview`` of bytes, since a ``bytes`` would be a copy.

    It is what the object was at the call; later changes are not seen. The memory goes when nobody has the handle, the value or a part of it.

    `name`: a label, shown in messages. Raises what pickling raises, NotShared for an object of procession in it, DomainFull if there is no room.

    >>> words = broadcast({"stock": 3})
    >>> words.value
    {'stock': 3}
    """
    label_of = label("broadcast", name)
    if isinstance(obj, (bytes, bytearray, memoryview)):
        return _handle_of(_write(False, [pickle.PickleBuffer(obj).raw()], label_of))
    file = io.BytesIO()
    beside: list[pickle.PickleBuffer] = []
    _Pickler(file, _PROTOCOL, True, beside.append).dump(obj)
    return _handle_of(_write(True, [file.getbuffer(), *(buffer.raw() for buffer in beside)], label_of))


class _Pickler(stdlib.ForkingPickler):
    """What multiprocessing's does; and no array is written into the pickle, where it would be a copy in each process."""

    def reducer_override(self, obj: Any) -> Any:
        numpy: Any = sys.modules.get("numpy")
        if numpy is None or type(obj) is not numpy.ndarray or obj.dtype.hasobject or _has_own_reducer(numpy.ndarray):
            return NotImplemented
        if not obj.flags.forc:
            return obj.copy("C").__reduce_ex__(_PROTOCOL)
        try:
            memoryview(obj).release()
        except ValueError:  # dates, and what has them in it: numpy gives no buffer of them
            return _array_of, (obj.reshape(-1).view("u1"), obj.dtype, obj.shape)
        return NotImplemented


def _has_own_reducer(ndarray: Any) -> bool:
    known = stdlib.own_reducers().get(ndarray)
    former = known.former if isinstance(known, ArrayReducer) else known
    return former is not None or ndarray in copyreg.dispatch_table


def _array_of(flat: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    return flat.view(dtype).reshape(shape)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _write(is_pickle: bool, parts: Sequence[memoryview], name: str) -> Any:
    begin = _aligned(_HEAD.size + len(parts) * _PART.size)
    places = []
    for part in parts:
        places.append((begin, part.nbytes))
        begin += _aligned(part.nbytes)
    buffer: Any = _core.Buffer(domains.current(), begin, name, True, "broadcast")
    with memoryview(buffer) as view:
        _HEAD.pack_into(view, 0, is_pickle, len(parts))
        for number, (place, part) in enumerate(zip(places, parts, strict=True)):
            _PART.pack_into(view, _HEAD.size + number * _PART.size, *place)
            view[place[0] : place[0] + place[1]] = part
    buffer._seal()
    return buffer


def _read(buffer: Any) -> Any:
    view = memoryview(buffer)
    is_pickle, count = _HEAD.unpack_from(view)
    parts = []
    for number in range(count):
        begin, length = _PART.unpack_from(view, _HEAD.size + number * _PART.size)
        parts.append(view[begin : begin + length])
    return pickle.loads(parts[0], buffers=parts[1:]) if is_pickle else parts[0]


# One handle for each in a process, so that it is unpickled once.
_known: weakref.WeakValueDictionary[tuple[bytes, tuple[int, int]], Broadcast[Any]] = weakref.WeakValueDictionary()


def _handle_of(buffer: Any) -> Broadcast[Any]:
    key = buffer._domain.uuid, buffer._handle
    handle = _known.get(key)
    if handle is None:
        handle = Broadcast.__new__(Broadcast)
        handle._buffer = buffer
        handle = _known.setdefault(key, handle)
    return handle
