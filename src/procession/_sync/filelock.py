"""A lock for programs that share nothing but a file."""

import errno
import fcntl
import io
import os
import threading
import time
import weakref
from types import EllipsisType
from typing import Any, NamedTuple, Self

from procession import _core
from procession._base.arguments import seconds
from procession._base.errors import NotOwner
from procession._base.public import public
from procession._base.statistics import LockStatistics
from procession._memory.domain import domains

__all__ = ["FileLock"]

MODE = 0o666  # of a file that is made, less the umask


class _Open:
    """The files of this process that are locked, or that somebody waits with; a forked child closes its copies.

    A lock of flock(2) belongs to the open file, which a fork shares: as long as a copy is open somewhere, the lock
    outlives the process that took it.
    """

    def __init__(self) -> None:
        self._files: weakref.WeakSet[io.FileIO] = weakref.WeakSet()
        self._renew()
        os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def _renew(self) -> None:
        # A signal handler may fork in the middle of open().
        self._fork = threading.RLock()

    def open(self, path: str | bytes) -> io.FileIO:
        with self._fork:
            file = io.FileIO(path, "r", opener=_open)
            self._files.add(file)
            return file

    def _before(self) -> None:
        self._fork.acquire()

    def _in_parent(self) -> None:
        self._fork.release()

    def _in_child(self) -> None:
        for file in list(self._files):
            file.close()  # never unlocked here: that would take the lock from the parent
        self._files.clear()
        self._renew()


def _open(path: str | bytes, _: int) -> int:
    flags = os.O_CLOEXEC | os.O_NOCTTY
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, MODE)
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        return os.open(path, flags | os.O_RDONLY)  # another user's: a local file system locks it nevertheless


_opened = _Open()


class _Held(NamedTuple):
    file: io.FileIO
    thread: int


