"""A task as it travels to a worker: a function, how it is applied, and to what.

A tuple of plain values wherever that is possible, because the queue has a form of its own for those, ten times faster than
pickle. So a function that has a name is sent as the pickle of its name, which a worker reads once::

    (how | BY_NAME, b"...", args, None | ((keyword, value), ...))      or      (how, function, args, ...)
"""

import pickle
from collections.abc import Callable, Mapping
from itertools import starmap
from types import FunctionType, ModuleType
from typing import Any

__all__ = ["EACH", "ONCE", "STAR", "Call", "Packed", "call", "is_plain", "pack", "perform"]

ONCE, EACH, STAR = 0, 1, 2  # function(*args, **kwargs); function(arg) for each; function(*args) for each
BY_NAME = 4

Packed = tuple[int, Any]
Call = tuple[int, Any, Any, tuple[tuple[str, Any], ...] | None]

PLAIN = frozenset({bool, bytes, float, int, str, type(None)})


def pack(function: Callable[..., Any]) -> Packed:
    """Make a function ready for any number of tasks."""
    # Whatever has a state of its own (a bound method, a partial) is pickled with each task, as it is then.
    kind = type(function)
    if kind is FunctionType or kind is type or isinstance(getattr(function, "__self__", None), ModuleType):
        try:
            return BY_NAME, pickle.dumps(function, 5)
        except Exception:  # noqa: BLE001 - it may have a reducer of its own; if it has not, putting the task raises this again
            pass
    return 0, function


def call(how: int, packed: Packed, args: Any, kwargs: Mapping[str, Any] | None = None) -> Call:
    """Return a task."""
    if type(args) is list:
        args = tuple(args)
    return how | packed[0], packed[1], args, tuple(kwargs.items()) if kwargs else None


def perform(task: Call, known: dict[bytes, Callable[..., Any]]) -> Any:
    """Do it; `known`: functions that this worker has met by name."""
    how, function, args, kwargs = task
    if how & BY_NAME:
        name = function
        function = known.get(name)
        if function is None:
            function = known[name] = pickle.loads(name)
        how &= ~BY_NAME
    if how == ONCE:
        return function(*args, **dict(kwargs)) if kwargs else function(*args)
    return tuple(map(function, args) if how == EACH else starmap(function, args))


def is_plain(value: object) -> bool:
    """Return whether it surely travels without a pickle."""
    kind = type(value)
    return kind in PLAIN or (kind is tuple and PLAIN.issuperset(map(type, value)))  # type: ignore[call-overload]
