"""What a child does first and last, whatever the start method."""

import atexit
import gc
import os
import sys

from procession import _core
from procession._memory.domain import domains
from procession._process import prologue, stdlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["TREE_MARK", "begin", "leave_report", "run_reported", "spawn_main"]

# What a process runs with subprocess inherits it; when the process is killed, the guardian ends what carries it.
TREE_MARK = "PROCESSION_TREE"


def begin(domain: _core.Domain, parent: int, tied: bool) -> int:
    """Tie this child to its parent; return a descriptor that is readable when the parent ends.

    `tied`: SIGKILL it when the parent's thread that forked it ends (prctl(2), PR_SET_PDEATHSIG), the first
    line of defence; the guardian is the second.
    """
    variables = stdlib.variables()
    if variables is not None:
        _core.mark_tree(domain, variables)  # the same as below, with fifteen pages less to copy
    else:
        os.environ[TREE_MARK] = f"{domain.uuid.hex()}:{domain.slot}.{domain.generation}"
    if tied and not _core.die_with(parent):
        domain.mark_orphan(domain.slot, domain.generation)
        os._exit(1)  # the parent died meanwhile
    try:
        return os.pidfd_open(parent)
    except ProcessLookupError:
        reader, writer = os.pipe()
        os.close(writer)
        return reader


def leave_report(domain: _core.Domain, error: BaseException) -> None:
    """Leave an exception in this process's line, for whoever reaps it."""
    from procession._process.outcome import encode_report  # noqa: PLC0415 - few children need it

    try:
        domain.set_report(encode_report(error))
    except MemoryError:
        pass  # DomainFull: the exit code and stderr still tell


def run_reported(run: "Callable[[], object]", domain: _core.Domain) -> "Callable[[], None]":
    """Wrap a ``run`` so that the exception which ends it is left for the parent."""

    def reported() -> None:
        try:
            run()
        except SystemExit:
            raise
        except BaseException as error:
            leave_report(domain, error)
            raise

    return reported


def spawn_main(pipe: int, domain_fd: int, uuid: str, slot: int, generation: int, **more: "Any") -> None:
    """Run a spawned child: attach the parent's domain before anything of the program is imported."""
    domain = domains.attach(bytes.fromhex(uuid), domain_fd, slot, generation)
    sentinel = begin(domain, more["parent"], more["tied"])
    atexit.register(domain.leave)  # registered first, so the last to run
    if more["tracker"] is not None:
        stdlib.use_tracker(more["tracker"])
    gc.freeze()
    gc.enable()
    try:
        prologue.perform(more["prologue"])
        code = stdlib.run_spawned(pipe, sentinel)
    except SystemExit:
        raise
    except BaseException as error:  # it did not get as far as run()
        leave_report(domain, error)
        raise
    domain.judge(code == 0)
    sys.exit(code)
