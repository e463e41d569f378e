"""A dict that several processes share: a hash table in shared memory, without a server process.

Each call is one step under a lock of its own; who is killed in one leaves what was there, or what shall be there. A
value is a copy: ``shared[key].append(1)`` changes the copy, as with ``Manager().dict()``.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, Protocol, TypeVar

from procession import _core
from procession._base.arguments import label
from procession._base.public import public
from procession._base.statistics import DictStatistics
from procession._memory import serialize as serialize  # gives the core its pickler
from procession._memory.domain import domains
from procession._memory.handle import reduce_shared

__all__ = ["SharedDict"]

K = TypeVar("K")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
T = TypeVar("T")

KEYS, VALUES, ITEMS = range(3)
CHUNK = 256  # items that are read under the lock at a time


class _HasKeys(Protocol[K, V_co]):
    def keys(self) -> Iterable[K]: ...
    def __getitem__(self, key: K, /) -> V_co: ...


@public
class SharedDict(_core.Dict, MutableMapping[K, V]):
    """A dict in shared memory, for any number of processes: insertion-ordered, with all that a dict can do.

    Keys are str, bytes, int, float, bool, None and tuples of these, and equal as in a dict: ``1 == 1.0 == True``.
    Values are whatever a queue takes; shared objects stay alive as long as a value names them. It grows and shrinks by
    itself, up to what the domain may have; then DomainFull is raised, and nothing has changed.

    Beyond a dict: ``add(key, n)`` and ``compare_and_set(key, old, new)``, each in one step.

    `initial`: a mapping, or pairs, that is put in at first. `name`: a label, shown everywhere.

    >>> stock = SharedDict({"apple": 3}, name="stock")
    >>> stock.add("apple", 2)
    5
    >>> stock["pear"] = 1
    >>> stock.copy()
    {'apple': 5, 'pear': 1}
    """

    def __init__(
        self,
        initial: _HasKeys[K, V] | Iterable[tuple[K, V]] = (),
        /,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(domains.current(), label("SharedDict", name))
        self.update(initial)

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /, *, name: str | None = None) -> SharedDict[Any, Any]:
        """Make one with these keys, all with the same value."""
        return cls(((key, value) for key in keys), name=name)

    @property
    def name(self) -> str:
        """The label given to it; it need not be unique."""
        return self._label or ""

    def _read(self, what: int) -> Iterator[Any]:
        cursor, more = (0, 0, 0), True
        while more:
            chunk, *cursor, more = self._scan(what, CHUNK, *cursor)  # type: ignore[assignment]
            yield from chunk

    def _read_at_once(self, what: int) -> list[Any]:
        return self._scan(what, 0, 0, 0, 0)[0]

    def __iter__(self) -> Iterator[K]:
        """The keys, as ``keys()`` gives them."""
        return self._read(KEYS)

    def __reversed__(self) -> Iterator[K]:
        """The keys of one instant, the last inserted first."""
        return iter(self._read_at_once(KEYS)[::-1])

    def keys(self) -> KeysView[K]:
        """A view of the keys. An iteration over it, or over ``values()`` or ``items()``, never fails because others
        change the dict meanwhile: each item is one that was there, and what is there all the time comes exactly once.
        """
        return _Keys(self)

    def values(self) -> ValuesView[V]:
        """A view of the values; as ``keys()``."""
        return _Values(self)

    def items(self) -> ItemsView[K, V]:
        """A view of the pairs; as ``keys()``."""
        return _Items(self)

    def copy(self) -> dict[K, V]:
        """A plain dict with the items of one instant."""
        return dict(self._read_at_once(ITEMS))

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        """A plain dict with the items of both."""
        return {**self.copy(), **_plain(other)} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        """A plain dict with the items of both."""
        return {**_plain(other), **self.copy()} if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: _HasKeys[K, V] | Iterable[tuple[K, V]]) -> SharedDict[K, V]:  # type: ignore[misc]
        """``update()``: each item by itself."""
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        """Does it have the items of another mapping, in any order, at one instant?"""
        if isinstance(other, SharedDict) and self._handle == other._handle and self._domain is other._domain:
            return True  # this one, which may be in itself
        return self.copy() == _plain(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def statistics(self) -> DictStatistics:
        """Items, bytes and waiters at this instant."""
        items, used, table, rebuilds, waiting, recoveries, pid = self._look()
        return DictStatistics(
            name=self.name,
            items=items,
            bytes=used,
            table_bytes=table,
            rebuilds=rebuilds,
            waiting=waiting,
            recoveries=recoveries,
            busy_pid=pid or None,
        )

    def __repr__(self) -> str:
        now = self.statistics()
        notes = [f"{now.waiting} waiting"] if now.waiting else []
        notes += [f"pid {now.busy_pid} inside of a call"] if now.busy_pid else []
        return f"<{type(self).__name__} '{now.name}' {', '.join([f'{now.items} items', *notes])}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_shared(self)


def _plain(other: Mapping[Any, Any]) -> dict[Any, Any]:
    return other.copy() if isinstance(other, SharedDict) else dict(other)


# What collections.abc has in these reads the dict key by key, and would miss what is removed meanwhile.


class _Keys(KeysView[K]):
    _mapping: SharedDict[K, Any]

    def __reversed__(self) -> Iterator[K]:
        return self._mapping.__reversed__()


class _Values(ValuesView[V]):
    _mapping: SharedDict[Any, V]

    def __iter__(self) -> Iterator[V]:
        return self._mapping._read(VALUES)

    def __contains__(self, value: object) -> bool:
        return any(v is value or v == value for v in self)

    def __reversed__(self) -> Iterator[V]:
        return iter(self._mapping._read_at_once(VALUES)[::-1])


class _Items(ItemsView[K, V]):
    _mapping: SharedDict[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._read(ITEMS)

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return iter(self._mapping._read_at_once(ITEMS)[::-1])
