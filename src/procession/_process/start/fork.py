"""fork: the child begins as a copy of this process."""

import os
import threading
from typing import Any

from procession import _core
from procession._memory.handle import connections_in
from procession._process import child, stdlib
from procession._process.popen import Popen
from procession._process.threads import warn_of_threads

__all__ = ["ForkPopen"]


class ForkPopen(Popen):
    """A forked child. What this process holds, the child holds from its first instruction on."""

    method = "fork"

    def _launch(self, process: Any) -> None:
        parent = os.getpid()
        # A death signal is tied to the thread that forks; only the main thread is sure to live as long as we.
        tied = self.settings.orphan == "kill" and threading.get_native_id() == parent
        for connection in connections_in(process):
            connection._hold_for(self.procession_slot[0])
        if _core.fork_child(self, self.domain, *self.procession_slot) == 0:
            self._run(process, parent, tied)
        # Afterwards, as CPython does: a library that ends its threads before a fork (OpenBLAS, so numpy) has none now.
        warn_of_threads(process.name, stacklevel=7)

    def _run(self, process: Any, parent: int, tied: bool) -> None:
        code = 1
        at_exit = stdlib.RunAtExit()
        try:
            at_exit.begin()
            sentinel = child.begin(self.domain, parent, tied)
            code = process._bootstrap(parent_sentinel=sentinel)
        finally:
            try:
                at_exit.end()
                self.domain.judge(code == 0)
                self.domain.leave()
            finally:
                os._exit(code)
