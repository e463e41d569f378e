"""A template: a small process that makes children for its owner, which are its owner's children (core/sibling.h).

It is an ordinary child of ours, started by spawn; one for each process that starts children by forkserver. It has one
thread, keeps nothing but modules, and waits for questions in C. The next template is made in the same way, so that
what it imports can harm nobody (preload.py).
"""

import gc
import io
import os
import pickle
import signal
import sys
from typing import Any, NoReturn

from procession import _core
from procession._memory.domain import domains
from procession._process import outcome, prologue, stdlib  # noqa: F401 - outcome: of a child that fails
from procession._process.child import begin, leave_report
from procession._process.preload import preload
from procession._process.process import Process  # noqa: F401 - what the owner sends: else each child imports it
from procession._process.wire import (
    CHILD,
    HAS_ENVIRONMENT,
    HAS_TRACKER,
    IS_PIPED,
    IS_TIED,
    PROGRESS_BYTES,
    READY,
    Changes,
    Received,
    Succession,
)

__all__ = ["main"]


def serve(domain: _core.Domain, connection: int, parent: int, tied: bool) -> NoReturn:
    """Make what the owner asks for until it is gone."""
    while True:
        gc.collect()
        gc.freeze()  # what is here stays: a child's collector need not touch, and so copy, its pages
        asked = _core.serve_template(domain, connection)
        if asked is None:
            domain.leave()
            os._exit(0)
        if asked[0] == CHILD:
            run(domain, parent, tied, *asked[1:])
        connection = succeed(domain, parent, tied, *asked[-1])


# ---- in a child -----------------------------------------------------------------------------------


def run(
    domain: _core.Domain, parent: int, tied: bool, flags: int, ignored: int, mine: int, body: bytes, fds: list[int]
) -> NoReturn:
    """Be the Process that the owner sent."""
    code = 1
    at_exit = stdlib.RunAtExit()
    try:
        at_exit.begin()
        if ignored != mine:
            adopt_signals(ignored, mine)
        sentinel = begin(domain, parent, tied and bool(flags & IS_TIED))
        if flags & HAS_TRACKER:
            stdlib.use_tracker(fds.pop(0))
        with open(fds.pop(), "rb") if flags & IS_PIPED else io.BytesIO(body) as stream:
            Received.all[:] = fds
            if flags & HAS_ENVIRONMENT:
                adopt_environment(pickle.load(stream))
            reseed()
            code = stdlib.run_received(stream, sentinel)
    except SystemExit as error:  # the main module ended itself while it was imported
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:  # noqa: BLE001 - it did not get as far as run(), whatever it is
        leave_report(domain, error)
        sys.excepthook(*sys.exc_info())
    finally:
        try:
            at_exit.end()
            stdlib.flush_streams()
            domain.judge(code == 0)
            domain.leave()
        finally:
            os._exit(code)


def adopt_environment(changes: Changes) -> None:
    """Bring this process's environment to where the owner's is."""
    for name, value in changes.items():
        if value is None:
            os.environb.pop(name, None)
        else:
            os.environb[name] = value


def adopt_signals(ignored: int, mine: int) -> None:
    """Ignore what the owner ignores, as a program does that it executes."""
    for number in range(1, 65):
        bit = 1 << (number - 1)
        if (mine ^ ignored) & bit:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if ignored & bit else default)


def reseed() -> None:
    """Numpy's global generator, which, unlike Python's own, knows nothing of fork."""
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


# ---- in a successor --------------------------------------------------------------------------------


def succeed(domain: _core.Domain, parent: int, tied: bool, connection: int, progress: int) -> int:
    """Become a template that has imported more; whatever goes wrong, nobody but this process ends by it."""
    os.close(begin(domain, parent, tied))
    with open(progress, "rb", closefd=False) as file:
        file.seek(PROGRESS_BYTES)
        succession: Succession = pickle.load(file)
    adopt_environment(succession.environment)
    preload(domain, succession, progress)
    os.close(progress)
    try:
        os.write(connection, READY)
    except OSError:
        pass  # the owner is gone, which the next look at the socket tells
    return connection


def main(
    connection: int,
    domain_fd: int,
    uuid: str,
    slot: int,
    generation: int,
    parent: int,
    tied: bool,
    first: tuple[str, ...],
) -> NoReturn:
    """Be a template, in a fresh interpreter."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # the owner has closed a stream, whose number no descriptor of a child's may have on its way
    os.close(null)
    domain = domains.attach(bytes.fromhex(uuid), domain_fd, slot, generation)
    os.close(begin(domain, parent, tied))
    prologue.perform(first)
    serve(domain, connection, parent, tied)
