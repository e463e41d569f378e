"""How a process ended, and what it says of it itself.

child: exception -> report bytes -> its line of the domain      parent: reap -> Outcome
"""

import pickle
import signal
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from procession._base.errors import RemoteError, RemoteTraceback
from procession._base.public import public

if TYPE_CHECKING:
    from procession._core import _Result

__all__ = ["Kind", "Outcome", "encode_report", "outcome_of"]

Kind = Literal["finished", "failed", "raised", "signalled", "killed", "out_of_memory", "parent_died", "unknown"]

# A traceback of a runaway recursion, or an exception with a gigabyte in it, is not sent whole.
REPORT_LIMIT = 1 << 20


@public
class Outcome(NamedTuple):
    """How a process ended, and what it used.

    ``kind`` is one of

    * ``finished``: exit code 0;
    * ``failed``: another exit code and no exception, as ``sys.exit(2)`` gives;
    * ``raised``: an exception, kept in ``exception`` with the child's own traceback as its cause;
    * ``signalled``: a signal, from itself (SIGSEGV, SIGILL), a terminal (SIGHUP) or somebody else;
    * ``killed``: by this program, ``reason`` says by what;
    * ``out_of_memory``: SIGKILL, while the kernel killed for want of memory;
    * ``parent_died``: ended because the process that started it had died;
    * ``unknown``: somebody else reaped it (``os.waitpid(-1)``, an ignored SIGCHLD).
    """

    kind: Kind
    code: int | None  # exit code; None after a signal
    signal: int | None
    core_dumped: bool
    reason: str | None
    exception: BaseException | None
    max_rss: int  # bytes
    user_time: float  # seconds of CPU, all threads
    system_time: float
    run_time: float  # seconds on a CPU, main thread
    ready_time: float  # seconds waiting for a CPU, main thread
    elapsed: float  # seconds from start to end
    when: float  # time.time() of the end

    @property
    def blocked_time(self) -> float:
        """Seconds in which the main thread neither ran nor waited for a CPU."""
        return max(0.0, self.elapsed - self.run_time - self.ready_time)

    def __str__(self) -> str:
        if self.kind == "failed":
            return f"failed with exit code {self.code}"
        if self.kind == "raised":
            return f"raised {_describe(self.exception)}"
        if self.kind == "killed":
            return f"killed by {self.reason} ({_signal_name(self.signal)})"
        if self.kind == "signalled":
            return f"signalled by {_signal_name(self.signal)}{', core dumped' if self.core_dumped else ''}"
        return self.kind.replace("_", " ")


def _describe(error: BaseException | None) -> str:
    text = str(error)
    name = error.type_name if isinstance(error, RemoteError) else type(error).__name__
    return f"{name}: {text}" if text else name


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


# ---- the child's last words ------------------------------------------------------


def encode_report(error: BaseException) -> bytes:
    """Return what the parent shall know of an exception, traceback included; never raises."""
    import traceback  # noqa: PLC0415 - every spawned child would pay for it at its start, few need it

    text = "".join(traceback.format_exception(error))[-REPORT_LIMIT:]
    try:
        body = pickle.dumps(error)
        pickle.loads(body)  # many exceptions pickle, and do not come back
    except Exception:  # noqa: BLE001 - whatever a user's __reduce__ raises
        body = b""
    if len(body) > REPORT_LIMIT:
        body = b""
    try:
        words = str(error)[:REPORT_LIMIT]
    except Exception:  # noqa: BLE001 - whatever a user's __str__ raises
        words = "(its text raised an exception)"
    return pickle.dumps((body, type(error).__qualname__, words, text))


def _decode_report(report: bytes) -> BaseException:
    body, type_name, words, text = pickle.loads(report)
    error: BaseException = RemoteError(words, type_name)
    if body:
        try:
            loaded = pickle.loads(body)
        except Exception:  # noqa: BLE001 - its module may not be importable here
            loaded = None
        if isinstance(loaded, BaseException):
            error = loaded
    error.__cause__ = RemoteTraceback(text)
    return error


# ---- the parent's view -------------------------------------------------------------


def _kind_of_signal(result: "_Result", reason: str | None) -> Kind:
    if reason:
        return "killed"
    if result["orphaned"]:
        return "parent_died"
    return "out_of_memory" if result["out_of_memory"] else "signalled"


def outcome_of(result: "_Result", sent: dict[int, str]) -> Outcome:
    """Make an Outcome of what the core kept; `sent`: signal -> what of ours sent it."""
    number = result["code"] if result["signalled"] else None
    error = _decode_report(result["report"]) if result["report"] else None
    reason = sent.get(number) if number is not None else None
    kind: Kind
    if not result["known"]:
        kind = "unknown"
    elif number is not None:
        kind = _kind_of_signal(result, reason)
    elif error is not None:
        kind = "raised"
    else:
        kind = "failed" if result["code"] else "finished"
    return Outcome(
        kind=kind,
        code=result["code"] if result["known"] and number is None else None,
        signal=number,
        core_dumped=result["core_dumped"],
        reason=reason,
        exception=error,
        max_rss=result["max_rss"],
        user_time=result["user_us"] / 1e6,
        system_time=result["system_us"] / 1e6,
        run_time=result["run_ns"] / 1e9,
        ready_time=result["ready_ns"] / 1e9,
        elapsed=(result["ended_ns"] - result["started_ns"]) / 1e9,
        when=time.time() - (time.monotonic_ns() - result["ended_ns"]) / 1e9,
    )
