"""The domains of this process: its own, and those it was attached to."""

import os
import threading
import weakref

from procession import _core

__all__ = ["Domains", "domains", "is_visited", "open_visited"]

SMALLEST = 64 << 20  # bytes of address space
# Set on a descriptor by which another program's domain is visited, and inherited with it; it means nothing to a memfd. A line in the
# process table tells a visitor as well, but comes later than the descriptor, and goes earlier.
VISITED = os.O_NONBLOCK


class Domains:
    """All domains that this process has mapped, by uuid; the first is the default.

    A program has one; a child that makes an object while ``__main__`` is imported, before
    its arguments are unpickled, has two. Those of other programs are visited: they never become
    the default, and are let go with the last object of theirs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_uuid: dict[bytes, _core.Domain] = {}
        self._visited: weakref.WeakValueDictionary[bytes, _core.Domain] = weakref.WeakValueDictionary()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    @property
    def default(self) -> _core.Domain | None:
        """The domain in use, or None if none was made yet."""
        return next(iter(self._by_uuid.values()), None)

    def all(self) -> list[_core.Domain]:
        """Every domain that this process has mapped."""
        return [*self._by_uuid.values(), *self._visited.values()]

    def current(self) -> _core.Domain:
        """The default domain, made at the first use.

        ``PROCESSION_DOMAIN_SIZE`` and ``PROCESSION_MAX_BYTES`` (bytes) override the defaults. ValueError if one of the
        environment variables has a value that it cannot have.
        """
        with self._lock:
            domain = self.default
            if domain is None:
                domain = _create()
                self._by_uuid[domain.uuid] = domain
            return domain

    def get(self, uuid: bytes) -> _core.Domain | None:
        """The domain of that uuid, if this process has it."""
        return self._by_uuid.get(uuid) or self._visited.get(uuid)

    def attach(self, uuid: bytes, fd: int, slot: int | None = None, generation: int = 0) -> _core.Domain:
        """Map the domain behind `fd`, which becomes the domain's own; a known one stays.

        Without a slot that its program has reserved for this process it is visited.
        """
        with self._lock:
            domain = self.get(uuid)
            if domain is None:
                try:
                    domain = _core.Domain.attach(fd, slot, generation, slot is None)
                except BaseException:
                    os.close(fd)
                    raise
                # A child of a visitor is one: its slot says so.
                known = self._visited if domain.visitor else self._by_uuid
                known[uuid] = domain
            else:
                os.close(fd)
            return domain


def _create() -> _core.Domain:
    if os.environ.get("PROCESSION_DISABLE"):
        from procession._base.platform import check_disabled  # noqa: PLC0415 - few need it, and it takes its time

        check_disabled()
    size = _bytes_of("PROCESSION_DOMAIN_SIZE", SMALLEST)
    most = _bytes_of("PROCESSION_MAX_BYTES", 1)
    try:
        return _core.Domain.create(size, most)
    except OSError as error:
        wanted = f"PROCESSION_DOMAIN_SIZE is {size}" if size else "ulimit -v and ulimit -f bound it"
        raise OSError(error.errno, f"no address space for shared memory ({wanted}): {error.strerror}") from None


def _bytes_of(variable: str, least: int) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return 0
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not least <= value < 1 << 63:
        raise ValueError(f"{variable} must be a number of bytes, {least} or more, not {text!r}")
    return value


def open_visited(pid: int, fd: int) -> int:
    """Open the domain of another program, by the descriptor that a process of it has. Raises OSError."""
    return os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC | VISITED)


def is_visited(pid: int, fd: int) -> bool:
    """Is the domain behind that descriptor of a process not its own program's? Raises OSError."""
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
        return any(int(line.split()[1], 8) & VISITED for line in file if line.startswith("flags:"))


domains = Domains()