@public
class FileLock:
    """A mutual exclusion lock that is a file: for programs of any language that agree on its path.

    At most one FileLock of that path is held at a time, among threads, processes and programs. When the process that holds
    it dies, however it dies, the kernel gives it to the next. The file is made if it is missing, its content is not touched,
    and it stays where it is. It is the lock of flock(2): flock(1) in a shell script takes it too; what locks with
    fcntl(2) or lockf(3) does not see it.

    `timeout`, in seconds, is that of ``with`` and of ``acquire()`` without one; None waits for ever. ``with`` raises TimeoutError
    when it is over. One thread can take it once only: taking it again raises RuntimeError if it could but wait for ever. Any
    thread of the process may release it. A forked child does not have it, even if it was forked while its parent held it.
    It can be pickled; what arrives is another lock of the same path, not held.

    Raises OSError if the file can be neither opened nor made, or if its file system knows no locks.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, FileLock(folder + "/lock", timeout=60) as lock:
    ...     lock.locked()
    True
    """

    def __init__(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], timeout: float | None = None) -> None:
        self._path = os.path.abspath(os.fspath(path))  # the directory may be changed
        self._timeout = _seconds(timeout)
        self._held: _Held | None = None

    @property
    def path(self) -> str | bytes:
        """The absolute path of the file."""
        return self._path

    @property
    def name(self) -> str:
        """The path, as text."""
        return os.fsdecode(self._path)

    @property
    def timeout(self) -> float | None:
        """How many seconds ``with`` waits; None: for ever."""
        return self._timeout

    def acquire(self, block: bool = True, timeout: float | EllipsisType | None = ...) -> bool:
        """Take it; True if taken, False if not within `timeout` seconds. Ctrl-C reaches a waiter at once.

        Without a `timeout` that of the lock holds. Those that wait are served in order.
        """
        limit = 0.0 if not block else self._timeout if isinstance(timeout, EllipsisType) else _seconds(timeout)
        held = self._held
        if limit is None and held is not None and held.thread == threading.get_ident() and not held.file.closed:
            raise RuntimeError(
                f"FileLock '{self.name}' is held by this very thread: acquiring it again would wait for ever"
            )
        file = self._lock(limit)
        if file is None:
            return False
        self._held = _Held(file, threading.get_ident())
        return True

    def release(self) -> None:
        """Give it back. NotOwner, a RuntimeError, if this process does not hold it by this object."""
        held, self._held = self._held, None
        if held is None or held.file.closed:  # closed: it is our parent's
            raise NotOwner(f"FileLock '{self.name}' is not held by this process, so it cannot release it")
        # A fork of a library in C has a copy of it that nobody closed.
        fcntl.flock(held.file, fcntl.LOCK_UN)
        held.file.close()

    def locked(self) -> bool:
        """Does anybody hold it, as far as ``/proc/locks`` tells?"""
        return self._is_mine() or _look(self._path).owner != NOBODY

    def statistics(self) -> LockStatistics:
        """Owner and waiters at this instant, as far as ``/proc/locks`` tells. It names no process of another
        pid namespace.
        """
        seen = _look(self._path)
        owner = os.getpid() if self._is_mine() else max(seen.owner, 0)
        return LockStatistics(
            name=self.name,
            owner_pid=owner or None,
            owner_name=_command(owner) if owner else None,
            waiters=seen.waiters,
            recoveries=0,  # the kernel does not count them
            depth=int(self._is_mine() or seen.owner != NOBODY),
        )

    def _is_mine(self) -> bool:
        held = self._held
        return held is not None and not held.file.closed

    def _lock(self, limit: float | None) -> io.FileIO | None:
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            file = _opened.open(self._path)
            try:
                if not self._wait(file, deadline):
                    file.close()
                    return None
                if _is_still_there(file, self._path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()  # it was removed meanwhile, or replaced: what others lock is another file

    def _wait(self, file: io.FileIO, deadline: float | None) -> bool:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            return _core.lock_file(file, left, domains.default)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: flock", self._path) from None

    def __enter__(self) -> Self:
        if not self.acquire():
            state = self._state()
            who = "free now" if state == "free" else state
            raise TimeoutError(f"FileLock '{self.name}' could not be taken within {self._timeout:g} s: it is {who}")
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _state(self) -> str:
        now = self.statistics()
        if now.owner_pid is not None:
            return f"held by pid {now.owner_pid}" + (f" ({now.owner_name})" if now.owner_name else "")
        return "held by a process that cannot be seen from here" if now.depth else "free"

    def __repr__(self) -> str:
        waiters = self.statistics().waiters
        return f"<FileLock '{self.name}' {self._state()}{f', {waiters} waiting' if waiters else ''}>"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": None}


def _seconds(timeout: float | None) -> float | None:
    """A time-out as multiprocessing takes it: below 0 is 0."""
    if timeout is None:
        return None
    number = seconds(timeout)
    return None if number > threading.TIMEOUT_MAX else max(number, 0.0)


def _is_still_there(file: io.FileIO, path: str | bytes) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


# ---- who has it: proc_locks(5)

NOBODY, UNSEEN = 0, -1


class _Seen(NamedTuple):
    owner: int  # a pid, NOBODY or UNSEEN
    waiters: int


def _look(path: str | bytes) -> _Seen:
    try:
        places = _places(path)
        lines = _read("/proc/locks").splitlines()
    except OSError:
        return _Seen(NOBODY, 0)
    owner, waiters = NOBODY, 0
    for line in lines:
        # "1: FLOCK ADVISORY WRITE 1234 fe:00:5914 0 EOF"; one that waits has "->" behind the number
        words = line.split()
        place = places & set(words)
        if "FLOCK" not in words or not place:
            continue
        pid = int(words[words.index(place.pop()) - 1])
        if "->" in words:
            waiters += 1
        else:
            owner = pid if pid > 0 else UNSEEN
    return _Seen(owner, waiters)


def _places(path: str | bytes) -> set[str]:
    """How the file may be named there: by its device, or by that of its mount (btrfs has one for each subvolume)."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        mount = dict(line.split(":", 1) for line in _read(f"/proc/self/fdinfo/{fd}").splitlines()).get("mnt_id", "")
    finally:
        os.close(fd)
    devices = {(os.major(status.st_dev), os.minor(status.st_dev))}
    for line in _read("/proc/self/mountinfo").splitlines():
        words = line.split()
        if words[0] == mount.strip():
            major, minor = words[2].split(":")
            devices.add((int(major), int(minor)))
    return {f"{major:02x}:{minor:02x}:{status.st_ino}" for major, minor in devices}


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _command(pid: int) -> str | None:
    try:
        return _read(f"/proc/{pid}/comm").rstrip("\n")
    except OSError:
        return None
