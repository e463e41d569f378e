"""Those who watch over children: the janitor thread in this process, the guardian beside it.

The janitor is C (``core/janitor.c``); here it is sent away around forks, given the guardian's command, and the
guardian's doorbell is rung when a child was started.
"""

import os

from procession import _core
from procession._process import stdlib

__all__ = ["Doorbell", "doorbell"]

GUARDIAN = os.path.join(os.path.dirname(__file__), "guardian.py")


class Doorbell:
    """The pipe by which the guardian of a domain hears of new processes."""

    def __init__(self) -> None:
        self.pipe: int | None = None
        self._guardian: tuple[int, int, int] = (0, 0, 0)

    def ensure(self, domain: _core.Domain) -> None:
        """See to it that a guardian lives; it need not be ready yet, since it reads the table when it is."""
        if stdlib.is_frozen() or not stdlib.interpreter():
            return  # nothing could run it but the program itself; the death signal of a child is all there is
        # -I -S: nothing of the program's environment or site-packages; it needs the core alone.
        command = (stdlib.interpreter(), "-I", "-S", GUARDIAN, str(_core.__file__))
        _core.arm_guardian(domain, tuple(map(os.fsencode, command)))

    def ring(self, domain: _core.Domain) -> None:
        """Tell the guardian to read the table. Without one there is nobody to tell: a new one reads it anyway."""
        guardian = domain.guardian()
        try:
            if guardian != self._guardian or self.pipe is None:
                self.close()
                pid, _, fd = guardian
                if pid == 0:
                    return
                # Both ends, so that a guardian's death is never SIGPIPE, which a program may have set to kill it.
                self.pipe = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self._guardian = guardian
            os.write(self.pipe, b"!")
        except BlockingIOError:
            pass  # it has bells enough to wake up
        except OSError:
            self.close()  # it died before it could be rung; the janitor starts another

    def close(self) -> None:
        """Let go of the pipe."""
        pipe, self.pipe = self.pipe, None  # before it is closed: another thread may close it too
        if pipe is not None:
            os.close(pipe)


doorbell = Doorbell()

# CPython counts threads before it forks, and from 3.12 on warns if there are several: the janitor is away meanwhile.
os.register_at_fork(before=_core.pause_janitor, after_in_parent=_core.resume_janitor)
