"""The templates of this process, as it sees them: one that serves, and at times one that is to succeed it.

`make` asks the serving template for a child. It is started at the first question, and again whenever it is found dead:
a child either exists, and then its line of the process table has its pid, or another template is asked
(core/sibling.h). Between two starts `tend` looks whether this process has imported something that children could use.
If so, the template is told to make a successor, which imports it (preload.py) while the old one goes on serving.
"""

import errno
import io
import os
import pickle
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from procession import _core
from procession._process import stdlib
from procession._process.janitor import doorbell
from procession._process.preload import wanted
from procession._process.wire import (
    CHILD,
    HAS_ENVIRONMENT,
    HEADER,
    IS_PIPED,
    LARGEST,
    PROGRESS_BYTES,
    READY,
    SUCCESSOR,
    Changes,
    Order,
    Succession,
)

__all__ = ["CannotMake", "Template", "Templates", "templates"]

ANSWER_LIMIT = 10.0  # seconds; a template that says nothing for so long is stopped, or a module's thread holds its lock
IMPORT_LIMIT = 60.0  # seconds for each module
PAUSE = 1.0  # seconds between the beginnings of two successions
# clone(2) says these where a sandbox or an imitated kernel does not let one process make another's child.
REFUSED = {errno.ENOSYS, errno.EINVAL, errno.EPERM}
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
    return *users, os.getpgrp(), os.getsid(0), os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0), limits


class CannotMake(Exception):
    """This system refuses what templates need."""


class Template:
    """One of them. The core sets ``child``."""

    child: _core.Child

    def __init__(self, domain: _core.Domain) -> None:
        self.domain = domain
        self.environment = stdlib.environment()
        self.inherited = inherited()
        self.tried: set[str] = set()
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
                f"{parent}, {threading.get_native_id() == parent}"
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

    def ask(self, holder: Any, line: tuple[int, int], kind: int, order: Order, body: bytes = b"") -> int | None:
        """Ask for the process of that line: 0 or an errno; None: it is dead, and there is no such process."""
        header = HEADER.pack(kind, *line, len(order.fds), *order[:-1])
        return _core.ask_template(
            holder, self.domain, *line, self.child, self.socket, header + body, order.fds, ANSWER_LIMIT
        )

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
        body = pickle.dumps(Succession(self.names, stdlib.template_data(), serving.changes(), IMPORT_LIMIT))
        os.pwrite(self.progress, body, PROGRESS_BYTES)
        order = Order(0, 0, 0, 0, (self.template.theirs, self.progress))
        if serving.ask(self.template, self.template.line, SUCCESSOR, order) != 0:
            return False
        self.template.started()
        self.template.tried = serving.tried.union(self.names)
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


