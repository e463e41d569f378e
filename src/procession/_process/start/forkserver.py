"""forkserver: the child is made by a template, a small process that has the modules already."""

import os
from contextlib import ExitStack
from typing import Any

from procession import _core
from procession._process import stdlib
from procession._process.popen import Popen
from procession._process.start.spawn import SpawnPopen, write_all
from procession._process.templates import CannotMake, templates
from procession._process.wire import HAS_TRACKER, IS_TIED, Order, Received

__all__ = ["start_by_forkserver"]


class ForkserverPopen(SpawnPopen):
    """A child that has what a spawned one has, and nothing of its template's but modules."""

    method = "forkserver"
    DupFd = Received

    def duplicate_for_child(self, fd: int) -> int:
        """Pass it on; its number there is another one. The domain is there already."""
        if fd == self.domain.fd:
            return Received.DOMAIN
        self._passed.append(fd)
        return len(self._passed) - 1

    def _launch(self, process: Any) -> None:
        preparation = stdlib.plain_preparation_data(process.name)
        data = self._pickle(process)
        tracker = stdlib.tracker_descriptor()
        streams = [fd for fd in (0, 1, 2) if is_open(fd)]
        flags = IS_TIED * (self.settings.orphan == "kill") | HAS_TRACKER * (tracker is not None)
        fds = (*streams, *([] if tracker is None else [tracker]), *self._passed)
        order = Order(sum(1 << fd for fd in streams), flags, *_core.dispositions(), fds)
        with ExitStack() as files, data.getbuffer() as body:
            rest = templates.make(self, order, preparation, body, files)
            if rest is not None:
                write_all(*rest)


def is_open(fd: int) -> bool:
    """Does this process have it?"""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def start_by_forkserver(process: Any) -> Popen:
    """Start it by a template, or by spawn, which does the same more slowly, where no template can be."""
    if templates.are_possible():
        try:
            return ForkserverPopen(process)
        except CannotMake:
            pass
    return SpawnPopen(process)
