"""WorkerDied: beside the other errors, because what it derives from takes long to import."""

from concurrent.futures.process import BrokenProcessPool
from typing import Any

from procession._base.public import public

__all__ = ["WorkerDied"]


@public
class WorkerDied(BrokenProcessPool):
    """The worker that had this task in hand ended before it was done. Only this task fails.

    ``pid`` and ``name`` are the worker's; ``outcome`` says how it ended (an ``Outcome``; None if it was no process of
    ours), and so does ``exitcode``, as ``Process.exitcode`` does.
    """

    def __init__(
        self, text: str, pid: int = 0, name: str = "", outcome: Any = None, exitcode: int | None = None
    ) -> None:
        super().__init__(text)
        self.pid = pid
        self.name = name
        self.outcome = outcome
        self.exitcode = exitcode

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.pid, self.name, self.outcome, self.exitcode), self.__dict__
