"""ctypes objects in shared memory, with and without a lock: what ``multiprocessing.sharedctypes`` has.

    Value("i", 7)  ->  Synchronized: a c_int over a Buffer of the domain, and an RLock

The bytes stand in a shared Buffer, as those of arrays do, and are found by their address: an object that lies in one (an
element of an Array of structures as well) is sent as (Buffer, place, type). A small one costs one cell of the domain.
"""

import ctypes
import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, overload

from procession import _core
from procession._base import stdlib
from procession._base.arguments import label
from procession._base.public import public_in
from procession._memory.domain import domains
from procession._memory.handle import handles_travel, not_shared
from procession._shared import array as array  # tells the core and the pickler how Buffers and arrays travel
from procession._sync.locks import RLock

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "synchronized",
]

T = TypeVar("T")


class AnyLock(Protocol):
    """Whatever has these two."""

    def acquire(self) -> Any: ...
    def release(self) -> Any: ...


typecode_to_type: dict[str, type[Any]] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


# ---- making -----------------------------------------------------------------------------


def _type_of(typecode_or_type: Any) -> Any:
    kind: Any = typecode_to_type.get(typecode_or_type) if isinstance(typecode_or_type, str) else typecode_or_type
    try:
        ctypes.sizeof(kind)
    except TypeError:
        raise TypeError(
            f"typecode_or_type must be a ctypes type or one of {' '.join(typecode_to_type)}, not {typecode_or_type!r}"
        ) from None
    return kind


class _Wrapper:
    """Whose bytes an object has. It bears the name and has the method that the standard library's pickler looks for,
    in case that was told of the same type after ours.
    """

    def __init__(self, buffer: _core.Buffer) -> None:
        self.buffer = buffer

    def create_memoryview(self) -> memoryview:
        return memoryview(self.buffer)  # type: ignore[arg-type,unused-ignore]  # the protocol has no name before 3.12


def _over(kind: Any, buffer: Any, at: int) -> Any:
    obj = kind.from_buffer(buffer, at)
    if at == 0:
        obj._wrapper = _Wrapper(buffer)
    _register(kind)
    return obj


def _new(kind: Any, what: str, name: str | None) -> Any:
    size = ctypes.sizeof(kind)
    form = "" if name is None else _form(kind, what)
    buffer = _core.Buffer(domains.current(), max(size, 1), label(what, name), True, what, form)
    obj = _over(kind, buffer, 0)
    ctypes.memset(ctypes.addressof(obj), 0, size)
    return obj


def _form(kind: Any, what: str) -> str:
    """For a program that finds it by its name: the arguments of ``found()``. "": a type that the other may not have."""
    kind, lengths = _shape_of(kind)
    is_known = issubclass(kind, ctypes._SimpleCData) and getattr(ctypes, kind.__name__, None) is kind
    return ascii((what, kind.__name__, lengths)) if is_known and kind is not ctypes.py_object else ""


def found(buffer: _core.Buffer, type_name: str, lengths: tuple[int, ...], lock: AnyLock | None) -> Any:
    """Return what another program made in this Buffer, by the form that stands there; `lock`: its own, None: it has none."""
    obj = _rebuild(getattr(ctypes, type_name), lengths, buffer, 0)
    return obj if lock is None else synchronized(obj, lock)


def _raw_value(what: str, name: str | None, typecode_or_type: Any, args: tuple[Any, ...]) -> Any:
    obj = _new(_type_of(typecode_or_type), what, name)
    obj.__init__(*args)
    return obj


def _raw_array(what: str, name: str | None, typecode_or_type: Any, size_or_initializer: Any) -> Any:
    kind = _type_of(typecode_or_type)
    try:
        length = operator.index(size_or_initializer)
    except TypeError:
        pass
    else:
        if length < 0:
            raise ValueError(f"the size of an array must be 0 or more, not {length}")
        return _new(kind * length, what, name)
    try:
        length = len(size_or_initializer)
    except TypeError:
        kind_of = type(size_or_initializer).__name__
        raise TypeError(f"size_or_initializer must be an integer or a sequence, not {kind_of}") from None
    obj = _new(kind * length, what, name)
    obj.__init__(*size_or_initializer)
    return obj


