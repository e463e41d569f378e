"""How processes end: normally, by an error, by a fatal error, killed by another; and what is known of it."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import procession
from procession import Outcome, Process, RemoteError, RemoteTraceback
from tests.lifecycle.tools import run, until

METHODS = ["fork", "spawn", "forkserver"]


def outcome_of(target: Callable[..., object], *args: object, method: str = "fork") -> Outcome:
    process = Process(target=target, args=args, start_method=method)
    process.start()
    process.join()
    outcome = process.outcome
    process.close()
    assert outcome is not None
    return outcome


def leave(code: object) -> None:
    sys.exit(code)  # type: ignore[arg-type]


def raise_key_error(key: str) -> None:
    raise KeyError(key)


@pytest.mark.parametrize("method", METHODS)
def test_normal_exit_is_finished(method: str) -> None:
    outcome = outcome_of(int, method=method)
    assert (outcome.kind, outcome.code, outcome.signal, str(outcome)) == ("finished", 0, None, "finished")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("argument", "code"), [(3, 3), ("words", 1), (None, 0), (256 + 7, 7)])
def test_sys_exit_gives_its_code(argument: object, code: int, method: str, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = outcome_of(leave, argument, method=method)
    assert (outcome.kind, outcome.code) == ("failed" if code else "finished", code)
    assert str(outcome) == (f"failed with exit code {code}" if code else "finished")


@pytest.mark.parametrize("method", METHODS)
def test_exception_comes_with_the_childs_own_traceback(method: str, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = outcome_of(raise_key_error, "no such key", method=method)
    assert (outcome.kind, outcome.code) == ("raised", 1)
    assert isinstance(outcome.exception, KeyError)
    assert outcome.exception.args == ("no such key",)
    assert isinstance(outcome.exception.__cause__, RemoteTraceback)
    assert "raise KeyError(key)" in str(outcome.exception.__cause__)
    assert str(outcome) == "raised KeyError: 'no such key'"
    # As in multiprocessing, the child itself prints it, once.
    assert capfd.readouterr().err.count("Traceback (most recent call last)") == 1


class Secretive(Exception):
    def __init__(self) -> None:
        super().__init__("not to be had")
        self.lock = threading.Lock()


class Stubborn(Exception):
    """Pickles, and does not come back: its __init__ wants two arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(("error", "text"), [(Secretive, "not to be had"), (Stubborn, "1 and 2")])
