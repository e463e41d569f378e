"""Objects of another running program, by their names.

    attach(4711)["jobs"]        pid -> its descriptors in /proc -> the domain among them -> the object of that name

Nobody hands anything over: who may open another process's descriptors (the same user, as the kernel has it) may use its
objects. The domain is mapped, a line of its process table taken, and from then on what is held is held as by any of
that program's own processes: kept while it is used, given back when its holder dies. ``core/find.h`` says what is
different for a visitor.
"""

import ast
import errno
import os
import select
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from procession import _core
from procession._base.errors import Ambiguous, LayoutMismatch, NotFound, StaleHandle
from procession._channels.joinable import JoinableQueue
from procession._channels.priority import PriorityQueue
from procession._channels.queue import Queue
from procession._memory.domain import domains, is_visited, open_visited
from procession._process.programs import find_program, this_namespace
from procession._shared.array import found_array
from procession._shared.atomic import Atomic
from procession._shared.mapping import SharedDict
from procession._sync.barrier import Barrier
from procession._sync.condition import Condition
from procession._sync.event import Event
from procession._sync.locks import Lock, Mutex, RLock
from procession._sync.semaphore import BOUNDED, BoundedSemaphore, Semaphore

__all__ = ["Attached", "Entry", "attach"]

DOMAIN = "/memfd:procession (deleted)"  # what the kernel shows for the descriptor of a domain

# What a name is of, for each type of the core: its public class. One line for each new type.
CLASSES: dict[type[_core.Shared], type[Any]] = {
    _core.Atomic: Atomic,
    _core.Barrier: Barrier,
    _core.Condition: Condition,
    _core.Dict: SharedDict,
    _core.Event: Event,
    _core.LeasedRing: JoinableQueue,
    _core.Lock: Lock,
    _core.Mutex: Mutex,
    _core.Priority: PriorityQueue,
    _core.RLock: RLock,
    _core.Ring: Queue,
    _core.Semaphore: Semaphore,
}
# A Buffer is bytes: its form, a Python literal that its maker wrote behind them, says of what, and the rest that is
# needed to make it again.
MADE: dict[str, Callable[..., Any]] = {
    "shared_array": lambda buffer, form, _lock: found_array(buffer, *form),
    **dict.fromkeys(("Array", "RawArray", "RawValue", "Value"), lambda buffer, form, lock: _found(buffer, *form, lock)),
}


def _found(*arguments: Any) -> Any:
    from procession._shared.sharedctypes import found  # noqa: PLC0415 - imports ctypes

    return found(*arguments)


class Entry(NamedTuple):
    """One object of a program, as ``entries()`` lists it."""

    name: str
    kind: str  # one of our names: "Queue", "Lock", "shared_array"
    place: tuple[type[_core.Shared], bytes, int, int]  # what open() needs


class Attached(Mapping[str, Any]):
    """The named objects of a running program: ``attach(run)["jobs"]``.

    A mapping from names to objects, each of its own class. It is looked up anew each time, so an object that the
    program makes later is found too. What was taken out of it is shared from then on, and is this program's as much as
    the other's: it stays when the other ends. ``pid`` is that of the process that was attached to.
    """

    def __init__(self, pid: int, title: str, found: list[_core.Domain]) -> None:
        self.pid = pid
        self._title = title
        self._domains = found

    def entries(self) -> list[Entry]:
        """Every object that has a name, by name; several may have the same."""
        found = []
        for domain in self._domains:
            for kind, offset, generation, name in domain.named():
                title = _title_of(kind, domain, offset, generation)
                if title is not None:
                    found.append(Entry(name, title, (kind, domain.uuid, offset, generation)))
        return sorted(found, key=lambda entry: (entry.name, entry.kind, entry.place[1:]))

    def open(self, entry: Entry) -> Any:
        """The object of an entry. StaleHandle if it has been freed since."""
        kind, uuid, offset, generation = entry.place
        domain = next(domain for domain in self._domains if domain.uuid == uuid)
        if issubclass(kind, _core.Buffer):
            buffer = kind._attach(domain, offset, generation)
            title, *form = ast.literal_eval(buffer._form)
            return MADE[title](buffer, form, _lock_of(buffer))
        found = CLASSES[kind]._attach(domain, offset, generation)
        if isinstance(found, Condition):
            found._lock = _lock_of(found)
        elif isinstance(found, Semaphore) and _is_bounded(found):
            return BoundedSemaphore._attach(domain, offset, generation)
        return found

    def __getitem__(self, name: str) -> Any:
        while True:
            entries = self.entries()
            named = [entry for entry in entries if entry.name == name]
            if not named:
                there = ", ".join(f"{entry.name!r} ({entry.kind})" for entry in entries) or "nothing"
                raise NotFound(f"{self._title} has no object named {name!r}; it has: {there}")
            if len(named) > 1:
                kinds = ", ".join(entry.kind for entry in named)
                raise Ambiguous(
                    f"{len(named)} objects of {self._title} are named {name!r} ({kinds}): choose one of entries(), and "
                    "open() it"
                )
            try:
                return self.open(named[0])
            except StaleHandle:
                continue  # freed in between; perhaps there is another one by now

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(entry.name for entry in self.entries()))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return any(entry.name == name for entry in self.entries())

    def __repr__(self) -> str:
        there = ", ".join(f"{entry.name!r} {entry.kind}" for entry in self.entries())
        return f"<Attached to {self._title}: {there or 'nothing'}>"


