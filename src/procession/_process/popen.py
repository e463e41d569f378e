"""A started child, as ``BaseProcess`` sees it; how it is started is a subclass's matter (``start/``)."""

import os
import signal
from typing import Any, ClassVar

from procession import _core
from procession._memory.domain import domains
from procession._process import stdlib
from procession._process.janitor import doorbell
from procession._process.outcome import Outcome, outcome_of
from procession._process.settings import Settings, settings_of

__all__ = ["KEEP", "Popen"]

KEEP = 1  # slot flag: may outlive its parent
UNKNOWN_CODE = 255  # exitcode if somebody else reaped it, as asyncio has it


class Popen:
    """Start a child on creation, and watch over it until it is closed.

    The child's line of the process table is reserved before it exists, so that the guardian knows of
    it whenever this process may be killed.
    """

    method: ClassVar[str]
    child: _core.Child

    def __init__(self, process: stdlib.BaseProcess) -> None:
        stdlib.flush_streams()
        self.returncode: int | None = None
        self._sent: dict[int, str] = {}
        self._outcome: Outcome | None = None
        self._gone: int | None = None
        self._suspended = False
        self.settings: Settings = settings_of(process)
        self.domain = domains.current()
        doorbell.ensure(self.domain)
        # Named so because the handles of shared objects in the arguments look for it.
        self.procession_slot = self.domain.reserve_slot(
            str(process.name), KEEP if self.settings.orphan == "keep" else 0
        )
        try:
            self._launch(process)
        except BaseException:
            if hasattr(self, "child"):
                self.child.signal(signal.SIGKILL)  # the janitor reaps it and frees its line
            else:
                self.domain.release_slot(*self.procession_slot)
            raise
        self.pid = self.child.pid
        doorbell.ring(self.domain)

    def _launch(self, process: Any) -> None:
        """Make the child; the core sets ``child``, so that whatever happens next, it is watched."""
        raise NotImplementedError

    def duplicate_for_child(self, fd: int) -> int:
        """Return what the descriptor is called in the child."""
        return fd

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable from the end of the child on."""
        if self.child.pidfd >= 0:
            return self.child.pidfd
        if self._gone is None:  # it was reaped before a pidfd could be had: always readable
            self._gone, writer = os.pipe()
            os.close(writer)
        return self._gone

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code (minus the signal's number), None while it runs."""
        # First: every start() looks at all children, and another thread may close() this one, whose code is known then.
        child = getattr(self, "child", None)
        if self.returncode is None and child is not None:
            if flag == 0:
                child.wait()
            result = child.result() if child.look() else None
            if result is not None and not result["known"]:
                self.returncode = UNKNOWN_CODE
            elif result is not None:
                self.returncode = -result["code"] if result["signalled"] else result["code"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, None if it did not end within `timeout` seconds."""
        if self.returncode is None:
            self.child.wait(timeout)
        return self.poll()

    def outcome(self) -> Outcome | None:
        """How it ended, None while it runs."""
        if self._outcome is None and (result := self.child.result() if self.child.look() else None):
            self._outcome = outcome_of(result, self._sent)
        return self._outcome

    # ---- signals: by pidfd, so never to a successor of its pid -----------------------

    def _send(self, number: int, why: str | None = None) -> None:
        if self.poll() is None and self.child.signal(number) and why:
            self._sent.setdefault(number, why)

    def terminate(self) -> None:
        """SIGTERM; a suspended child is let go, since it could not end otherwise."""
        self._send(signal.SIGTERM, "terminate()")
        if self._suspended:
            self.resume()

    def kill(self) -> None:
        """SIGKILL."""
        self._send(signal.SIGKILL, "kill()")

    def suspend(self) -> None:
        """SIGSTOP: it keeps its state and gets no CPU."""
        self._send(signal.SIGSTOP)
        self._suspended = True

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)
        self._suspended = False

    def close(self) -> None:
        """Let go of the descriptors; the janitor goes on watching a child that runs."""
        if self._gone is not None:
            os.close(self._gone)
            self._gone = None
        del self.child