@overload
def RawValue(typecode_or_type: type[T], *args: Any, name: str | None = None) -> T: ...
@overload
def RawValue(typecode_or_type: str, *args: Any, name: str | None = None) -> Any: ...
def RawValue(typecode_or_type: Any, *args: Any, name: str | None = None) -> Any:
    """A ctypes object in shared memory, without a lock: see ``procession.RawValue``."""
    return _raw_value("RawValue", name, typecode_or_type, args)


def RawArray(
    typecode_or_type: str | type[Any], size_or_initializer: int | Sequence[Any], *, name: str | None = None
) -> Any:
    """A ctypes array in shared memory, without a lock: see ``procession.RawArray``."""
    return _raw_array("RawArray", name, typecode_or_type, size_or_initializer)


@overload
def Value(
    typecode_or_type: type[T], *args: Any, lock: Literal[False], ctx: Any = None, name: str | None = None
) -> T: ...
@overload
def Value(
    typecode_or_type: str | type[Any],
    *args: Any,
    lock: bool | AnyLock | None = True,
    ctx: Any = None,
    name: str | None = None,
) -> Any: ...
def Value(
    typecode_or_type: Any,
    *args: Any,
    lock: bool | AnyLock | None = True,
    ctx: Any = None,
    name: str | None = None,
) -> Any:
    """A ctypes object in shared memory and its lock: see ``procession.Value``.

    `ctx`: where a lock that is not given comes from, by ``ctx.RLock()``.
    """
    _check(lock)
    what = "RawValue" if lock is False and name is not None else "Value"  # as which it is found by its name
    return _locked(_raw_value(what, name, typecode_or_type, args), lock, ctx)


def Array(
    typecode_or_type: str | type[Any],
    size_or_initializer: int | Sequence[Any],
    *,
    lock: bool | AnyLock | None = True,
    ctx: Any = None,
    name: str | None = None,
) -> Any:
    """A ctypes array in shared memory and its lock: see ``procession.Array``.

    `ctx`: where a lock that is not given comes from, by ``ctx.RLock()``.
    """
    _check(lock)
    what = "RawArray" if lock is False and name is not None else "Array"
    return _locked(_raw_array(what, name, typecode_or_type, size_or_initializer), lock, ctx)


def _check(lock: Any) -> None:
    if lock not in (True, False, None) and not (hasattr(lock, "acquire") and hasattr(lock, "release")):
        # As multiprocessing has it: an AttributeError.
        raise AttributeError(f"lock must be True, False or have acquire() and release(), as {lock!r} has not")


def _locked(obj: Any, lock: Any, ctx: Any) -> Any:
    if lock is False:
        return obj
    return synchronized(obj, None if lock is True else lock, ctx)


def copy(obj: T) -> T:
    """A new object in shared memory, without a lock, with the bytes of `obj`, which may be any ctypes object."""
    kind = _type_of(type(obj))
    new: T = _new(kind, "copy", None)
    ctypes.memmove(ctypes.addressof(new), ctypes.addressof(obj), ctypes.sizeof(kind))  # type: ignore[arg-type]
    return new


def synchronized(obj: Any, lock: AnyLock | None = None, ctx: Any = None) -> Any:
    """`obj` behind a lock: a Synchronized, SynchronizedArray, SynchronizedString, or for a structure a class with its fields.

    `lock`: None: a new RLock, of `ctx` if that is given.
    """
    if isinstance(obj, SynchronizedBase):
        raise AssertionError(f"{obj!r} is synchronized already")
    wrapper = getattr(obj, "_wrapper", None)
    buffer = wrapper.buffer if isinstance(wrapper, _Wrapper) else None
    is_own = lock is None
    if lock is None:
        lock = RLock(name=None if buffer is None else buffer._label) if ctx is None else ctx.RLock()
    if is_own and isinstance(lock, _core.Shared):
        lock._be_part()
    if buffer is not None and not buffer._set_mate(lock):
        buffer._be_part()  # who found it by its name would use it without its lock
    return _class_for(obj)(obj, lock)


# ---- how they travel ----------------------------------------------------------------------