def _lock_of(found: _core.Shared) -> Any:
    if found._mate is None:
        return None
    kind, offset, generation = found._mate
    if kind not in CLASSES:
        raise StaleHandle(f"the lock of '{found._label}' has been freed")
    return CLASSES[kind]._attach(found._domain, offset, generation)


def _is_bounded(semaphore: _core.Semaphore) -> bool:
    return bool(semaphore._look()[5] & BOUNDED)


def _title_of(kind: type[_core.Shared], domain: _core.Domain, offset: int, generation: int) -> str | None:
    if not issubclass(kind, (_core.Buffer, _core.Semaphore)):
        return CLASSES[kind].__name__
    try:
        found = kind._attach(domain, offset, generation)
    except StaleHandle:
        return None  # freed since it was listed
    if isinstance(found, _core.Semaphore):
        return "BoundedSemaphore" if _is_bounded(found) else "Semaphore"
    title: str = ast.literal_eval(found._form)[0]
    # One that is just being made has no lock yet, and nobody shall use it without.
    return title if title not in {"Array", "Value"} or found._mate is not None else None


def attach(run: int | str) -> Attached:
    """Find the named objects of another program of this user: locks, queues, arrays.

    `run`: the pid of any process of that program, or the name that it gave itself with ``publish()``.

    Rivals for one resource can so share a Lock, though nobody started them together. What is held is released when its
    holder dies, whichever program that is; and what was attached lives on when the other program ends.

    Raises ProcessLookupError if there is no such process, NotFound (a KeyError) if no program has that name or the
    process uses no objects of ours, Ambiguous if several programs have the name, PermissionError if the process is
    another user's, LayoutMismatch if it uses another version of procession or runs in another pid namespace.

    >>> stock = Lock(name="stock")
    >>> attach(os.getpid())["stock"]
    <Lock 'stock' free>
    """
    if isinstance(run, str):
        pid = find_program(run)
        title = f"program {run!r} (pid {pid})"
    elif isinstance(run, int) and not isinstance(run, bool):
        pid, title = run, f"process {run}"
    else:
        raise TypeError(f"run must be a pid or the name of a program, not {type(run).__name__}")
    if pid <= 0:
        raise ValueError(f"a pid is 1 or more, not {pid}")
    found = _visit(_own_domains(pid, title))
    if not found:
        raise NotFound(f"{title} has no objects of procession, at least not yet")
    return Attached(pid, title, found)


def _own_domains(pid: int, title: str) -> list[tuple[bytes, int]]:
    """Uuid and a descriptor of each domain of that process's program; not of those in which it is a visitor itself."""
    try:
        # As long as it has not ended the pid is its own, and so were the descriptors.
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        raise ProcessLookupError(error.errno, f"there is no {title}") from None
    opened: list[int] = []
    try:
        _check_user(pid, title)
        opened = _open_domains(pid, title)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if poll.poll(0):
            raise ProcessLookupError(errno.ESRCH, f"{title} has ended")
        own = [(uuid, fd) for fd in opened if (uuid := _uuid_of(fd, title))]
    except BaseException:
        _close(opened)
        raise
    finally:
        os.close(pidfd)
    _close(list({*opened} - {fd for _, fd in own}))
    return own


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _check_user(pid: int, title: str) -> None:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            user = next((int(line.split()[2]) for line in file if line.startswith("Uid:")), os.geteuid())
    except (FileNotFoundError, ProcessLookupError):
        # It has ended since, or /proc shows every user his own processes only (hidepid).
        raise ProcessLookupError(errno.ESRCH, f"there is no {title}, or it is another user's") from None
    if user != os.geteuid():
        raise PermissionError(
            f"{title} belongs to user {user}, and this process to user {os.geteuid()}: objects are shared between programs "
            "of one user only"
        )


def _open_domains(pid: int, title: str) -> list[int]:
    """Those of its own program."""
    folder = f"/proc/{pid}/fd"
    opened: list[int] = []
    try:
        for fd in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{fd}") == DOMAIN and not is_visited(pid, int(fd)):
                    opened.append(open_visited(pid, int(fd)))
            except FileNotFoundError:
                continue  # it was closed meanwhile
    except PermissionError:
        _close(opened)
        raise PermissionError(
            f"{title} does not let itself be looked into: it has more privileges than this process, or has made itself "
            "not dumpable (prctl(2), PR_SET_DUMPABLE)"
        ) from None
    except BaseException:
        _close(opened)
        raise
    return opened


def _uuid_of(fd: int, title: str) -> bytes | None:
    identity = _core.Domain.identify(fd)
    if identity is None:
        return None  # another's memfd of the same name
    uuid, version, namespace = identity
    if version != _core.LAYOUT_VERSION:
        raise LayoutMismatch(
            f"{title} uses another version of procession, whose shared memory has layout {version}; here it is "
            f"{_core.LAYOUT_VERSION}. Both programs need the same"
        )
    if namespace != this_namespace():
        raise LayoutMismatch(
            f"{title} runs in another pid namespace (another container), where the owners of its locks cannot be told; "
            "attach from inside it"
        )
    return uuid


def _visit(descriptors: list[tuple[bytes, int]]) -> list[_core.Domain]:
    """Take a line in each; the descriptors are gone afterwards."""
    found: dict[bytes, _core.Domain] = {}  # a process may have several descriptors of one
    while descriptors:
        uuid, fd = descriptors.pop()
        try:
            found[uuid] = domains.attach(uuid, fd)
        except BaseException:
            _close([fd for _, fd in descriptors])
            raise
    return list(found.values())
