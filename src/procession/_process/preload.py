"""Modules that a template imports before it serves: which (the owner's side), and how (in the successor).

The successor is on trial: it imports one module after the other and writes beforehand which. If it crashes, hangs or
is left with what no child may inherit - a thread, a child process, a descriptor -, it ends, and its owner
remembers the module and tries again without it. A module that only raises an exception is left out.
"""

import errno
import importlib
import os
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

from procession import _core
from procession._process import stdlib
from procession._process.wire import PROGRESS_BYTES, Succession

__all__ = ["MAIN", "preload", "wanted"]

MAIN = "__main__"
PLAIN = 2  # slot flag: a fork of the program's own
# Importing these is an action: a picture, a poem, a change of the terminal.
ACTIONS = {"antigravity", "this", "readline", "rlcompleter", "idlelib", "turtledemo", "test", "__main__", "__mp_main__"}


# ---- which: in the owner --------------------------------------------------------------------


@cache
def installed_roots() -> tuple[str, ...]:
    """Return the folders of the standard library, of installed packages, and our own, wherever it is run from."""
    import site  # noqa: PLC0415 - a template, which has to import this file, needs neither
    import sysconfig  # noqa: PLC0415

    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {site.getusersitepackages(), *site.getsitepackages(), os.path.dirname(_core.__file__)}
    return tuple(os.path.join(path, "") for path in paths if path)


def is_installed(name: str, module: ModuleType | None) -> bool:
    """Is it of the standard library or an installed package? The program's own modules may do anything."""
    spec = getattr(module, "__spec__", None)
    if spec is None or getattr(spec, "name", None) != name or name.partition(".")[0] in ACTIONS:
        return False
    origin = getattr(spec, "origin", None)
    return origin in {"built-in", "frozen"} or (isinstance(origin, str) and origin.startswith(installed_roots()))


def wanted(tried: Collection[str]) -> list[str]:
    """What a template should import and has not tried, in the order in which the owner has imported it."""
    named = stdlib.preload_names()
    if not named:
        return []  # the program says that it wants nothing of it
    names = [name for name, module in list(sys.modules.items()) if name not in tried and is_installed(name, module)]
    # The main module last: what it imports is there, and silent, by then.
    names += [name for name in named if name != MAIN and name not in tried and name not in names]
    return names + [MAIN] * (MAIN in named and MAIN not in tried)


# ---- how: in the successor --------------------------------------------------------------------


def preload(domain: _core.Domain, succession: Succession, progress: int) -> None:
    """Import them all, or end this process."""
    stdlib.prepare_template(succession.preparation, main=False)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    kept = descriptors()
    for name in succession.names:
        note(progress, name)
        signal.setitimer(signal.ITIMER_REAL, succession.limit)  # ends it, whatever it waits for
        try:
            if name == MAIN:
                stdlib.prepare_template(succession.preparation, main=True)
            else:
                with silence():
                    importlib.import_module(name)
        except Exception:  # noqa: BLE001 - whatever a module raises
            if name == MAIN:
                os._exit(1)  # what is left of it in sys.modules is no main module
        except BaseException:  # noqa: BLE001 - it ended itself
            os._exit(1)
        if not is_clean(domain, kept):
            os._exit(1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    stdlib.prepare_template(succession.preparation, main=False)  # whatever they have changed
    stdlib.flush_streams()


def note(progress: int, name: str) -> None:
    """Say which is next; at the same place, so that nothing fills up if nobody reads."""
    try:
        os.pwrite(progress, name.encode()[:PROGRESS_BYTES].ljust(PROGRESS_BYTES, b"\0"), 0)
    except OSError as error:
        if error.errno not in {errno.EFBIG, errno.ENOSPC}:
            raise


@contextmanager
def silence() -> Iterator[None]:
    """Whatever it says while it is imported, nobody has asked for it now."""
    stdlib.flush_streams()
    saved = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        yield
    finally:
        stdlib.flush_streams()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for fd in (null, *saved):
            os.close(fd)


def descriptors() -> set[str]:
    """Return the numbers of the open ones; the listing's own is the first free one, always the same."""
    return set(os.listdir("/proc/self/fd"))


def is_clean(domain: _core.Domain, kept: set[str]) -> bool:
    """Is there nothing that a child of this process must not have?"""
    return descriptors() <= kept and not has_children() and (_core.thread_count() <= 1 or settle(domain) <= 1)


def has_children() -> bool:
    """Has it started a process that it has not waited for?"""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def settle(domain: _core.Domain) -> int:
    """Return how many threads there are after a fork: OpenBLAS, for one, ends its threads before and starts them when needed."""
    index, generation = domain.reserve_slot("", PLAIN)
    try:
        return _core.settle_threads(domain, index, generation)
    finally:
        domain.release_slot(index, generation)
