"""How this process says that it ends cleanly, with exit code 0, so that nothing it had in hand is redelivered.

Whoever knows an exit code better has the last word: the janitor that reaps a child of ours, and the kernel, as
long as nobody has reaped it. What is said here counts for the others: children that ``multiprocessing`` started,
a program's own forks, the root. A process that says nothing has ended badly.
"""

import atexit
import multiprocessing
import sys
from multiprocessing import util

from procession._memory.domain import domains

__all__ = ["watch_end"]

LAST = -1000  # after every other finalizer of the program


class _Watch:
    """Known to ``multiprocessing``: called in each of its children, whatever the start method."""


_watch = _Watch()


def _say(is_clean: bool) -> None:
    for domain in domains.all():
        domain.judge(is_clean)


def _at_end_of_child() -> None:
    # BaseProcess._bootstrap runs finalizers while the exception that ended run() is under way, if one did.
    error = sys.exc_info()[1]
    _say(error is None or (isinstance(error, SystemExit) and error.code in {None, 0}))


def _in_child(_: object) -> None:
    util.Finalize(None, _at_end_of_child, exitpriority=LAST)


def _at_exit() -> None:
    if multiprocessing.parent_process() is None:
        # An exception that ended the program was printed already; sys.exit(1) cannot be told from sys.exit().
        _say(getattr(sys, "last_value", None) is None)


def watch_end() -> None:
    """See to it that the end of this process, and of its children, is judged."""
    util.register_after_fork(_watch, _in_child)
    # One that multiprocessing spawned runs no such hook: it is still unpickling, or past that.
    if multiprocessing.parent_process() is not None or hasattr(multiprocessing.current_process(), "_inheriting"):
        _in_child(None)
    atexit.register(_at_exit)
