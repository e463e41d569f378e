"""What a worker process does: take a task under a lease, do it, put the result, end the lease.

Killed anywhere in this, it leaves either a result, or a lease by which it is known what it had in hand.
"""

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from procession._base.errors import ShutDown
from procession._channels.joinable import JoinableQueue
from procession._channels.queue import SimpleQueue
from procession._work.failure import pack_error, pack_not_sent
from procession._work.parcel import Parcel
from procession._work.task import is_plain, perform
from procession._work.words import SAYS, Word

__all__ = ["work"]


def work(
    tasks: JoinableQueue[Any],
    results: SimpleQueue[Any],
    initializer: Callable[..., object] | None,
    initargs: Iterable[Any],
    most: int | None,
) -> None:
    """Work until there is nothing more to do; `most`: or until so many tasks are done."""
    _leave_signals_to_the_owner()
    if initializer is not None:
        try:
            initializer(*initargs)
        except Exception as error:  # noqa: BLE001 - the owner raises it
            results.put((SAYS, Word.FAILED.value, pack_error(error)))
            return
    results.put((SAYS, Word.READY.value, os.getpid()))
    known: dict[bytes, Callable[..., Any]] = {}
    done = 0
    while (most is None or done < most) and _do_one(tasks, results, known):
        done += 1


def _do_one(tasks: JoinableQueue[Any], results: SimpleQueue[Any], known: dict[bytes, Callable[..., Any]]) -> bool:
    # A function of its own, so that nothing of a task outlives it.
    try:
        task, number, _ = tasks._get_item()
    except Exception as error:
        number = getattr(error, "item_id", -1)
        if number < 0 and isinstance(error, ShutDown):
            return False
        if number < 0:
            raise  # it is known by its lease which one it was
        results.put((number, False, pack_error(error)))
    else:
        try:
            value = perform(task, known)
        except SystemExit:
            raise  # it takes the worker with it, and is known by its lease
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its result
            results.put((number, False, pack_error(error)))
        else:
            _put(results, number, value)
    tasks.task_done()
    return True


def _put(results: SimpleQueue[Any], number: int, value: Any) -> None:
    try:
        results.put((number, True, value) if is_plain(value) else Parcel(number, value))
    except Exception as error:  # noqa: BLE001 - whatever a user's __reduce__ raises
        results.put((number, False, pack_not_sent(error, value)))


def _leave_signals_to_the_owner() -> None:
    """Ctrl-C reaches all processes of a terminal: the owner decides what becomes of it.

    A function that does nothing, and not SIG_IGN, which programs that a task runs would inherit.
    """
    signal.signal(signal.SIGINT, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked until here (crew.py)
    signal.set_wakeup_fd(-1)  # of an event loop that a forked child has a copy of


def _ignore(number: int, frame: object) -> None:
    pass
