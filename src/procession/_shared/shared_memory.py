"""Blocks of shared memory that are found by name: what ``multiprocessing.shared_memory`` has.

    SharedMemory(create=True, size=n)  ->  a named Buffer of the domain

A name is one of the program's, not of the machine's: there is no file, and it ends with the program. Whoever is killed
takes the names that it made along, if nobody has them open.
"""

import contextlib
import errno
import secrets
from collections.abc import Callable
from typing import Any

from procession import _core
from procession._base.arguments import integer
from procession._base.public import public_in
from procession._memory.domain import domains
from procession._memory.handle import handles_travel
from procession._shared import array as array  # tells the core and the pickler how Buffers and arrays travel

__all__ = ["SharedMemory"]

PREFIX = "psm_"
LONGEST = 47  # bytes of a name


@public_in("procession.shared_memory")
class SharedMemory:
    """A block of shared memory with a name: the drop-in for ``multiprocessing.shared_memory.SharedMemory``.

    `create`: make one of `size` bytes, all 0, named `name` or, if that is None, by a name that nobody has. Else: open the one of that
    name; `size` is of no account then. `track` (of 3.13) is of none: there is no tracker.

    A process of the same program finds it by its name. The name keeps the block, whoever closes it, until ``unlink()``, at most to the
    end of the program. If the process that made it is killed or ends with an exit code other than 0, it goes with the last that has it open.

    Raises FileExistsError if there is one of that name, FileNotFoundError if there is none in this program, ValueError
    for a size or name that cannot be, DomainFull if there is no room.

    >>> block = SharedMemory(create=True, size=5)
    >>> block.buf[:] = b"bytes"
    >>> bytes(SharedMemory(block.name).buf)
    b'bytes'
    >>> block.unlink()
    """

    _buffer: Any  # a _core.Buffer; None: closed
    _buf: memoryview | None
    _domain: _core.Domain
    _handle: tuple[int, int]
    _name: str
    _size: int

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True) -> None:  # noqa: ARG002
        size = integer(size, "size")
        if size < 0:
            raise ValueError("'size' must be a positive integer")
        if create and size == 0:
            raise ValueError("'size' must be a positive number different from zero")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, not {type(name).__name__}")
        self._open(_create(name, size) if create else _find(str(name)))

    def _open(self, buffer: Any) -> None:
        self._buffer = buffer
        self._buf = memoryview(buffer)
        self._domain, self._handle = buffer._domain, buffer._handle
        self._name, self._size = buffer._label, buffer.nbytes

    @property
    def name(self) -> str:
        """By which another process opens it."""
        return self._name

    @property
    def size(self) -> int:
        """In bytes."""
        return self._size

    @property
    def buf(self) -> memoryview:
        """Its bytes; None after ``close()``."""
        return self._buf  # type: ignore[return-value]  # typed as in the standard library

    def close(self) -> None:
        """This object is done with it, and ``buf`` is None. May be called twice. What still stands on its bytes, an array for
        instance, keeps them: there is no BufferError, as the standard library would raise.
        """
        if self._buf is not None:
            with contextlib.suppress(BufferError):
                self._buf.release()
        self._buf = self._buffer = None

    def unlink(self) -> None:
        """Take the name away, for all: the block goes with the last process that has it open. May be called by anybody, once.

        Raises FileNotFoundError if it has no name any more.
        """
        if not _core.Buffer._unlink(self._domain, *self._handle):
            raise FileNotFoundError(errno.ENOENT, "it was unlinked already", self._name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, size={self._size})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._buffer is not None and handles_travel():
            return _over, (type(self), self._buffer)
        return type(self), (self._name,)


def _create(name: str | None, size: int) -> _core.Buffer:
    if name is not None and not 0 < len(name.encode()) <= LONGEST:
        raise ValueError(f"name must have 1 to {LONGEST} bytes in UTF-8, not {len(name.encode())}")
    while True:
        chosen = PREFIX + secrets.token_hex(4) if name is None else name
        buffer = _core.Buffer(domains.current(), size, chosen, True, "SharedMemory")
        buffer._clear()
        try:
            buffer._publish()
        except FileExistsError as error:
            if name is not None:
                raise FileExistsError(errno.EEXIST, str(error), name) from None
        else:
            return buffer


# Where else to look for a name; a layer above says it.
elsewhere: Callable[[str], _core.Buffer | None] = lambda _: None  # noqa: E731


def _find(name: str) -> _core.Buffer:
    for domain in domains.all():
        buffer = _core.Buffer._find(domain, name)
        if buffer is not None:
            return buffer
    buffer = elsewhere(name)
    if buffer is not None:
        return buffer
    where = "this program" if domains.all() else "this process, which has no object of procession"
    raise FileNotFoundError(
        errno.ENOENT,
        f"no SharedMemory has that name in {where}: it was unlinked, who made it was killed, or it is another "
        "program's or multiprocessing's",
        name,
    )


def _over(cls: type[SharedMemory], buffer: Any) -> SharedMemory:
    memory = cls.__new__(cls)
    memory._open(buffer)
    return memory
