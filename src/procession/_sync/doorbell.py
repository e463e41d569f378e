"""Descriptors for shared objects: readable while the object is ready, for ``select``, ``selectors`` and event loops.

A kind of object takes part by its line in ``core/kind.c`` (``wants``, ``is_ready``). A Python class that is made of several
shared objects has a method ``_waits_on(want)`` that names them: a tuple of pairs (shared object, 1 | 2 | 4).
"""

from typing import Any

from procession import _core
from procession._base.public import public

__all__ = ["Doorbell", "WithDoorbell", "waits_on"]

FOR = {"get": 1, "put": 2, "join": 4}  # PN_FOR_* of core/listen.h

Pairs = tuple[tuple[_core.Shared, int], ...]


def waits_on(obj: object, want: str = "get") -> Pairs | None:
    """Return the shared objects, and what for, that stand for "ready" of `obj`; None: it has nothing of the kind."""
    if want not in FOR:
        raise ValueError(f"a doorbell rings for 'get', 'put' or 'join', not {want!r}")
    named = getattr(obj, "_waits_on", None)
    if named is not None:
        pairs: Pairs = named(want)
        return pairs
    return ((obj, FOR[want]),) if isinstance(obj, _core.Shared) else None


@public
class Doorbell:
    """A descriptor that is readable while a shared object is ready.

    `want`: ``"get"``: an item is there, the lock can be had, the event is set; ``"put"``: there is room. (``"join"``, for
    queues with ``task_done()``, only together with `edge`.) `edge`: readable after each change instead, and at least every
    half second, until ``clear()``.

    It listens from the first ``fileno()`` on, until ``close()``. Whoever is woken by it must try without blocking: another
    process may have been faster. TypeError for an object that cannot be waited for; OSError if no descriptor is left.

    >>> import select, procession
    >>> jobs = procession.Queue(name="jobs")
    >>> bell = Doorbell(jobs)
    >>> select.select([bell], [], [], 0)
    ([], [], [])
    >>> jobs.put(1)
    >>> select.select([bell], [], [])[0] == [bell]
    True
    >>> bell.close()
    """

    def __init__(self, obj: object, want: str = "get", *, edge: bool = False) -> None:
        pairs = waits_on(obj, want)
        if pairs is None:
            raise TypeError(f"a doorbell is for queues, locks and the like, not for {type(obj).__name__}")
        self._bell = _core.Bell(pairs, edge)

    def fileno(self) -> int:
        """Listen, and return the descriptor: the same each time, but another one after a fork. ValueError if closed."""
        return self._bell.arm(True)

    def clear(self) -> None:
        """Make it unreadable, unless the object is ready."""
        self._bell.clear()

    def pause(self) -> None:
        """Listen no more until the next ``fileno()``; the descriptor stays open, and is not readable."""
        self._bell.disarm()

    def close(self) -> None:
        """Listen no more, and close the descriptor. May be called twice."""
        self._bell.close()


class WithDoorbell:
    """What gives a shared object its ``fileno()``."""

    def fileno(self) -> int:
        """Return a descriptor of this process that is readable while the object is ready; OSError if there is none left.

        It is made by the first call and lives as long as the object. See :class:`procession.Doorbell`.
        """
        bell: _core.Bell | None = self.__dict__.get("_bell")
        if bell is None:
            pairs = waits_on(self)
            if pairs is None:
                raise TypeError(f"{type(self).__name__} has nothing to wait for")
            bell = self.__dict__.setdefault("_bell", _core.Bell(pairs))
        return bell.arm()

    def _drop_bell(self) -> None:
        bell: Any = self.__dict__.pop("_bell", None)
        if bell is not None:
            bell.close()
