"""What workers say to the engine beside results: a record (SAYS, word, more)."""

from enum import IntEnum

__all__ = ["SAYS", "Word"]

SAYS = -1  # in the place of a task's number


class Word(IntEnum):
    """Each with what comes behind it."""

    READY = 0  # the worker's pid: its initializer has returned
    FAILED = 1  # the initializer's exception, packed
    # of the engine itself, so that it stands behind all that was said before
    BURIED = 2  # None: the oldest of the graves can be looked at
    ASIDE = 3  # None: the oldest of the calls that wait is due
    END = 4  # None: nothing more will come
