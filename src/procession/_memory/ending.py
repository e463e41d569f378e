"""How this process says that it ends cleanly, with exit code 0, so that nothing it had in hand is redelivered.

Whoever knows an exit code better has the last word: the janitor that reaps a child of ours, and the kernel, as
long as nobody has reaped it. What is said here counts for the others: children that ``multiprocessing`` started,
a program's own forks, the root. A process that says nothing has ended badly.
"""

import atexit
import functools
import sys

from procession._base import stdlib
from procession._memory.domain import domains

__all__ = ["watch_end"]


def _say(is_clean: bool) -> None:
    for domain in domains.all():
        domain.judge(is_clean)


def _at_exit() -> None:
    if not stdlib.is_child():
        # An exception that ended the program was printed already; sys.exit(1) cannot be told from sys.exit().
        _say(getattr(sys, "last_value", None) is None)


@functools.cache
def watch_end() -> None:
    """See to it that the end of this process, and of its children, is judged; once is enough."""
    stdlib.tell_exit_codes(lambda code: _say(code == 0))
    atexit.register(_at_exit)
