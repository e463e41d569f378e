"""FileLock: one holder of a path, whatever its language, and none that is dead."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from procession import FileLock, NotOwner, _core
from procession._memory.domain import domains
from tests.helpers import METHODS, child, in_thread, kill, send, thread, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a lock"


def hold(path: Path) -> None:
    lock = FileLock(path)
    assert lock.acquire()
    while True:
        signal.pause()


@contextlib.contextmanager
def held_elsewhere(path: Path) -> Iterator[BaseProcess]:
    with child(hold, path) as process:
        until(lambda: path.exists() and FileLock(path).statistics().owner_pid == process.pid)
        yield process
        kill(process)


# ---- taking and giving back


def test_it_is_taken_and_given_back(path: Path) -> None:
    lock = FileLock(path)
    assert not lock.locked()
    assert lock.acquire() is True
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def test_with_takes_and_gives_back(path: Path) -> None:
    lock = FileLock(path)
    with pytest.raises(KeyError), lock as taken:
        assert_taken(taken, lock)
    assert not lock.locked()


def assert_taken(taken: FileLock, lock: FileLock) -> None:
    assert taken is lock
    assert lock.locked()
    raise KeyError


@pytest.mark.parametrize("arguments", [{"block": False}, {"timeout": 0}, {"timeout": -1}, {"timeout": 0.06}])
def test_held_lock_is_not_taken_in_time(path: Path, arguments: dict[str, Any]) -> None:
    with held_elsewhere(path):
        assert FileLock(path).acquire(**arguments) is False


def test_time_out_of_the_lock_is_that_of_acquire_and_with(path: Path) -> None:
    with held_elsewhere(path) as holder:
        lock = FileLock(path, timeout=0.01)
        assert not lock.acquire()
        with pytest.raises(TimeoutError) as caught:
            lock.__enter__()
        assert str(caught.value).startswith(
            f"FileLock '{path}' could not be taken within 0.01 s: it is held by pid {holder.pid} ("
        )


@pytest.mark.parametrize("timeout", [None, 60, float("inf")])
def test_waiter_gets_it(path: Path, timeout: float | None) -> None:
    first, second = FileLock(path), FileLock(path, timeout=0)
    first.acquire()
    with thread(second.acquire, True, timeout) as taken:
        until(lambda: first.statistics().waiters == 1)
        first.release()
        assert taken.result() is True
    second.release()


def test_threads_exclude_each_other_with_the_same_object(path: Path) -> None:
    lock = FileLock(path)
    with lock:
        assert in_thread(lock.acquire, False) is False


def test_another_thread_may_release(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    in_thread(lock.release)
    assert not lock.locked()


def test_taken_twice_by_a_thread_raises(path: Path) -> None:
    lock = FileLock(path)
    with lock:
        with pytest.raises(RuntimeError, match="is held by this very thread"):
            lock.acquire()
        assert lock.acquire(timeout=0.01) is False
        assert lock.acquire(block=False) is False


def test_free_one_is_not_released(path: Path) -> None:
    lock = FileLock(path)
    with pytest.raises(NotOwner, match="is not held by this process"):
        lock.release()
    with lock, pytest.raises(NotOwner):
        FileLock(path).release()


def count_to(path: Path, number: Path, times: int) -> None:
    lock = FileLock(path)
    for turn in range(times):
        assert lock.acquire(timeout=None if turn % 3 else 60)
        number.write_text(str(int(number.read_text()) + 1))
        lock.release()


def test_one_at_a_time_among_processes_and_threads(path: Path, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    work = count_to, path, number, 40
    with child(*work), child(*work), thread(*work), thread(*work):
        pass
    assert number.read_text() == "160"


def test_shell_script_takes_the_same_lock(path: Path) -> None:
    with FileLock(path):
        assert subprocess.run(["flock", "--nonblock", path, "true"], check=False).returncode == 1
    assert subprocess.run(["flock", "--nonblock", path, "true"], check=False).returncode == 0


# ---- the file


def test_its_content_is_left_alone(path: Path) -> None:
    path.write_text("data")
    with FileLock(path):
        assert path.read_text() == "data"
    assert path.read_text() == "data"


def test_file_is_made_and_stays(path: Path) -> None:
    with FileLock(path):
        pass
    assert path.read_bytes() == b""


def test_bytes_and_relative_paths(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    lock = FileLock(path.name)
    monkeypatch.chdir("/")
    with lock:
        assert FileLock(os.fsencode(path)).acquire(block=False) is False
    assert (lock.path, lock.name) == (str(path), str(path))


@pytest.mark.parametrize(
    ("where", "error"), [("nowhere/lock", FileNotFoundError), ("", IsADirectoryError)], ids=["missing", "folder"]
)
def test_path_that_cannot_be_opened(tmp_path: Path, where: str, error: type[OSError]) -> None:
    with pytest.raises(error) as caught:
        FileLock(tmp_path / where).acquire()
    assert caught.value.filename == str(tmp_path / where)


@pytest.mark.parametrize("wrong", [3, None, ["a"]])
def test_path_must_be_one(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike"):
        FileLock(wrong)


def test_wrong_time_out(path: Path) -> None:
    with pytest.raises(TypeError, match="timeout must be seconds"):
        FileLock(path, timeout="soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timeout must be seconds"):
        FileLock(path).acquire(timeout="3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not NaN"):
        FileLock(path).acquire(timeout=float("nan"))
    assert not path.exists()


def read_only(path: Path) -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    with pytest.raises(PermissionError):
        path.open("r+")
    with FileLock(path):
        assert FileLock(path).acquire(block=False) is False


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_file_of_another_user_that_may_only_be_read(path: Path) -> None:
    path.touch(0o644)
    for folder in path.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    with child(read_only, path):
        pass


def test_waiter_follows_a_file_that_was_replaced(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    with thread(second.acquire) as taken:
        until(lambda: first.statistics().waiters == 1)
        path.unlink()
        first.release()
        assert taken.result() is True
    assert second.locked()
    assert FileLock(path).acquire(block=False) is False
    second.release()


# ---- deaths and forks


def test_lock_of_a_killed_holder_is_free(path: Path) -> None:
    lock = FileLock(path)
    with held_elsewhere(path) as holder, thread(lock.acquire) as taken:
        until(lambda: lock.statistics().waiters == 1)
        kill(holder)
        assert taken.result() is True
    lock.release()


def test_lock_that_is_dropped_while_it_is_held_is_free_and_warns(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    with pytest.warns(ResourceWarning, match="unclosed file"):
        del lock
    assert not FileLock(path).locked()


def test_killed_waiter_takes_nothing_along(path: Path) -> None:
    lock = FileLock(path)
    with lock, child(hold, path) as waiter:
        until(lambda: lock.statistics().waiters == 1)
        kill(waiter)
    assert lock.acquire(block=False)
    lock.release()


def test_forked_child_does_not_have_it(path: Path) -> None:
    lock = FileLock(path)

    def refused() -> None:
        with pytest.raises(NotOwner):
            lock.release()
        assert lock.acquire(block=False) is False
        assert lock.locked()

    with lock:
        with child(refused):
            pass
        assert FileLock(path).acquire(block=False) is False  # it ended, and took nothing along


def test_lock_of_a_killed_parent_is_free_though_its_child_lives(path: Path) -> None:
    read, write = os.pipe()

    def parent() -> None:
        lock = FileLock(path)
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            pid = os.getpid()
            os.write(write, str(pid).encode())
        while True:
            signal.pause()

    with child(parent) as process:
        grandchild = int(os.read(read, 100))
        assert FileLock(path).statistics().owner_pid == process.pid
        kill(process)
        lock = FileLock(path)
        assert lock.acquire(block=False)
        lock.release()
        os.kill(grandchild, 0)
        os.kill(grandchild, signal.SIGKILL)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("timeout", [None, 600])
def test_child_of_a_waiter_does_not_keep_what_it_waits_for(path: Path, timeout: float | None) -> None:
    """The thread waits in flock(2) when its process forks."""
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    with thread(second.acquire, True, timeout) as taken:
        until(lambda: first.statistics().waiters == 1)
        with child(signal.pause, method="fork") as process:
            until(lambda: not [fd for fd in os.listdir(f"/proc/{process.pid}/fd") if is_of(process, fd, path)])
            first.release()
            assert taken.result()
            second.release()
            assert first.acquire(block=False)
            first.release()
            kill(process)


def is_of(process: BaseProcess, fd: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/{process.pid}/fd/{fd}") == str(path)
    except OSError:
        return False


def test_program_that_is_run_does_not_keep_it(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    with subprocess.Popen(["sleep", "1000"], close_fds=False) as program:
        lock.release()
        with FileLock(path, timeout=0):
            pass
        program.kill()


def test_stopped_holder_keeps_it(path: Path) -> None:
    with held_elsewhere(path) as holder:
        send(holder, signal.SIGSTOP)
        assert not FileLock(path).acquire(timeout=0.1)


class Alarm(Exception):
    """What a signal handler raises."""


def raise_alarm(*_: object) -> None:
    raise Alarm


@pytest.mark.parametrize("timeout", [None, 600])
def test_signal_handler_that_raises_ends_the_wait(path: Path, timeout: float | None) -> None:
    with held_elsewhere(path):
        before = signal.signal(signal.SIGALRM, raise_alarm)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Alarm):
                FileLock(path).acquire(timeout=timeout)
        finally:
            signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("timeout", [None, 600])
def test_signal_handler_that_returns_does_not_end_the_wait(path: Path, timeout: float | None) -> None:
    """It may fork, too: the child has no part in the wait."""
    lock, handled, threads = FileLock(path), [], _core.other_threads()

    def fork(*_: object) -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        handled.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert _core.other_threads() == threads  # nobody to warn of
        kill(holder)

    with held_elsewhere(path) as holder:
        before = signal.signal(signal.SIGALRM, fork)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert lock.acquire(timeout=timeout)
        finally:
            signal.signal(signal.SIGALRM, before)
    lock.release()
    assert handled == [7]


# ---- sending it, and what it tells


def take(lock: FileLock) -> None:
    assert lock.acquire(block=False) is False


@pytest.mark.parametrize("method", METHODS)
def test_it_is_an_argument_of_a_process(path: Path, method: str) -> None:
    lock = FileLock(path, timeout=7)
    with lock, child(take, lock, method=method):
        pass


def test_pickled_one_is_another_that_is_not_held(path: Path) -> None:
    with FileLock(path, timeout=7) as lock:
        again = pickle.loads(pickle.dumps(lock))
        assert (again.path, again.timeout) == (lock.path, 7)
        with pytest.raises(NotOwner):
            again.release()
        assert lock.locked()


def test_it_says_who_has_it(path: Path) -> None:
    lock = FileLock(path)
    assert repr(lock) == f"<FileLock '{path}' free>"
    with held_elsewhere(path) as holder:
        assert repr(lock).startswith(f"<FileLock '{path}' held by pid {holder.pid} (")
        with thread(lock.acquire):
            until(lambda: ", 1 waiting" in repr(lock))
            assert lock.statistics().waiters == 1
            kill(holder)
    lock.release()


def test_shell_script_is_named(path: Path) -> None:
    path.touch()
    with subprocess.Popen(["flock", path, "sleep", "1000"], start_new_session=True) as script:
        until(FileLock(path).locked)
        assert "(flock)" in repr(FileLock(path))
        os.killpg(script.pid, signal.SIGKILL)


def test_descriptors_come_back(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    lock, other = FileLock(path), FileLock(path)
    for _ in range(50):
        with lock:
            assert not other.acquire(block=False)
            assert not other.acquire(timeout=0.001)
    assert len(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == 1


def test_no_thread_is_left(path: Path) -> None:
    before = _core.other_threads()
    with held_elsewhere(path):
        assert not FileLock(path).acquire(timeout=0.01)
        assert _core.other_threads() == before


@pytest.mark.parametrize("timeout", [None, 600])
def test_waiter_stands_in_the_table_of_waits(path: Path, timeout: float | None) -> None:
    domain = domains.current()

    def lines() -> list[tuple[int, str, str | None]]:
        slots = {index: pid for index, _, _, pid, *_ in domain.slots()}
        return [(slots[slot], kind, where) for slot, _, kind, _, _, where in domain.waits()]

    with FileLock(path) as lock, child(FileLock(path).acquire, True, timeout) as process:
        until(lambda: lines() == [(process.pid, "file lock", str(path))])
        lock.release()
        process.join()
        assert lines() == []
        lock.acquire()


def test_killed_waiter_leaves_no_line(path: Path) -> None:
    domain = domains.current()
    with FileLock(path), child(FileLock(path).acquire, True, 600) as process:
        until(lambda: [kind for *_, kind, _, _, _ in domain.waits()] == ["file lock"])
        kill(process)
        domain.sweep()
        assert domain.waits() == []
