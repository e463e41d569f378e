"""How an object of a domain is named when it is sent to another process.

In an item of a queue of the same domain it is (domain, offset, generation), and the queue's
record keeps the object alive on the way. In the arguments of a process that is being started, by
us or by the standard library, the domain's descriptor travels too, and the object is kept alive
by a slot of the process table that was reserved for the child.
"""

import os
import threading
import weakref
from collections import deque
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

from procession import _core
from procession._base import stdlib
from procession._base.errors import NotShared, StaleHandle
from procession._memory.domain import domains, open_visited

__all__ = ["connections_in", "handles_travel", "not_shared", "pickle_item", "reduce_shared"]

DEPTH = 6  # process -> args -> object -> attributes -> list -> connection
MOST_LOOKED_AT = 2000
FOREIGN = 8  # slot flag: started by the standard library
# Attributes that do not travel: what Queue[Job]() remembers of its type, for Job may be of a kind that cannot be pickled;
# what this process listens with, and which ends of a queue it has closed.
STAYS = {"__orig_class__", "_bell", "_room_bell", "_closed_ends"}


class _Carriage(threading.local):
    """What is being pickled in this thread, if an item of a queue is."""

    domain: _core.Domain | None = None
    objects: dict[int, _core.Shared] | None = None  # by offset


class _Starts:
    """For each process that is being started: one descriptor and one slot for each domain."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Any, dict[bytes, tuple[Any, int, int]]] = weakref.WeakKeyDictionary()

    def passage(self, popen: Any, domain: _core.Domain) -> tuple[Any, int, int]:
        """(descriptor, slot, generation): the same for all handles, since a start passes a
        descriptor once only.
        """
        known = self._known.setdefault(popen, {})
        if domain.uuid not in known:
            reserved = getattr(popen, "procession_slot", None)
            default = domains.default
            if reserved is None or default is None or default.uuid != domain.uuid:
                reserved = domain.reserve_slot("", FOREIGN)
                # It goes when the start has failed or the child was reaped.
                weakref.finalize(popen, _release, os.getpid(), domain, *reserved).atexit = False
            known[domain.uuid] = (stdlib.DupFd(domain.fd), *reserved)
        return known[domain.uuid]


def _release(pid: int, domain: _core.Domain, slot: int, generation: int) -> None:
    if os.getpid() == pid:  # a forked child forgets its parent's children: no reason to bury them
        domain.release_slot(slot, generation)


_carriage = _Carriage()
_starts = _Starts()


def pickle_item(pickler: stdlib.ForkingPickler, obj: object, domain: _core.Domain) -> dict[int, _core.Shared]:
    """Pickle an item for a queue of `domain`; return, by offset, the shared objects that it names."""
    before = _carriage.domain, _carriage.objects
    objects: dict[int, _core.Shared] = {}
    _carriage.domain, _carriage.objects = domain, objects
    try:
        pickler.dump(obj)
    finally:
        _carriage.domain, _carriage.objects = before
    return objects


def handles_travel() -> bool:
    """Is something pickled just now that may name objects of a domain: an item, or a new process's arguments?"""
    return _carriage.objects is not None or stdlib.spawning_popen() is not None


def not_shared(obj: object) -> NotShared:
    """What is raised if something that must not be copied is pickled for nobody."""
    return NotShared(
        f"{obj!r} can be sent to another process only as an argument of a process that "
        "is being started, or inside an item of a procession queue, a message of its Pipe or a value of "
        "its SharedDict; here it was pickled by something else"
    )


def reduce_shared(shared: _core.Shared) -> tuple[Any, ...]:
    """What ``__reduce__`` of a shared object returns. Raises NotShared elsewhere than above.

    Attributes travel as with any object, by ``__getstate__`` and ``__setstate__`` if there are such.
    """
    domain = shared._domain
    offset, generation = shared._handle
    cls = type(shared)
    if _carriage.objects is not None and _carriage.domain is not None:
        if _carriage.domain.uuid == domain.uuid:
            for part in shared._parts:
                _carriage.objects[part] = shared
            where: tuple[Any, ...] = (None, None, 0)
        else:
            where = ((os.getpid(), domain.fd), None, 0)
    else:
        popen = stdlib.spawning_popen()
        if popen is None:
            raise not_shared(shared)
        where = _starts.passage(popen, domain)
        shared._hold_for(where[1])
    return _rebuild, (cls, domain.uuid, offset, generation, *where), _state_of(shared)


def connections_in(process: object) -> list[_core.Connection]:
    """The open connections that a process which is about to be forked gets for its use: what a spawned one would get pickled.

    Looked for are its arguments, the object whose method it runs, its own attributes, and what these have in containers and
    attributes, a few steps deep and among so many things at most. What it inherits otherwise it uses when it uses it.
    """
    found: list[_core.Connection] = []
    seen: set[int] = set()
    next_ones: list[object] = [vars(process)]
    for _ in range(DEPTH):
        ones, next_ones = next_ones, []
        for one in ones:
            if len(seen) >= MOST_LOOKED_AT:
                return found
            if id(one) in seen:
                continue
            seen.add(id(one))
            room = max(0, MOST_LOOKED_AT - len(next_ones))
            if isinstance(one, _core.Connection):
                if not one.closed:
                    found.append(one)
            elif isinstance(one, dict):
                next_ones += islice(one.values(), room)
            elif isinstance(one, tuple | list | set | frozenset | deque):
                next_ones += islice(one, room)
            elif isinstance(one, MethodType):
                next_ones.append(one.__self__)
            elif not isinstance(one, ModuleType | type | FunctionType) and isinstance(
                attributes := getattr(one, "__dict__", None), dict
            ):
                next_ones.append(attributes)
    return found


def _state_of(shared: _core.Shared) -> object:
    state = shared.__getstate__()
    if isinstance(state, dict):
        state = {name: value for name, value in state.items() if name not in STAYS}
    return state or None


def _rebuild(
    cls: type[_core.Shared],
    uuid: bytes,
    offset: int,
    generation: int,
    passage: Any,
    slot: int | None,
    slot_generation: int,
) -> _core.Shared:
    domain = domains.get(uuid)
    if domain is None:
        domain = domains.attach(uuid, _open(passage, cls, uuid), slot, slot_generation)
    return cls._attach(domain, offset, generation)


def _open(passage: Any, cls: type[_core.Shared], uuid: bytes) -> int:
    if passage is None:
        raise StaleHandle(f"the domain of this {cls.__name__} is not attached to this process (pid {os.getpid()})")
    if not isinstance(passage, tuple):
        return int(passage.detach())  # passed once for all handles, and only the first one opens it
    pid, fd = passage
    gone = f"the {cls.__name__} belongs to process {pid}, which is gone or not ours to look into"
    try:
        opened = open_visited(pid, fd)
    except OSError as error:
        raise StaleHandle(gone) from error
    identity = _core.Domain.identify(opened)
    if identity is None or identity[0] != uuid:  # the pid is another's by now
        os.close(opened)
        raise StaleHandle(gone)
    return opened


# It has no Python class of its own that could say so: arrays, values and named blocks hold one.
stdlib.own_reducers()[_core.Buffer] = reduce_shared