def test_exception_that_does_not_pickle_is_described(
    error: type[Exception], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error(1, 2) if error is Stubborn else error()

    outcome = outcome_of(fail)
    assert isinstance(outcome.exception, RemoteError)
    assert (outcome.exception.type_name, str(outcome.exception)) == (error.__name__, text)
    assert str(outcome) == f"raised {error.__name__}: {text}"


def run_missing_script() -> None:
    os.execv(sys.executable, [sys.executable, "missing.py"])


def test_error_exit_of_a_missing_script(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = outcome_of(run_missing_script)
    assert str(outcome) == "failed with exit code 2"
    assert "missing.py" in capfd.readouterr().err


def run_script(path: str) -> None:
    os.execv(sys.executable, [sys.executable, path])


def test_fatal_error_of_wrong_syntax_in_a_script(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "wrong.py"
    script.write_text("def f(:\n")
    assert str(outcome_of(run_script, str(script))) == "failed with exit code 1"
    assert "SyntaxError" in capfd.readouterr().err


def test_fatal_error_of_wrong_syntax_in_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrongly_written.py").write_text("x = = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = outcome_of(__import__, "wrongly_written")
    assert outcome.kind == "raised"
    assert isinstance(outcome.exception, SyntaxError)


def die_quietly() -> None:
    faulthandler.disable()  # pytest's, inherited
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def illegal_instruction() -> None:
    die_quietly()
    import mmap

    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write({"x86_64": b"\x0f\x0b", "aarch64": b"\x00\x00\x00\x00"}[os.uname().machine])  # ud2; udf
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


@pytest.mark.skipif(os.uname().machine not in {"x86_64", "aarch64"}, reason="knows no illegal instruction here")
def test_fatal_error_of_an_illegal_instruction() -> None:
    outcome = outcome_of(illegal_instruction)
    assert (outcome.kind, outcome.signal, outcome.code) == ("signalled", signal.SIGILL, None)
    assert str(outcome).startswith("signalled by SIGILL")


def test_segmentation_fault() -> None:
    def fault() -> None:
        die_quietly()
        ctypes.string_at(0)

    assert outcome_of(fault).signal == signal.SIGSEGV


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_killed_by_another(number: signal.Signals, method: str) -> None:
    process = Process(target=time.sleep, args=(60,), start_method=method)
    process.start()
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    outcome = process.outcome
    assert outcome is not None
    assert (outcome.kind, outcome.signal, process.exitcode) == ("signalled", number, -number)
    assert str(outcome) == f"signalled by {number.name}"


IN_A_TERMINAL = """
import os, procession, signal, time
def work():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    time.sleep(60)
process = procession.Process(target=work, start_method="fork")
process.start()
signal.signal(signal.SIGHUP, lambda *_: None)
print(process.pid)
process.join()
with open(os.environ["TOLD"] + ".new", "w") as file:
    file.write(str(process.outcome))
os.rename(file.name, os.environ["TOLD"])
"""


def test_closed_terminal(tmp_path: Path) -> None:
    """The window is closed: the kernel ends the shell by SIGHUP, then what runs in its foreground."""
    told = tmp_path / "told"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TOLD"] = str(told)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
        os.execv("/bin/sh", ["sh", "-c", '"$0" -c "$1"; true', sys.executable, IN_A_TERMINAL])
    seen = b""
    while b"\n" not in seen:
        seen += os.read(terminal, 1000)
    os.close(terminal)
    os.waitpid(pid, 0)
    until(told.exists, "the program's last word")
    assert told.read_text() == "signalled by SIGHUP"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("how", "number"), [("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)])
def test_killed_by_us(how: str, number: signal.Signals, method: str) -> None:
    process = Process(target=time.sleep, args=(60,), start_method=method)
    process.start()
    getattr(process, how)()
    process.join()
    outcome = process.outcome
    assert outcome is not None
    assert (outcome.kind, outcome.reason, outcome.signal) == ("killed", f"{how}()", number)
    assert str(outcome) == f"killed by {how}() ({number.name})"


def test_terminated_child_that_ends_properly_is_finished() -> None:
    def polite(ready: procession.SimpleQueue[int]) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        ready.put(1)
        time.sleep(60)

    ready: procession.SimpleQueue[int] = procession.SimpleQueue()
    process = Process(target=polite, args=(ready,), start_method="fork")
    process.start()
    ready.get()
    process.terminate()
    process.join()
    assert str(process.outcome) == "finished"


class SmallGroup:
    """A memory cgroup of 32 MiB, of version 1 or 2, if this user may make one."""

    def __init__(self) -> None:
        groups = dict(line.split(":")[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
        if "memory" in groups:
            self.path, limit = Path(f"/sys/fs/cgroup/memory{groups['memory']}"), "memory.limit_in_bytes"
        else:
            self.path, limit = Path(f"/sys/fs/cgroup{groups.get('', '/')}"), "memory.max"
        self.path /= f"procession-test-{os.getpid()}"
        self.path.mkdir()
        (self.path / limit).write_text(str(32 << 20))

    def swallow(self) -> None:
        (self.path / "cgroup.procs").write_text(str(os.getpid()))
        swallowed = []
        while True:
            swallowed.append(bytearray(os.urandom(1 << 20)))


def test_out_of_memory() -> None:
    try:
        group = SmallGroup()
    except (OSError, KeyError) as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        outcome = outcome_of(group.swallow)
    finally:
        until(lambda: not (group.path / "cgroup.procs").read_text(), "the cgroup is empty")
        group.path.rmdir()
    assert (outcome.kind, outcome.signal, str(outcome)) == ("out_of_memory", signal.SIGKILL, "out of memory")


def test_memory_error_is_an_exception_like_any_other(capfd: pytest.CaptureFixture[str]) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        bytearray(8 << 30)

    assert isinstance(outcome_of(limited).exception, MemoryError)


STOLEN = {
    "waitpid(-1)": "while os.waitpid(-1, 0)[0] != process.pid: pass",
    "SIGCHLD ignored": "pass",
}


@pytest.mark.parametrize("how", STOLEN)
def test_somebody_else_reaped_it(how: str) -> None:
    ignore = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)" if how == "SIGCHLD ignored" else ""
    result = run(f"""
import os, procession, signal
from procession import _core
{ignore}
_core.pause_janitor()  # or it would be faster
process = procession.Process(target=int, start_method="fork")
process.start()
{STOLEN[how]}
process.join()
print(process.outcome, process.outcome.code, process.exitcode, process.is_alive())
""")
    assert (result.stdout, result.stderr) == ("unknown None 255 False\n", "")


def test_outcome_of_one_that_lost_its_parent() -> None:
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    process.start()
    popen = process._popen  # type: ignore[attr-defined]
    popen.domain.mark_orphan(*popen.procession_slot)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert str(process.outcome) == "parent died"


def test_there_is_no_outcome_before_the_end() -> None:
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    assert process.outcome is None
    process.start()
    assert process.outcome is None
    process.kill()
    process.join()
    assert process.outcome is not None


def burn() -> None:
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    time.sleep(0.2)
    bytearray(64 << 20)


def test_outcome_tells_what_was_used() -> None:
    before = time.time()
    outcome = outcome_of(burn)
    assert outcome.user_time + outcome.system_time >= 0.2
    assert outcome.run_time >= 0.2
    assert outcome.blocked_time >= 0.1
    assert outcome.elapsed >= 0.4
    assert outcome.max_rss > 64 << 20
    assert before < outcome.when <= time.time()


def test_last_words_are_there_after_a_sweep_by_others(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever makes an object clears up after the dead; a report waits for the parent."""
    result = run("""
import procession, signal, subprocess, sys, time
from procession import _core
_core.pause_janitor()
def fail():
    raise ValueError("words")
sys.stderr.close()
process = procession.Process(target=fail, start_method="fork")
process.start()
while open(f"/proc/{process.pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
    time.sleep(0.001)
for _ in range(3):
    process._popen.domain.sweep()
process.join()
print(process.outcome)
""")
    assert result.stdout == "raised ValueError: words\n"


def test_subprocess_result_is_no_business_of_ours() -> None:
    process = Process(target=int, start_method="fork")
    process.start()
    assert subprocess.run(["false"], check=False).returncode == 1
    process.join()
