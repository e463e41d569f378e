"""The one warning of a fork beside threads: the child has a copy of their locks, and nobody who lets go of them."""

import os
import threading
import warnings

from procession import _core
from procession._base.errors import ForkWarning

__all__ = ["warn_of_threads"]

JANITOR = "pn-janitor"  # core/janitor.c: away while this process forks
BELLS = "pn-bells"  # core/bell_thread.c: the same
FILE_LOCK = "pn-filelock"  # core/filelock.c: beside a thread that waits, which is named itself

_warned: int | None = None  # the process that has had its warning


def warn_of_threads(name: str, stacklevel: int) -> None:
    """Warn, once in a process, if there are threads that a forked child will lack. Never raises."""
    global _warned
    if _core.other_threads() <= 0 or _warned == os.getpid():
        return
    _core.pause_janitor()  # a new one has no name for a moment
    try:
        threads = foreign_threads()
    finally:
        _core.resume_janitor()
    if not threads:
        return  # they have ended meanwhile
    _warned = os.getpid()
    text = (
        f"Process {name!r} was forked from a process (pid {_warned}) with other threads: {', '.join(threads)}. A lock that one of "
        "them holds just now, of Python, of the C library or of any other, stays locked in the child. Use "
        "start_method='forkserver' or 'spawn'."
    )
    try:
        warnings.warn(text, ForkWarning, stacklevel=stacklevel)
    except ForkWarning:
        pass  # under -W error os.fork() goes on, too


def foreign_threads() -> list[str]:
    """Return the names of all threads but the calling one and the core's own: Python's, or what the kernel calls them."""
    python = {thread.native_id: thread.name for thread in threading.enumerate()}
    names = []
    for tid in sorted(map(int, os.listdir("/proc/self/task"))):
        if tid == threading.get_native_id():
            continue
        try:
            with open(f"/proc/self/task/{tid}/comm", encoding="utf-8", errors="replace") as file:
                native = file.read().strip()
        except OSError:
            continue  # it has ended
        if tid in python:
            names.append(repr(python[tid]))
        elif native not in {JANITOR, BELLS, FILE_LOCK}:
            names.append(f"{native!r} (of a C library, thread {tid})")
    return names
