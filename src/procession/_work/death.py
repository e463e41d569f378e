"""What is said of a worker that died: what happened, to whom, the likely cause, and what can be done."""

from typing import Any

from procession._base.errors import RemoteError
from procession._work.crew import Grave

__all__ = ["TOO_MANY_STARTS", "crew_died", "worker_died"]

TOO_MANY_STARTS = 10  # workers in a row that ended before they could begin

OUT_OF_MEMORY = "The kernel killed it for want of memory: let fewer workers run, or give each less at a time."
KILLED = "Nobody says who sent SIGKILL; mostly it is the kernel or a container for want of memory ('dmesg' tells), or an operator."
CRASHED = "That is a crash in C code: run the task alone under 'python -X faulthandler' to see where."
LEFT = "The task left by sys.exit() or os._exit(): let it return instead, or raise an exception."
AGAIN = "The pool goes on with another worker. Submit the task again if it may be done twice: it may have been done in part."
CRASHES = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}


def worker_died(grave: Grave, title: str) -> Exception:
    """Return the WorkerDied of a task that the worker had in hand."""
    how, cause = _story(grave)
    text = f"worker '{grave.name}' (pid {grave.pid}) ended, {how}, before it had done {title}. {cause}{AGAIN}"
    return _died(text, grave)


def crew_died(grave: Grave, count: int) -> Exception:
    """Return the WorkerDied of a pool whose workers do not get as far as their first task."""
    how, cause = _story(grave)
    text = (
        f"{count} workers in a row ended before they could begin, the last of them '{grave.name}' (pid {grave.pid}), {how}. "
        f"{cause}The pool has given up. See what the initializer does, and what importing the main module does in a new process."
    )
    return _died(text, grave)


def _died(text: str, grave: Grave) -> Exception:
    from procession._base.died import WorkerDied  # noqa: PLC0415 - it imports concurrent.futures.process, and nobody may die

    return WorkerDied(text, grave.pid, grave.name, _sendable(grave.outcome), grave.exitcode)


def _story(grave: Grave) -> tuple[str, str]:
    outcome = grave.outcome
    how = str(outcome) if outcome is not None else f"exit code {grave.exitcode}"
    if outcome is None:
        return how, ""
    if outcome.kind == "out_of_memory":
        return how, f"{OUT_OF_MEMORY} "
    if outcome.kind in {"finished", "failed"}:
        return how, f"{LEFT} "
    if outcome.kind == "signalled" and "SIGKILL" in how:
        return how, f"{KILLED} "
    if outcome.kind == "signalled" and any(name in how for name in CRASHES):
        return how, f"{CRASHED} "
    return how, ""


def _sendable(outcome: Any) -> Any:
    """Whoever has the exception may want to send it on."""
    if outcome is None or outcome.exception is None:
        return outcome
    return outcome._replace(exception=RemoteError(str(outcome.exception), type(outcome.exception).__qualname__))
