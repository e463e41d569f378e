"""The four names by which ctypes objects in shared memory are made; ctypes is imported by the first use of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    from procession._shared.sharedctypes import AnyLock

__all__ = ["Array", "RawArray", "RawValue", "Value"]

T = TypeVar("T")


@overload
def Value(typecode_or_type: type[T], *args: Any, lock: Literal[False], name: str | None = None) -> T: ...
@overload
def Value(
    typecode_or_type: str | type[Any], *args: Any, lock: bool | AnyLock | None = True, name: str | None = None
) -> Any: ...
def Value(typecode_or_type: Any, *args: Any, lock: bool | AnyLock | None = True, name: str | None = None) -> Any:
    """Make a ctypes object in shared memory, and a lock for it: the drop-in for ``multiprocessing.Value``.

    `typecode_or_type`: a ctypes type, structures included, or a letter as of the module ``array`` (and ``c``). `args`: what
    that type is called with. `lock`: True: a new RLock; False: none, then it is what ``RawValue`` makes; or any object with
    ``acquire()`` and ``release()``. `name`: a label, shown in messages, also of the lock.

    Each access to ``value`` (of a structure: to each field) is under the lock, and ``with v:`` takes it for longer.
    ``v.value += 1`` is two accesses. It travels as an argument of a process that is being started and in items of our queues, and
    lives as long as anybody has it; whoever is killed holding its lock leaves it to the next.

    Raises TypeError for a type that cannot be, AttributeError for a `lock` that is none (as ``multiprocessing`` does),
    DomainFull if there is no room; NotShared where it is pickled for nobody in particular.

    >>> counter = Value("i", 40, name="counter")
    >>> with counter:
    ...     counter.value += 2
    >>> counter.value
    42
    """
    from procession._shared import sharedctypes  # noqa: PLC0415 - imports ctypes

    return sharedctypes.Value(typecode_or_type, *args, lock=lock, name=name)


def Array(
    typecode_or_type: str | type[Any],
    size_or_initializer: int | Sequence[Any],
    *,
    lock: bool | AnyLock | None = True,
    name: str | None = None,
) -> Any:
    """Make a ctypes array in shared memory, and a lock for it: the drop-in for ``multiprocessing.Array``.

    `size_or_initializer`: how many elements, all 0 at first, or a sequence of what they shall be. The rest as for ``Value``. Each access to
    an element or a slice is under the lock. Of ``c`` (``ctypes.c_char``) it has ``value`` and ``raw`` too.

    >>> squares = Array("d", [0, 1, 4, 9])
    >>> squares[1:3]
    [1.0, 4.0]
    >>> len(squares)
    4
    """
    from procession._shared import sharedctypes  # noqa: PLC0415 - imports ctypes

    return sharedctypes.Array(typecode_or_type, size_or_initializer, lock=lock, name=name)


@overload
def RawValue(typecode_or_type: type[T], *args: Any, name: str | None = None) -> T: ...
@overload
def RawValue(typecode_or_type: str, *args: Any, name: str | None = None) -> Any: ...
def RawValue(typecode_or_type: Any, *args: Any, name: str | None = None) -> Any:
    """Make a ctypes object in shared memory, which nothing locks: the drop-in for ``multiprocessing.RawValue``.

    It is an object of that type and nothing more. The arguments are those of ``Value``.

    >>> RawValue("d", 0.5)
    c_double(0.5)
    """
    from procession._shared import sharedctypes  # noqa: PLC0415 - imports ctypes

    return sharedctypes.RawValue(typecode_or_type, *args, name=name)


def RawArray(
    typecode_or_type: str | type[Any], size_or_initializer: int | Sequence[Any], *, name: str | None = None
) -> Any:
    """Make a ctypes array in shared memory, which nothing locks: the drop-in for ``multiprocessing.RawArray``.

    The arguments are those of ``Array``. ``numpy.frombuffer(array)`` sees the same bytes.

    >>> list(RawArray("h", 3))
    [0, 0, 0]
    """
    from procession._shared import sharedctypes  # noqa: PLC0415 - imports ctypes

    return sharedctypes.RawArray(typecode_or_type, size_or_initializer, name=name)