class _Reducer:
    """How multiprocessing's pickler, which also makes our items, treats objects of one type from now on."""

    def __init__(self, former: Callable[[Any], Any] | None) -> None:
        self._former = former  # the standard library's, if it knew the type before

    def __call__(self, obj: Any) -> Any:
        wrapper = getattr(obj, "_wrapper", None)
        found = (wrapper.buffer, 0) if isinstance(wrapper, _Wrapper) else _core.find_shared(obj)
        if found is None:
            return self._former(obj) if self._former is not None else obj.__reduce_ex__(2)
        if not handles_travel():
            raise not_shared(obj)
        return _rebuild, (*_shape_of(type(obj)), *found)


def _register(kind: Any) -> None:
    known = stdlib.own_reducers()
    former = known.get(kind)
    if not isinstance(former, _Reducer):
        known[kind] = _Reducer(former)
    if issubclass(kind, ctypes.Array) and issubclass(kind._type_, (ctypes.Structure, ctypes.Union, ctypes.Array)):
        _register(kind._type_)  # an element of it can be sent alone


def _shape_of(kind: Any) -> tuple[Any, tuple[int, ...]]:
    """The type with a name, and the lengths of the arrays around it, which have none."""
    lengths = []
    while _is_made_by_product(kind):
        lengths.append(kind._length_)
        kind = kind._type_
    return kind, tuple(lengths)


def _is_made_by_product(kind: Any) -> bool:
    return issubclass(kind, ctypes.Array) and kind is kind._type_ * kind._length_  # ctypes makes each once


def _rebuild(kind: Any, lengths: tuple[int, ...], buffer: Any, at: int) -> Any:
    for length in reversed(lengths):
        kind = kind * length
    return _over(kind, buffer, at)


# ---- behind a lock ------------------------------------------------------------------------


@public_in("procession.sharedctypes")
class SynchronizedBase(_core.Guarded, Generic[T]):
    """An object and its lock. ``with v:`` takes the lock, as ``with v.get_lock():`` does."""

    def __init__(self, obj: T, lock: AnyLock | None = None, ctx: Any = None) -> None:
        if lock is None:
            lock = RLock() if ctx is None else ctx.RLock()
        super().__init__(obj, lock)

    def __reduce__(self) -> tuple[Any, ...]:
        if not handles_travel():
            raise not_shared(self)
        _register(type(self._obj))  # the standard library may have told the pickler of the type since
        return synchronized, (self._obj, self._lock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self._obj}>"


@public_in("procession.sharedctypes")
class Synchronized(SynchronizedBase[T]):
    """A number: ``value`` is read and written under the lock. ``v.value += 1`` is a read and a write: ``with v:`` around it."""

    value: Any = _core.GuardedAttribute("value")


@public_in("procession.sharedctypes")
class SynchronizedArray(SynchronizedBase[T]):
    """An array: each access to an element or a slice is under the lock."""

    if TYPE_CHECKING:

        def __getitem__(self, i: Any, /) -> Any: ...
        def __setitem__(self, i: Any, value: Any, /) -> None: ...

    else:
        __getitem__ = _core.Guarded._get_item
        __setitem__ = _core.Guarded._set_item

    def __len__(self) -> int:
        return len(self._obj)

    def __iter__(self) -> Iterator[Any]:
        for i in range(len(self)):
            yield self[i]


@public_in("procession.sharedctypes")
class SynchronizedString(SynchronizedArray[T]):
    """An array of ``c_char``: ``value`` ends at the first NUL, ``raw`` is all of it."""

    value: Any = _core.GuardedAttribute("value")
    raw: Any = _core.GuardedAttribute("raw")


_classes: weakref.WeakKeyDictionary[Any, type[SynchronizedBase[Any]]] = weakref.WeakKeyDictionary()


def _class_for(obj: Any) -> type[SynchronizedBase[Any]]:
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized
    if isinstance(obj, ctypes.Array):
        return SynchronizedString if obj._type_ is ctypes.c_char else SynchronizedArray
    kind = type(obj)
    known = _classes.get(kind)
    if known is None:
        fields = [field[0] for base in reversed(kind.__mro__) for field in vars(base).get("_fields_", ())]
        if not fields:
            raise TypeError(f"synchronized() takes a ctypes number, array, structure or union, not {kind.__name__}")
        members = {name: _core.GuardedAttribute(name) for name in fields}
        known = _classes[kind] = type("Synchronized" + kind.__name__, (SynchronizedBase,), members)
    return known
