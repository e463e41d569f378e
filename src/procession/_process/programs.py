"""Running programs and their names: ``publish("etl")`` in one, ``attach("etl")`` in another of the same user.

A program that publishes its name makes one empty file in a folder of this user alone; all that is to be known stands in
the file's name. It goes when the program ends, or when somebody looks and the program is gone. Who publishes nothing
writes nothing, and is found by its pid.
"""

import atexit
import errno
import os
import stat
import tempfile
from contextlib import suppress
from typing import NamedTuple

from procession._base.errors import Ambiguous, LayoutMismatch, NotFound
from procession._memory.domain import domains

__all__ = ["Program", "find_program", "own_name", "publish", "running_programs", "start_time", "this_namespace"]

LONGEST = 100  # bytes of a name
PRIVATE = 0o077  # nobody else may do anything with the folder


class Program(NamedTuple):
    """A running program that has published a name; what its file's name says."""

    boot: str  # the first digits of the boot's id: pids and start times begin anew with each
    namespace: int  # inode of its pid namespace
    pid: int
    start: int  # clock ticks after boot
    name: str

    def file(self) -> str:
        """Return the name of its file."""
        return "-".join(map(str, self))

    @classmethod
    def of_file(cls, file: str) -> "Program | None":
        """Return what a file's name says; None: it is none of ours."""
        try:
            boot, namespace, pid, start, name = file.split("-", 4)
            return cls(boot, int(namespace), int(pid), int(start), name)
        except ValueError:
            return None

    def is_running(self) -> bool:
        """Is it, as far as can be told from here? Pids of another namespace say nothing to us."""
        if self.boot != this_boot():
            return False
        return self.namespace != this_namespace() or start_time(self.pid) in {self.start, None}


def this_boot() -> str:
    """Return the first digits of the boot's id."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read()[:8]


def this_namespace() -> int:
    """Return the inode of this process's pid namespace."""
    return os.stat("/proc/self/ns/pid").st_ino


def start_time(pid: int) -> int | None:
    """Clock ticks after boot; 0: there is no such process, or it is a zombie; None: /proc does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except OSError:
        return None
    return 0 if fields[0] in b"ZX" and int(fields[17]) <= 1 else int(fields[19])


# ---- the folder --------------------------------------------------------------------------


def places() -> list[str]:
    """Where the folder may be, the best first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    found = [os.path.join(runtime, "procession")] if os.path.isabs(runtime) else []
    return [*found, os.path.join(tempfile.gettempdir(), f"procession-{os.geteuid()}")]


def open_folder(path: str) -> int:
    """Return a descriptor of the folder, through which alone it is used: nobody can put another one in its place.

    OSError if it is not there; PermissionError if it, or a link of its name, is not this user's alone.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise PermissionError(
                error.errno, "names of programs are kept in a folder, and this is none", path
            ) from None
        raise
    about = os.fstat(fd)
    if about.st_uid != os.geteuid() or about.st_mode & PRIVATE:
        os.close(fd)
        raise PermissionError(
            errno.EPERM,
            f"names of programs are kept in a folder of this user alone, and this one is of user {about.st_uid} with mode "
            f"{stat.S_IMODE(about.st_mode):o}; remove it, or set XDG_RUNTIME_DIR",
            path,
        )
    return fd


def make_file(file: str) -> str:
    """Make an empty file in the best folder, which is made if need be; return the folder's path."""
    *better, last = places()
    for path in better:
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            _make_in(path, file)
            return path
    _make_in(last, file)
    return last


def _make_in(path: str, file: str) -> None:
    flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        folder = open_folder(path)
        try:
            os.close(os.open(file, flags, 0o600, dir_fd=folder))
        except FileNotFoundError:
            continue  # whoever left it empty has just removed it
        finally:
            os.close(folder)
        return


def remove_file(path: str, file: str) -> None:
    """Remove it, and the folder with the last one."""
    with suppress(OSError):
        folder = open_folder(path)
        try:
            os.unlink(file, dir_fd=folder)
        finally:
            os.close(folder)
        os.rmdir(path)


# ---- a name for this program ---------------------------------------------------------------


class _Name:
    """What this process has published, if anything: whose it is, and where its file is."""

    def __init__(self) -> None:
        self._now: tuple[Program, str] | None = None
        self._is_watched = False

    def publish(self, name: str) -> None:
        """Make the file; that of a former name goes."""
        pid = os.getpid()
        program = Program(this_boot(), this_namespace(), pid, start_time(pid) or 0, name)
        former = self._now
        self._now = program, make_file(program.file())
        if former not in {None, self._now}:
            self._forget(former)
        if not self._is_watched:
            self._is_watched = True
            atexit.register(self.withdraw)

    def withdraw(self) -> None:
        """Take it back."""
        former, self._now = self._now, None
        self._forget(former)

    @staticmethod
    def _forget(former: tuple[Program, str] | None) -> None:
        if former is not None and former[0].pid == os.getpid():  # a fork knows of its parent's, and leaves it
            remove_file(former[1], former[0].file())


own_name = _Name()


def publish(name: str) -> None:
    """Let other programs of this user find this one by a name: ``attach(name)``.

    Needed only once, by one process of the program, and only for a name: its pid is always enough. A second call gives
    another name in place of the first. The name is taken back when the process ends; it need not be unique, but
    ``attach()`` refuses one that several running programs have.

    Raises ValueError for a name that cannot be one (empty, over 100 bytes, with "/" or a control character), OSError if
    no folder for it can be made, or if the folder is not this user's alone.

    >>> publish(f"etl {os.getpid()}")
    >>> find_program(f"etl {os.getpid()}") == os.getpid()
    True
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    if not name or len(os.fsencode(name)) > LONGEST or "/" in name or not name.isprintable():
        raise ValueError(f"the name of a program must be 1 to {LONGEST} bytes, printable and without '/', not {name!r}")
    domains.current()  # who finds the program finds this
    running_programs()  # files of those that were killed go
    own_name.publish(name)


# ---- finding others --------------------------------------------------------------------------


def running_programs() -> list[Program]:
    """Return who has published a name and runs, by name; files of those that are gone are removed."""
    found: set[Program] = set()
    for path in places():
        try:
            folder = open_folder(path)
        except OSError:
            continue  # there is none, or it is not to be trusted
        try:
            for file in os.listdir(folder):
                program = Program.of_file(file)
                if program is None:
                    continue
                if program.is_running():
                    found.add(program)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(file, dir_fd=folder)
        finally:
            os.close(folder)
    return sorted(found, key=lambda program: (program.name, program.pid))


def find_program(name: str) -> int:
    """Return the pid of the running program of that name. Raises NotFound, Ambiguous, LayoutMismatch."""
    everywhere = running_programs()
    here = [program for program in everywhere if program.namespace == this_namespace()]
    named = [program for program in here if program.name == name]
    if len(named) == 1:
        return named[0].pid
    if named:
        pids = ", ".join(str(program.pid) for program in named)
        raise Ambiguous(f"{len(named)} running programs are named {name!r}, with pids {pids}: attach to one by its pid")
    if any(program.name == name for program in everywhere):
        raise LayoutMismatch(
            f"the program {name!r} runs in another pid namespace (another container), where the owners of its locks "
            "cannot be told; attach from inside it"
        )
    known = ", ".join(f"{program.name!r} (pid {program.pid})" for program in here) or "none"
    raise NotFound(
        f"no running program of this user is named {name!r}; named ones are: {known}. A program takes a name by "
        "procession.publish(name); one without a name is found by its pid"
    )
