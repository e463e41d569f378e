"""How this process says that it ends cleanly, with exit code 0, so that nothing it had in hand is redelivered.

Whoever knows an exit code better has the last word: the janitor that reaps a child of ours, and the kernel, as
long as nobody has reaped it. What is said here counts for the others: children that ``multiprocessing`` started,
a program's own forks, the root. A process that says nothing has ended badly.
"""

import atexit
import os
import sys

from procession._base import stdlib
from procession._memory.domain import domains

__all__ = ["watch_end"]


class _Watch:
    """Kept alive here: ``multiprocessing`` calls what was registered for it as long as it lives."""


_watch = _Watch()


def _say(is_clean: bool) -> None:
    for domain in domains.all():
        domain.judge(is_clean)


def _at_end_of_child() -> None:
    error = sys.exc_info()[1]
    _say(error is None or (isinstance(error, SystemExit) and error.code in {None, 0}))


def _in_child(_: object) -> None:
    stdlib.when_child_ends(_at_end_of_child)


def _at_exit() -> None:
    if not stdlib.is_child():
        # An exception that ended the program was printed already; sys.exit(1) cannot be told from sys.exit().
        _say(getattr(sys, "last_value", None) is None)


def _in_fork() -> None:
    # A plain fork of such a child ends through the same code of multiprocessing, which passes over the finalizers that
    # another pid registered. In a child that multiprocessing forks just now this one is cleared, and the hook comes.
    if stdlib.is_child():
        stdlib.when_child_ends(_at_end_of_child)


def watch_end() -> None:
    """See to it that the end of this process, and of its children, is judged."""
    stdlib.in_each_child(_watch, _in_child)
    if stdlib.is_child():  # one that multiprocessing spawned runs no such hook
        _in_child(None)
    os.register_at_fork(after_in_child=_in_fork)
    atexit.register(_at_exit)
