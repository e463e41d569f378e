"""A worker's exception on its way to whoever waits for the task."""

import pickle
import traceback
from collections.abc import Callable
from typing import NamedTuple

from procession._base.errors import RemoteError, RemoteTraceback

__all__ = ["NotSent", "pack_error", "pack_not_sent", "unpack_error"]


class NotSent(NamedTuple):
    """Stands for an exception, or a result, that does not pickle."""

    reason: str  # the repr of what pickling raised
    value: str  # the repr of what was to be sent


def pack_not_sent(reason: BaseException, value: object) -> bytes:
    """Return what is said in the place of a result that does not pickle; never raises."""
    text = "".join(traceback.format_exception(reason))
    return pickle.dumps((NotSent(_said(repr, reason), _said(repr, value)), text))


def pack_error(error: BaseException) -> bytes:
    """Return the exception with its traceback, as it will come out there; never raises."""
    text = "".join(traceback.format_exception(error))
    try:
        body = pickle.dumps(error)
    except Exception as reason:  # noqa: BLE001 - whatever a user's __reduce__ raises
        return pickle.dumps((NotSent(_said(repr, reason), _said(repr, error)), text))
    try:
        pickle.loads(body)
    except Exception:  # noqa: BLE001 - many exceptions pickle, and do not come back
        return pickle.dumps((RemoteError(_said(str, error), type(error).__qualname__), text))
    return pickle.dumps((body, text))


def _said(how: Callable[[object], str], value: object) -> str:
    try:
        return how(value)
    except Exception:  # noqa: BLE001 - whatever a user's __str__ or __repr__ raises
        return f"{type(value).__qualname__} (its text raised an exception)"


def unpack_error(packed: bytes, not_sent: Callable[[NotSent], BaseException]) -> BaseException:
    """Return the exception, its cause a RemoteTraceback; `not_sent` makes one of what could not be sent. Never raises."""
    error, text = pickle.loads(packed)
    if isinstance(error, NotSent):
        error = not_sent(error)
    if isinstance(error, bytes):
        try:
            error = pickle.loads(error)
        except Exception as reason:  # noqa: BLE001 - its module may not be importable here
            error = RemoteError(f"a worker's exception cannot be unpickled here: {_said(repr, reason)}")
        if not isinstance(error, BaseException):
            error = RemoteError(f"a worker's exception was unpickled as {type(error).__qualname__}")
    made: BaseException = error
    made.__cause__ = RemoteTraceback(text)
    return made
