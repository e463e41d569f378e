"""Classes of ours under the names that ``multiprocessing.queues`` and ``multiprocessing.synchronize`` give to theirs.

Programs use those names for three things: to ask ``isinstance``, to call them with ``ctx=``, which ours do not need, and
to derive from them. A stand-in serves all three.
"""

from typing import Any

__all__ = ["stand_in"]


class _StandIn(type):
    """The class of stand-ins, and of what is derived from one, which has nothing special."""

    _ours: type
    _theirs: type

    def __call__(cls, *args: Any, ctx: object = None, **kwargs: Any) -> Any:
        if "_ours" in cls.__dict__:
            return cls._ours(*args, **kwargs)
        return super().__call__(*args, **kwargs) if ctx is None else super().__call__(*args, ctx=ctx, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        if "_ours" in cls.__dict__ and isinstance(instance, (cls._ours, cls._theirs)):
            return True
        return super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        if "_ours" in cls.__dict__ and issubclass(subclass, (cls._ours, cls._theirs)):
            return True
        return super().__subclasscheck__(subclass)


def stand_in(ours: type, theirs: type, *, base: type | None = None) -> Any:
    """Return a class that makes objects of `ours` and takes those of `theirs` for its own.

    `base`: what is derived from it is derived from this; None: from `ours`. Known classes that are derived from a queue
    of ``multiprocessing`` (of concurrent.futures, loky and torch) use its private parts, and so need those.
    """
    members: dict[str, Any] = {
        "__doc__": ours.__doc__,
        "__module__": theirs.__module__,
        "_ours": ours,
        "_theirs": theirs,
    }
    made: Any = ours
    if base is None:
        base = ours

        def __init__(self: Any, *args: Any, ctx: object = None, **kwargs: Any) -> None:  # noqa: ARG001, N807
            made.__init__(self, *args, **kwargs)

        members["__init__"] = __init__
    return _StandIn(theirs.__name__, (base,), members)
