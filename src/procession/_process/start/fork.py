"""fork: the child begins as a copy of this process."""

import os
import sys
import threading
import time
import warnings
from typing import Any

from procession import _core
from procession._process import child, stdlib
from procession._process.popen import Popen

__all__ = ["ForkPopen"]


def warn_of_threads(pid: int) -> None:
    """Warn, from 3.12 on as ``os.fork`` does, if there are threads that the child will lack; ours does not count."""
    if sys.version_info >= (3, 12) and _core.other_threads() > 0:
        text = f"This process (pid={pid}) is multi-threaded, use of fork() may lead to deadlocks in the child."
        try:
            warnings.warn(text, DeprecationWarning, stacklevel=6)
        except DeprecationWarning:
            pass  # under -W error os.fork() goes on too


class ForkPopen(Popen):
    """A forked child. What this process holds, the child holds from its first instruction on."""

    method = "fork"
    # One thread arms the fork handlers and forks at a time.
    _turn = threading.Lock()

    def _launch(self, process: Any) -> int:
        parent = os.getpid()
        # A death signal is tied to the thread that forks; only the main thread is sure to live as long as we.
        tied = self.settings.orphan == "kill" and threading.get_native_id() == parent
        warn_of_threads(parent)
        with ForkPopen._turn:
            self.domain.reserve_for_fork(*self.procession_slot)
            self.started_ns = time.monotonic_ns()
            pid = _core.fork()
            if pid == 0:
                ForkPopen._turn = threading.Lock()
                self._run(process, parent, tied)
        return pid

    def _run(self, process: Any, parent: int, tied: bool) -> None:
        code = 1
        at_exit = stdlib.RunAtExit()
        try:
            at_exit.begin()
            self.domain.claim_slot(*self.procession_slot)  # this is its program: an exec would be its end
            sentinel = child.begin(self.domain, parent, tied)
            code = process._bootstrap(parent_sentinel=sentinel)
        finally:
            try:
                at_exit.end()
                self.domain.leave()
            finally:
                os._exit(code)
