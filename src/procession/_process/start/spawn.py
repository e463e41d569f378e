"""spawn: the child is a new interpreter that imports what it needs."""

import io
import os
import threading
from multiprocessing.reduction import dump
from typing import Any, ClassVar

from procession import _core
from procession._process import prologue, stdlib
from procession._process.popen import Popen

__all__ = ["SpawnPopen", "write_all"]

PACKAGE_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
# What is imported before the program's own comes and goes without the collector (decision 180).
PROGRAM = (
    "import gc, sys; gc.disable(); sys.path.append({root!r}); "
    "from procession._process.child import spawn_main; spawn_main({arguments})"
)


class _Passed:
    """A descriptor that the child inherits under its own number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def detach(self) -> int:
        return self.fd


class SpawnPopen(Popen):
    """A child made by fork and exec: it shares nothing but what is handed to it."""

    method = "spawn"
    DupFd: ClassVar[type[Any]] = _Passed  # what the standard library's reducers ask a spawning Popen for

    def __init__(self, process: Any) -> None:
        self._passed: list[int] = []
        super().__init__(process)

    def duplicate_for_child(self, fd: int) -> int:
        """Pass the descriptor on; it keeps its number."""
        if fd not in self._passed:
            self._passed.append(fd)
        return fd

    def _pickle(self, *things: Any) -> io.BytesIO:
        """Pickle them, the last of which is the process."""
        data, process = io.BytesIO(), things[-1]
        stdlib.set_spawning_popen(self)
        try:
            for thing in things:
                dump(thing, data)
        except Exception as error:
            error.add_note(
                f"procession: Process {process.name!r} is started by {self.method}, so its target and arguments are pickled. "
                "Define functions and classes at the top of a module, or use start_method='fork'."
            )
            raise
        finally:
            stdlib.set_spawning_popen(None)
        return data

    def _command(self, pipe: int, domain_fd: int, tracker: int | None) -> list[str]:
        parent = os.getpid()
        slot, generation = self.procession_slot
        tied = self.settings.orphan == "kill" and threading.get_native_id() == parent
        arguments = (
            f"{pipe}, {domain_fd}, {self.domain.uuid.hex()!r}, {slot}, {generation}, "
            f"parent={parent}, tied={tied}, tracker={tracker}, prologue={prologue.names()!r}"
        )
        program = PROGRAM.format(root=PACKAGE_ROOT, arguments=arguments)
        # The last word is how multiprocessing knows its children (spawn.is_forking).
        return [stdlib.interpreter(), *stdlib.interpreter_flags(), "-c", program, "--multiprocessing-fork"]

    def _launch(self, process: Any) -> None:
        data = self._pickle(stdlib.preparation_data(process.name), process)
        tracker = stdlib.tracker_descriptor()
        reader_fd, writer_fd = os.pipe()
        # As files, which may be closed twice: Ctrl-C may come between any two steps.
        with (
            open(reader_fd, "rb", 0) as reader,
            open(writer_fd, "wb", 0) as writer,
            open(os.dup(self.domain.fd), "rb", 0) as domain,
        ):
            passed = [*self._passed, reader.fileno(), domain.fileno(), *([] if tracker is None else [tracker])]
            command = self._command(reader.fileno(), domain.fileno(), tracker)
            _core.spawn_child(self, self.domain, *self.procession_slot, tuple(map(os.fsencode, command)), tuple(passed))
            reader.close()
            write_all(writer, data.getbuffer())


def write_all(writer: io.RawIOBase, rest: memoryview) -> None:
    """Write what the child is to read."""
    try:
        while rest:
            rest = rest[writer.write(rest) or 0 :]
    except BrokenPipeError:
        pass  # it died while it started: its outcome tells
