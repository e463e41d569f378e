"""A template: a small process that makes children for its owner, which are its owner's children (core/sibling.h).

It is an ordinary child of ours, started by spawn; one for each process that starts children by forkserver. It has one
thread, keeps nothing but modules, and reads questions from a socket: a header, what the child shall know, and
descriptors. The next template is made in the same way, so that what it imports can harm nobody (``succeed``).
"""

import array
import errno
import gc
import io
import os
import pickle
import signal
import socket
import sys
from typing import Any, NamedTuple, NoReturn

from procession import _core
from procession._memory.domain import domains
from procession._process import stdlib
from procession._process.child import begin, leave_report
from procession._process.preload import preload
from procession._process.wire import ANSWER, HEADER, LARGEST, PIPED, PROGRESS_BYTES, READY, SUCCESSOR, Order, Received, Succession

__all__ = ["main"]

FDS = 253  # in one message: unix(7)
SPACE = socket.CMSG_SPACE(FDS * array.array("i").itemsize)


class Question(NamedTuple):
    """What the owner asks for: a child, or a successor."""

    kind: int
    slot: int
    generation: int
    body: bytes
    fds: list[int]
    is_whole: bool  # False: the descriptors did not fit into this process


class Template:
    """The loop, and what differs between a template and its successor."""

    def __init__(self, connection: socket.socket, domain: _core.Domain, parent: int, tied: bool) -> None:
        self.connection = connection
        self.domain = domain
        self.parent = parent
        self.tied = tied

    def serve(self) -> NoReturn:
        """Answer until the owner is gone. The main module's own frames are below: a child never returns to them."""
        gc.collect()
        gc.freeze()  # what is here stays: a child's collector need not touch, and so copy, its pages
        while True:
            question = self.receive()
            if question is None:
                self.domain.leave()
                os._exit(0)
            if not question.is_whole:
                self.answer(question, errno.EMFILE)
                continue
            try:
                pid = _core.sibling(self.domain, question.slot, question.generation)
            except OSError as error:
                self.answer(question, error.errno or errno.EINVAL)
                continue
            if pid != 0:
                self.answer(question, 0)
            elif question.kind == SUCCESSOR:
                self.succeed(question)
            else:
                self.run(question)

    def receive(self) -> Question | None:
        """Read the next question; None if the owner is gone."""
        body, kind, slot, generation, count = b"", 0, 0, 0, 0
        fds = array.array("i")
        whole = True
        while not body or len(fds) < count:
            data, rights, flags, _ = self.connection.recvmsg(HEADER.size + LARGEST, SPACE, socket.MSG_CMSG_CLOEXEC)
            if not data:
                return None
            for level, what, carried in rights:
                if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(carried[: len(carried) - len(carried) % fds.itemsize])
            if not body:
                kind, slot, generation, count = HEADER.unpack_from(data)
                body = data
            if flags & socket.MSG_CTRUNC:
                whole = False
                count -= FDS  # those that were cut off do not come any more
        return Question(kind, slot, generation, body, fds.tolist(), whole)

    def answer(self, question: Question, error: int) -> None:
        """Say what came of it; the descriptors were for the child."""
        for fd in question.fds:
            os.close(fd)
        try:
            self.connection.send(ANSWER.pack(question.slot, question.generation, error))
        except OSError:
            pass  # the owner is gone, which the next look at the socket tells

    # ---- in a child ----------------------------------------------------------------------------

    def run(self, question: Question) -> NoReturn:
        """Run the Process that the owner sent."""
        code = 1
        at_exit = stdlib.RunAtExit()
        try:
            at_exit.begin()
            code = self.work(question)
        except SystemExit as error:  # the main module ended itself while it was imported
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException as error:  # noqa: BLE001 - it did not get as far as run(), whatever it is
            leave_report(self.domain, error)
            sys.excepthook(*sys.exc_info())
        finally:
            try:
                at_exit.end()
                stdlib.flush_streams()
                self.domain.leave()
            finally:
                os._exit(code)

    def work(self, question: Question) -> int:
        """Become what a spawned child would be, then run."""
        self.connection.close()
        fds = iter(question.fds)
        stream: io.BufferedReader | io.BytesIO = io.BytesIO(question.body)
        if question.kind == PIPED:
            stream = open(next(fds), "rb")  # noqa: SIM115 - closed below
        else:
            stream.seek(HEADER.size)
        order = Order(*pickle.load(stream))
        for number in order.streams:
            fd = next(fds)
            os.dup2(fd, number)
            os.close(fd)
        for number in {0, 1, 2}.difference(order.streams):
            close_quietly(number)
        adopt_environment(order.environment)
        adopt_signals(order.ignored, order.blocked)
        sentinel = begin(self.domain, self.parent, self.tied and order.tied)
        if order.has_tracker:
            stdlib.use_tracker(next(fds))
        Received.all[:] = fds
        reseed()
        with stream:
            return stdlib.run_received(stream, sentinel)

    # ---- in a successor ------------------------------------------------------------------------

    def succeed(self, question: Question) -> None:
        """Become a template that has imported more; whatever goes wrong, nobody but this process ends by it."""
        self.connection.close()
        connection, progress = question.fds
        with open(progress, "rb", closefd=False) as file:
            file.seek(PROGRESS_BYTES)
            succession: Succession = pickle.load(file)
        self.connection = socket.socket(fileno=connection)
        adopt_environment(succession.environment)
        os.close(begin(self.domain, self.parent, self.tied))
        preload(self.domain, succession, progress)
        os.close(progress)
        gc.collect()
        gc.freeze()
        try:
            self.connection.send(READY)
        except OSError:
            pass  # the owner is gone


def adopt_environment(changes: dict[bytes, bytes | None]) -> None:
    """Bring this process's environment to where the owner's is."""
    for name, value in changes.items():
        if value is None:
            os.environb.pop(name, None)
        else:
            os.environb[name] = value


def adopt_signals(ignored: int, blocked: int) -> None:
    """Ignore and block what the owner ignores and blocks, as a program does that it executes."""
    mine, _ = _core.dispositions()
    for number in range(1, 65) if mine != ignored else ():
        bit = 1 << (number - 1)
        if (mine ^ ignored) & bit:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if ignored & bit else default)
    # A template blocks SIGINT, so that a child gets the Ctrl-C that came while it was made.
    signal.pthread_sigmask(signal.SIG_SETMASK, {number for number in range(1, 65) if blocked >> (number - 1) & 1})


def reseed() -> None:
    """numpy's global generator, which, unlike Python's own, knows nothing of fork."""
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def close_quietly(fd: int) -> None:
    """Close one that may be closed already."""
    try:
        os.close(fd)
    except OSError:
        pass


def main(connection: int, domain_fd: int, uuid: str, slot: int, generation: int, parent: int, tied: bool) -> NoReturn:
    """Be a template, in a fresh interpreter."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    domain = domains.attach(bytes.fromhex(uuid), domain_fd, slot, generation)
    os.close(begin(domain, parent, tied))
    Template(socket.socket(fileno=connection), domain, parent, tied).serve()
