"""A template as its owner sees it: how it is started and asked, and how one that is on trial gets on."""

import os
import pickle
import resource
import signal
import socket
import threading
import time
from typing import Any

from procession import _core
from procession._process import prologue, stdlib
from procession._process.preload import MAIN
from procession._process.wire import HEADER, PROGRESS_BYTES, READY, SUCCESSOR, Changes, Order, Succession

__all__ = ["Template", "Trial", "inherited"]

ANSWER_LIMIT = 10.0  # seconds; a template that says nothing for so long is stopped, or a module's thread holds its lock
START_LIMIT = 60.0  # seconds for its first answer: it is a new interpreter
IMPORT_LIMIT = 60.0  # seconds for each module
LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})
# Of exec: a module of the program must not be found instead of ours, as with spawn.
PROGRAM = "import sys; sys.path.append({root!r}); from procession._process.template import main; main({arguments})"
PACKAGE_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))


def inherited() -> tuple[object, ...]:
    """Return what a process gets from the one that makes it, and a template from its owner once. 20 us.

    If it has changed, privileges that were dropped above all, another template is needed. (Only the umask cannot be read
    without being changed.)
    """
    users = os.getresuid(), os.getresgid(), os.getgroups()
    limits = [resource.getrlimit(number) for number in LIMITS]
    return (
        *users,
        os.getpgrp(),
        os.getsid(0),
        os.sched_getaffinity(0),
        os.getpriority(os.PRIO_PROCESS, 0),
        limits,
        prologue.names(),
    )


class Template:
    """One of them. The core sets ``child``."""

    child: _core.Child

    def __init__(self, domain: _core.Domain) -> None:
        self.domain = domain
        self.environment = stdlib.environment()
        self.inherited = inherited()
        self.tried: set[str] = set()
        self.prepared: dict[str, Any] = {}  # of multiprocessing's preparation data: what its children have
        self.has_answered = False
        self.line = domain.reserve_slot("template", 0)
        # Numbers, not objects: nobody has to close them at the end of the program.
        self.socket, self.theirs = (end.detach() for end in socket.socketpair(type=socket.SOCK_SEQPACKET))
        os.set_blocking(self.socket, False)

    def spawn(self) -> None:
        """Start it as a fresh interpreter."""
        parent = os.getpid()
        domain_fd = os.dup(self.domain.fd)
        try:
            arguments = (
                f"{self.theirs}, {domain_fd}, {self.domain.uuid.hex()!r}, {self.line[0]}, {self.line[1]}, "
                f"{parent}, {threading.get_native_id() == parent}, {prologue.names()!r}"
            )
            program = PROGRAM.format(root=PACKAGE_ROOT, arguments=arguments)
            command = (stdlib.interpreter(), *stdlib.interpreter_flags(), "-c", program, "--multiprocessing-fork")
            _core.spawn_child(self, self.domain, *self.line, tuple(map(os.fsencode, command)), (self.theirs, domain_fd))
        finally:
            os.close(domain_fd)

    def started(self) -> None:
        """It has its end of the socket: only it may keep that open."""
        theirs, self.theirs = self.theirs, -1
        os.close(theirs)

    def is_alive(self) -> bool:
        """Does it run, as far as this process knows?"""
        return not self.child.look()

    def changes(self) -> Changes:
        """What differs by now from the environment that it has."""
        now = stdlib.environment()
        if now == self.environment:
            return {}
        gone: Changes = dict.fromkeys(self.environment.keys() - now.keys())
        return gone | {name: value for name, value in now.items() if self.environment.get(name) != value}

    def lacks(self, preparation: dict[str, Any]) -> dict[str, Any]:
        """What of it a child is still to be told."""
        has = self.prepared
        return {key: value for key, value in preparation.items() if key not in has or has[key] != value}

    def ask(self, holder: Any, line: tuple[int, int], kind: int, order: Order, body: bytes = b"") -> int | None:
        """Ask for the process of that line: 0 or an errno; None: it is dead, and there is no such process."""
        message = HEADER.pack(kind, *line, len(order.fds), *order[:-1]) + body
        limit = ANSWER_LIMIT if self.has_answered else START_LIMIT
        error = _core.ask_template(holder, self.domain, *line, self.child, self.socket, message, order.fds, limit)
        self.has_answered |= error is not None
        return error

    def close(self) -> None:
        """Let go of it, and so end it; its line too, if it never came to be."""
        for fd in {self.socket, self.theirs} - {-1}:
            os.close(fd)
        self.socket = self.theirs = -1
        if not hasattr(self, "child"):
            self.domain.release_slot(*self.line)


class Trial:
    """A successor that imports modules, and what it was told."""

    def __init__(self, template: Template, names: list[str]) -> None:
        self.template = template
        self.names = names
        self.progress = os.memfd_create("procession-preload", os.MFD_CLOEXEC)
        self.seen = b""
        self.since = time.monotonic()

    def begin(self, serving: Template) -> bool:
        """Have it made by the serving template; False: it was not."""
        data = stdlib.template_data()
        body = pickle.dumps(Succession(self.names, data, serving.changes(), IMPORT_LIMIT))
        os.pwrite(self.progress, body, PROGRESS_BYTES)
        order = Order(0, 0, 0, 0, (self.template.theirs, self.progress))
        if serving.ask(self.template, self.template.line, SUCCESSOR, order) != 0:
            return False
        self.template.started()
        self.template.tried = serving.tried.union(self.names)
        self.template.prepared = serving.prepared | stdlib.has_by_then(data, main=MAIN in self.names)
        return True

    def name(self) -> str:
        """Return the module that it has begun last, "" if none."""
        return os.pread(self.progress, PROGRESS_BYTES, 0).rstrip(b"\0").decode(errors="replace")

    def is_ready(self) -> bool | None:
        """True: it serves; None: it is busy; False: it has ended, or does not get anywhere."""
        try:
            return os.read(self.template.socket, len(READY)) == READY
        except BlockingIOError:
            pass
        except OSError:
            return False
        if not self.template.is_alive():
            return False
        now, seen = time.monotonic(), os.pread(self.progress, PROGRESS_BYTES, 0)
        if seen != self.seen:
            self.seen, self.since = seen, now
        if now - self.since < 2 * IMPORT_LIMIT:
            return None  # it has an alarm clock of its own
        self.template.child.signal(signal.SIGKILL)
        return False

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.progress)