class Templates:
    """Which template serves, who is on trial, and what is not to be imported any more."""

    def __init__(self) -> None:
        self._forget()
        self.refused: set[str] = set()  # modules that no template can import
        self._possible = True
        os.register_at_fork(after_in_child=self._abandon)

    def _forget(self) -> None:
        self._lock = threading.RLock()  # a signal handler may start a process, too
        self._asking = False
        self.serving: Template | None = None
        self.trial: Trial | None = None
        self._seen: object = None
        self._not_before = 0.0

    def _abandon(self) -> None:
        """In a child of this process: they are the parent's."""
        serving, trial = self.serving, self.trial
        self._forget()
        for template in (serving, trial.template if trial else None):
            if template is not None:
                for fd in {template.socket, template.theirs} - {-1}:
                    os.close(fd)
        if trial is not None:
            trial.close()

    def are_possible(self) -> bool:
        """Can this process have a template?"""
        works = self._possible and _core.features()["siblings"]
        return works and bool(stdlib.interpreter()) and not stdlib.is_frozen()

    def make(
        self, popen: Any, order: Order, data: memoryview, files: ExitStack
    ) -> tuple[io.RawIOBase, memoryview] | None:
        """Let a template make the child of `popen`. What does not fit into the question is returned, with its pipe.

        Raises OSError if there can be no such process, CannotMake if there can be none in this way.
        """
        with self._asked():
            for _ in range(2):
                template = self._alive(popen.domain)
                body, flags = bytes(data), order.flags
                if changes := template.changes():
                    body, flags = pickle.dumps(changes) + body, flags | HAS_ENVIRONMENT
                if len(body) <= LARGEST:
                    rest = None
                    error = template.ask(popen, popen.procession_slot, CHILD, order._replace(flags=flags), body)
                else:
                    reader, writer = os.pipe()
                    file = files.enter_context(open(writer, "wb", 0))  # noqa: SIM115 - the caller closes it
                    rest = file, memoryview(body)
                    with open(reader, "rb", 0):
                        piped = order._replace(flags=flags | IS_PIPED, fds=(*order.fds, reader))
                        error = template.ask(popen, popen.procession_slot, CHILD, piped)
                if error == 0:
                    self._tend()
                    return rest
                self._take_note(template, error)
        raise ChildProcessError(errno.ECHILD, "the template of this process ended twice while it was to start a child")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with self._lock:
            if self._asking:  # by this thread, which is in a signal handler: the answer would be taken for another
                raise CannotMake
            self._asking = True
            try:
                yield
            finally:
                self._asking = False

    def _take_note(self, template: Template, error: int | None) -> None:
        """What a template answered that did not make a child. Returns if another one may."""
        if error in REFUSED:
            self._possible = False
            raise CannotMake
        if error == errno.EBUSY:
            # A thread that nobody saw at the trial. Which module's it is, nobody knows.
            self.refused |= template.tried
            self._drop(template)
        elif error is None:
            self._drop(template)
        else:
            raise OSError(error, os.strerror(error))

    def _drop(self, template: Template) -> None:
        if self.serving is template:
            self.serving = None
        template.close()

    def _alive(self, domain: _core.Domain) -> Template:
        """Return the serving template, a new one if there is none."""
        now = inherited()
        if self.serving is not None and not (self.serving.is_alive() and self.serving.inherited == now):
            self._drop(self.serving)
        if self.trial is not None and self.trial.template.inherited != now:
            self.trial.template.close()
            self.trial.close()
            self.trial = None
        if self.serving is None:
            template = Template(domain)
            try:
                template.spawn()
                template.started()
                self.serving, self._seen = template, None
            finally:
                if self.serving is not template:
                    template.close()
        return self.serving

    # ---- succession ------------------------------------------------------------------------------

    def tend(self) -> bool:
        """See how a trial goes, and begin one if there is something to import. True while one goes on."""
        with self._asked():
            self._tend()
            return self.trial is not None

    def _tend(self) -> None:
        if self.trial is not None:
            self._judge(self.trial)
        if self.trial is not None or self.serving is None or time.monotonic() < self._not_before:
            return
        seen = len(sys.modules), stdlib.preload_names(), len(self.refused)
        if seen == self._seen:
            return
        names = wanted(self.serving.tried | self.refused)
        if names:
            self._begin(names)
        self._seen = seen

    def _begin(self, names: list[str]) -> None:
        assert self.serving is not None
        self._not_before = time.monotonic() + PAUSE
        try:
            template = Template(self.serving.domain)
        except (OSError, MemoryError):
            return  # no descriptor, no line: those that are there serve on
        trial = Trial(template, names)
        try:
            if trial.begin(self.serving):
                self.trial = trial
                doorbell.ring(template.domain)
        except (OSError, RuntimeError):
            pass  # the same; or the main module is being imported, so that nothing may be started
        finally:
            if self.trial is not trial:
                template.close()
                trial.close()

    def _judge(self, trial: Trial) -> None:
        ready = trial.is_ready()
        if ready is None:
            return
        self.trial = None
        if ready:
            if self.serving is not None:
                self._drop(self.serving)
            self.serving = trial.template
        else:
            name = trial.name()
            self.refused |= {name} if name else set(trial.names)
            self._not_before = 0.0  # without that one, at once
            trial.template.close()
        trial.close()


templates = Templates()
