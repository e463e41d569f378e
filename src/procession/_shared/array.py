"""Arrays in shared memory: made in place, sent without a copy.

    shared_array((480, 640), "u1")  ->  an ordinary numpy.ndarray over a Buffer of the domain

Such an array is known by its address: whatever array lies in a Buffer made here (a slice, a transposed view, another
dtype on the same bytes) is sent as a view of that Buffer. Everywhere else than in an item of a queue or in the
arguments of a process that is being started, it pickles as numpy has it: by its content.
"""

from __future__ import annotations

import copyreg
import math
import operator
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from procession import _core
from procession._base import stdlib
from procession._base.arguments import LARGEST, label
from procession._memory.domain import domains
from procession._memory.handle import handles_travel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    S = TypeVar("S", bound=np.generic)

__all__ = ["shared_array"]


@overload
def shared_array(
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: type[S] | np.dtype[S],
    *,
    fill: Any = 0,
    name: str | None = None,
) -> np.ndarray[Any, np.dtype[S]]: ...
@overload
def shared_array(
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: npt.DTypeLike = ...,
    *,
    fill: Any = 0,
    name: str | None = None,
) -> np.ndarray[Any, np.dtype[Any]]: ...
def shared_array(
    shape: SupportsIndex | Sequence[SupportsIndex],
    dtype: Any = float,
    *,
    fill: Any = 0,
    name: str | None = None,
) -> Any:
    """Make a ``numpy.ndarray`` in shared memory: whoever receives it, or a view of it, sees the same bytes.

    It travels in items of queues and as an argument of a process that is being started; all who have it
    read and write the same memory, and nobody locks it for them. It lives as long as anybody has it.

    `fill`: what is in it at first, anything that ``array[...] = fill`` takes; 0: zeros, as ``numpy.zeros`` has
    them; None: whatever the memory held before, which is the fastest. `name`: a label, shown in errors, and by which
    another program finds it (``attach``).

    Raises TypeError for a dtype with Python objects in it, ValueError for a shape that cannot be, DomainFull if
    it is larger than what is left of the domain, ImportError where numpy is not installed.

    >>> array = shared_array((2, 3), "i4", fill=7)
    >>> array[0] = 1
    >>> array.tolist()
    [[1, 1, 1], [7, 7, 7]]
    """
    numpy: Any = sys.modules.get("numpy") or _import_numpy()
    kind = numpy.dtype(dtype)
    if kind.hasobject:
        raise TypeError(
            f"dtype {kind} holds Python objects, which mean nothing in another process; "
            "shared_array() takes numbers, fixed-size text and bytes, dates, and structures of these"
        )
    if kind.itemsize == 0:
        kind = numpy.empty(1, kind).dtype  # "S" and "U" are one character then, as numpy.empty has it
    # Called for each item of a stream, so the common cases come first.
    dimensions = (shape,) if type(shape) is int and shape >= 0 else _dimensions(shape)
    nbytes = math.prod(dimensions) * kind.itemsize
    # One byte at least; a size that no number of C can hold is refused as any other that is too large.
    size = nbytes if 0 < nbytes <= LARGEST else min(max(nbytes, 1), LARGEST)
    form = "" if name is None else _form(dimensions, kind)
    buffer = _core.Buffer(
        domains.default or domains.current(), size, label("shared_array", name), True, "shared_array", form
    )
    array = numpy.ndarray(dimensions, kind, buffer)
    if type(fill) is int and fill == 0:
        numpy.ndarray(nbytes, numpy.uint8, buffer).fill(0)
    elif fill is not None:
        array[...] = fill
    return array


def _form(dimensions: tuple[int, ...], kind: Any) -> str:
    """For a program that finds the array by its name: the arguments of ``found_array()``. "": it shall not be found."""
    if kind.names and not _is_told(kind):
        return ""  # a structure whose fields overlap, which `descr` does not tell
    return ascii(("shared_array", dimensions, kind.descr if kind.names else kind.str))


def _is_told(kind: Any) -> bool:
    numpy: Any = sys.modules["numpy"]
    try:
        return bool(numpy.dtype(kind.descr) == kind)
    except (TypeError, ValueError):
        return False


def found_array(buffer: _core.Buffer, dimensions: tuple[int, ...], kind: Any) -> Any:
    """Return the array that another program made in this Buffer, by the form that stands there."""
    numpy: Any = sys.modules.get("numpy") or _import_numpy()
    return numpy.ndarray(dimensions, numpy.dtype(kind), buffer)


def _import_numpy() -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - it is optional, and slow to import
    except ImportError as error:
        raise ImportError(
            "shared_array() makes numpy arrays, and numpy cannot be imported: pip install numpy",
            name="numpy",
        ) from error
    return np


def _dimensions(shape: Any) -> tuple[int, ...]:
    dimensions: tuple[int, ...]
    try:
        dimensions = (operator.index(shape),)
    except TypeError:
        try:
            dimensions = tuple(map(operator.index, shape))
        except TypeError:
            raise TypeError(f"shape must be an integer or a sequence of integers, not {shape!r}") from None
    if any(length < 0 for length in dimensions):
        raise ValueError(f"shape must have no negative dimension, as {shape!r} has")
    return dimensions


def _view(buffer: Any, at: int, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], writable: bool) -> Any:
    """Receive an array: the same memory, the same place and steps in it."""
    import numpy as np  # noqa: PLC0415 - only who receives an array needs it

    _core.teach_arrays()  # it may have come after the buffer
    array = np.ndarray(shape, dtype, buffer, at, strides)
    if not writable:
        array.flags.writeable = False
    return array


class _ByContent:
    """An array on its way into a pickle whose protocol only the pickler knows, and tells here."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        array = self._array
        if operator.index(protocol) >= 5 and not array.flags.forc and not array.dtype.hasobject:
            # numpy would write it into the pickle: more copies than this one, whose bytes travel beside it.
            array = array.copy("C")
        return array.__reduce_ex__(protocol)


class ArrayReducer:
    """How multiprocessing's pickler, which also makes our items, treats arrays from now on."""

    def __init__(self, former: Any) -> None:
        self.former = former  # what the program had registered itself

    def __call__(self, array: Any) -> Any:
        found = _core.find_shared(array) if handles_travel() else None
        if found is not None:
            buffer, at = found
            return _view, (buffer, at, array.dtype, array.shape, array.strides, array.flags.writeable)
        if self.former is not None:
            return self.former(array)
        # A function that returns what it is given, and that a receiver without procession has as well.
        return operator.getitem, ((_ByContent(array),), 0)


def _teach_pickler() -> ArrayReducer | None:
    """Register the reducer. The core calls it once, as soon as this process has a shared Buffer and numpy.

    Returns the one for arrays, if all it does to arrays of others is what the core does by itself.
    """
    numpy = sys.modules["numpy"]
    known = stdlib.own_reducers()
    former = known.get(numpy.ndarray, copyreg.dispatch_table.get(numpy.ndarray))
    reducer = ArrayReducer(former)
    known[numpy.ndarray] = reducer
    return None if former else reducer


_core._use_arrays(_teach_pickler, stdlib.own_reducers())
