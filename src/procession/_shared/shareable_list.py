"""A list of fixed length in a SharedMemory: what ``multiprocessing.shared_memory.ShareableList`` has.

    count | word, offset, capacity of each item ... | two places of `capacity` bytes for each item ...

The word of an item says what it is, how long, and in which of its two places it stands. A new value is written into
the other place, and the word is the one store that makes it valid: whoever is killed before it has changed nothing.
"""

import struct
from collections.abc import Iterable, Iterator
from types import GenericAlias
from typing import Any

from procession._base.public import public_in
from procession._shared.shared_memory import SharedMemory

__all__ = ["ShareableList"]

_COUNT = struct.Struct("Q")
_ENTRY = struct.Struct("QQQ")
# The word: length << 32 | sequence << 8 | kind << 1 | place
_INT, _FLOAT = struct.Struct("q"), struct.Struct("d")
_KINDS = (int, float, bool, str, bytes, type(None))
# As multiprocessing has them: what struct would take to pack the item.
_FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): "xxxxxx?x"}
_ALIGNMENT = 8
_SEQUENCES = 1 << 24


def _capacity(kind: int, encoded: bytes) -> int:
    """Bytes for an item: as multiprocessing has it, which counts the characters of a text, but never too few."""
    if _KINDS[kind] not in {str, bytes}:
        return _ALIGNMENT
    characters = len(_decode(_KINDS[kind], encoded))
    return max(_ALIGNMENT * (characters // _ALIGNMENT + 1), -(-len(encoded) // _ALIGNMENT) * _ALIGNMENT)


@public_in("procession.shared_memory")
class ShareableList:
    """A list in shared memory whose length is fixed: the drop-in for ``multiprocessing.shared_memory.ShareableList``.

    `sequence`: its items: int of 64 bits, float, bool, str, bytes, None. `name`: of the SharedMemory, which is its attribute ``shm``; without `sequence`
    the list of that name is opened. An item may be replaced by one of another type, text and bytes by such that need no more room.

    A replacement is one step: others see the old item or the new one, also if who does it is killed. Two that replace the same item
    at once need a lock. Text and bytes come back as they were, with zeros at their end.

    Raises TypeError for other types, OverflowError for larger integers, IndexError, ValueError for text and bytes that need
    more room than there is. What SharedMemory raises, too.

    >>> shared = ShareableList(["howdy", 100, None])
    >>> shared[1] += 1
    >>> list(ShareableList(name=shared.shm.name))
    ['howdy', 101, None]
    >>> shared.shm.unlink()
    """

    shm: SharedMemory
    _length: int

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        if name is not None and sequence is None:
            self._open(SharedMemory(name))
        else:
            self._make([_encode(item) for item in sequence or ()], name)

    def _open(self, shm: SharedMemory) -> None:
        self.shm = shm
        (self._length,) = _COUNT.unpack_from(shm.buf)

    def _make(self, items: list[tuple[int, bytes]], name: str | None) -> None:
        head = _COUNT.size + len(items) * _ENTRY.size
        capacities = [_capacity(kind, encoded) for kind, encoded in items]
        self.shm = SharedMemory(name, create=True, size=head + 2 * sum(capacities))
        self._length = len(items)
        offset = head
        for position, ((kind, encoded), capacity) in enumerate(zip(items, capacities, strict=True)):
            self.shm.buf[offset : offset + len(encoded)] = encoded
            word = len(encoded) << 32 | kind << 1
            _ENTRY.pack_into(self.shm.buf, _COUNT.size + position * _ENTRY.size, word, offset, capacity)
            offset += 2 * capacity
        _COUNT.pack_into(self.shm.buf, 0, self._length)

    def _entry(self, position: int, message: str) -> tuple[int, int, int, int]:
        """(where its word stands, the word, where its first place is, bytes of each)."""
        if not -self._length <= position < self._length:
            raise IndexError(message)
        at = _COUNT.size + position % self._length * _ENTRY.size
        return at, *_ENTRY.unpack_from(self.shm.buf, at)

    # A memoryview of 8-byte words reads and writes one in one go; struct.pack_into writes zeros first.

    def __getitem__(self, position: int) -> Any:
        at, word, offset, capacity = self._entry(position, "index out of range")
        buf = self.shm.buf
        while True:
            begin = offset + (word & 1) * capacity
            encoded = buf[begin : begin + (word >> 32)].tobytes()
            now = buf.cast("Q")[at // 8]
            if now == word:
                return _decode(_KINDS[word >> 1 & 127], encoded)
            word = now  # it was replaced meanwhile, perhaps twice

    def __setitem__(self, position: int, value: Any) -> None:
        at, word, offset, capacity = self._entry(position, "assignment index out of range")
        kind, encoded = _encode(value)
        if len(encoded) > capacity:
            raise ValueError(
                f"bytes/str item exceeds available storage: {len(encoded)} bytes, and there are {capacity}"
            )
        place = ~word & 1
        begin = offset + place * capacity
        buf = self.shm.buf
        buf[begin : begin + len(encoded)] = encoded
        sequence = ((word >> 8) + 1) % _SEQUENCES
        buf.cast("Q")[at // 8] = len(encoded) << 32 | sequence << 8 | kind << 1 | place  # COMMIT

    def __iter__(self) -> Iterator[Any]:
        for position in range(self._length):
            yield self[position]

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _over, (type(self), self.shm)

    def _get_packing_format(self, position: int) -> str:
        _, word, _, capacity = self._entry(position, "Requested position out of range.")
        return _FORMATS.get(_KINDS[word >> 1 & 127], f"{capacity}s")

    @property
    def format(self) -> str:
        """What ``struct`` would take to pack all items."""
        return "".join(map(self._get_packing_format, range(self._length)))

    def count(self, value: Any) -> int:
        """How many items equal `value`."""
        return sum(value == item for item in self)

    def index(self, value: Any) -> int:
        """Where the first one stands that equals `value`; ValueError if there is none."""
        for position in range(self._length):
            if value == self[position]:
                return position
        raise ValueError(f"{value!r} not in this container")

    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
        return GenericAlias(cls, item)


def _over(cls: type[ShareableList], shm: SharedMemory) -> ShareableList:
    shareable = cls.__new__(cls)
    shareable._open(shm)
    return shareable


def _encode(value: Any) -> tuple[int, bytes]:
    kind = type(value)
    if kind not in _KINDS:
        kind = next((base for base in (str, bytes) if isinstance(value, base)), kind)
    if kind is int:
        try:
            encoded = _INT.pack(value)
        except struct.error:
            raise OverflowError(f"an integer of a ShareableList has 64 bits: {value} does not fit") from None
    elif kind is float:
        encoded = _FLOAT.pack(value)
    elif kind is bool:
        encoded = bytes([value])
    elif kind is str:
        encoded = value.encode()
    elif kind is bytes:
        encoded = bytes(value)
    elif value is None:
        encoded = b""
    else:
        raise TypeError(f"a ShareableList holds int, float, bool, str, bytes and None, not {kind.__name__}")
    return _KINDS.index(kind), encoded


def _decode(kind: type, encoded: bytes) -> Any:
    if kind is int:
        return _INT.unpack(encoded)[0]
    if kind is float:
        return _FLOAT.unpack(encoded)[0]
    if kind is bool:
        return encoded != b"\0"
    if kind is str:
        return encoded.decode()
    return encoded if kind is bytes else None
