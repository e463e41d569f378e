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
from procession._process.template_owner import Template, Trial, inherited
from procession._process.wire import CHILD, HAS_ENVIRONMENT, IS_PIPED, LARGEST, Order

__all__ = ["CannotMake", "Templates", "templates"]

PAUSE = 1.0  # seconds between the beginnings of two successions
# clone(2) says these where a sandbox or an imitated kernel does not let one process make another's child.
REFUSED = {errno.ENOSYS, errno.EINVAL, errno.EPERM}


class CannotMake(Exception):
    """This system refuses what templates need."""


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
        self, popen: Any, order: Order, preparation: dict[str, Any], data: memoryview, files: ExitStack
    ) -> tuple[io.RawIOBase, memoryview] | None:
        """Let a template make the child of `popen`, whose pickle is `data`. What does not fit into the question is returned, with its pipe.

        Raises OSError if there can be no such process, CannotMake if there can be none in this way.
        """
        with self._asked():
            for _ in range(2):
                template = self._alive(popen.domain)
                body, flags = pickle.dumps(template.lacks(preparation)) + data, order.flags
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
        raise CannotMake  # two have ended meanwhile: whoever kills them does not keep this process from starting children

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

    def _give_up_trial(self) -> None:
        if self.trial is not None:
            self.trial.template.close()
            self.trial.close()
            self.trial = None

    def dismiss(self) -> None:
        """End those that there are. The next start makes a new one."""
        with self._asked():
            self._give_up_trial()
            if self.serving is not None:
                self._drop(self.serving)

    def _alive(self, domain: _core.Domain) -> Template:
        """Return the serving template, a new one if there is none."""
        now = inherited()
        if self.serving is not None and not (self.serving.is_alive() and self.serving.inherited == now):
            self._drop(self.serving)
        if self.trial is not None and self.trial.template.inherited != now:
            self._give_up_trial()
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
