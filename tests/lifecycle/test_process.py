"""Process is multiprocessing.Process: its names and manners, and what we add."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import Process, Queue, SimpleQueue
from tests.lifecycle.tools import is_gone, run, state, until

METHODS = ["fork", "spawn", "forkserver"]


def report_self(out: SimpleQueue[Any]) -> None:
    me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    assert parent is not None
    out.put((me.name, me.pid, me.daemon, type(me).__name__, parent.pid, parent.is_alive()))


@pytest.mark.parametrize("method", METHODS)
def test_child_knows_itself_and_its_parent(method: str) -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = Process(target=report_self, args=(out,), name="worker", start_method=method, daemon=True)
    process.start()
    assert out.get() == ("worker", process.pid, True, "Process", os.getpid(), True)
    process.join()


def add(out: SimpleQueue[int], one: int, *, two: int) -> None:
    out.put(one + two)


@pytest.mark.parametrize("method", METHODS)
def test_arguments_arrive(method: str) -> None:
    out: SimpleQueue[int] = SimpleQueue()
    process = Process(target=add, args=(out, 1), kwargs={"two": 2}, start_method=method)
    process.start()
    assert out.get() == 3
    process.join()


class Subclass(Process):
    """As people write them: attributes of any name, no thought of ours."""

    def __init__(self, out: SimpleQueue[Any], **more: Any) -> None:
        super().__init__(**more)
        self.out = out
        self.outcome = "mine"  # type: ignore[assignment]
        self.exit = multiprocessing.get_context("spawn").Event()
        self.settings = self.domain = self.slot = 1

    def suspend(self) -> str:  # type: ignore[override]
        return "not the library's"

    def run(self) -> None:
        self.out.put((self.outcome, self.suspend(), self.exit.is_set(), self.name))


@pytest.mark.parametrize("method", METHODS)
def test_subclass_may_use_every_name_that_we_added(method: str) -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = Subclass(out, name="mine", start_method=method)
    process.start()
    assert out.get() == ("mine", "not the library's", False, "mine")
    process.join()
    assert process.exitcode == 0
    assert vars(process)["outcome"] == "mine"


def test_it_is_listed_and_forgotten_as_in_multiprocessing() -> None:
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    assert process not in multiprocessing.active_children()
    process.start()
    assert process in multiprocessing.active_children()
    process.kill()
    process.join()
    assert process not in multiprocessing.active_children()


@pytest.mark.parametrize("method", METHODS)
def test_states_of_its_life(method: str) -> None:
    process = Process(target=time.sleep, args=(60,), start_method=method)
    assert (process.pid, process.exitcode, process.is_alive()) == (None, None, False)
    process.start()
    assert process.is_alive()
    assert process.exitcode is None
    process.join(timeout=0)
    process.join(timeout=0.01)
    assert process.is_alive()
    process.terminate()
    process.join()
    assert not process.is_alive()
    assert process.exitcode == -signal.SIGTERM
    process.close()
    with pytest.raises(ValueError, match="closed"):
        process.is_alive()
    with pytest.raises(ValueError, match="closed"):
        _ = process.outcome


def test_sentinel_is_ready_at_the_end_and_works_with_the_standard_library() -> None:
    one = Process(target=time.sleep, args=(60,), start_method="fork")
    two = Process(target=int, start_method="fork")
    one.start()
    two.start()
    assert multiprocessing.connection.wait([one.sentinel, two.sentinel]) == [two.sentinel]
    one.kill()
    assert multiprocessing.connection.wait([one.sentinel]) == [one.sentinel]
    one.join()
    two.join()


def test_logging_has_the_name_of_the_process() -> None:
    out: SimpleQueue[str] = SimpleQueue()

    class Sender(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            out.put(f"{record.processName} {record.process}")

    def log() -> None:
        logger = logging.getLogger("test")
        logger.addHandler(Sender())
        logger.error("something")

    process = Process(target=log, name="resize-3", start_method="fork")
    process.start()
    assert out.get() == f"resize-3 {process.pid}"
    process.join()


# ---- references on the way ----------------------------------------------------------------


def get_one(queue: Queue[str], out: SimpleQueue[str]) -> None:
    out.put(queue.get())


@pytest.mark.parametrize("method", METHODS)
def test_queue_that_the_parent_dropped_right_after_start(method: str) -> None:
    out: SimpleQueue[str] = SimpleQueue()
    queue: Queue[str] = Queue()
    queue.put("still there")
    process = Process(target=get_one, args=(queue, out), start_method=method)
    process.start()
    gone = weakref.ref(queue)
    del queue
    assert gone() is None  # start() gave up the arguments, as in multiprocessing
    for _ in range(100):  # memory that is free is used again
        SimpleQueue[int]()
    assert out.get() == "still there"
    process.join()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_held_for_a_child_that_has_ended(method: str) -> None:
    queue: Queue[bytes] = Queue()
    queue.put(bytes(1 << 20))
    domain = queue._domain
    before = domain.used()["payloads"]
    process = Process(target=len, args=((queue,),), start_method=method)
    process.start()
    process.join()
    del queue
    assert domain.used()["payloads"] <= before - (1 << 20)


@pytest.mark.parametrize("method", METHODS)
def test_child_that_has_ended_is_reaped_before_anybody_joins_it(method: str) -> None:
    process = Process(target=len, args=((),), start_method=method)
    process.start()
    pid = process.pid
    assert pid is not None
    until(lambda: state(pid) == "X")  # and no zombie
    process.kill()  # whoever has its pid now, is not hit
    process.join()
    assert process.exitcode == 0


# ---- suspend and resume ---------------------------------------------------------------------


def test_suspended_process_gets_no_cpu_until_it_is_resumed() -> None:
    out: SimpleQueue[int] = SimpleQueue()

    def count() -> None:
        number = 0
        while True:
            out.put(number := number + 1)
            time.sleep(0.001)

    process = Process(target=count, start_method="fork")
    process.start()
    assert process.pid is not None
    out.get()
    process.suspend()
    until(lambda: state(process.pid or 0) == "T", "it is stopped")
    while not out.empty():
        out.get()
    assert out.empty()
    assert process.is_alive()
    process.resume()
    out.get()
    process.kill()
    process.join()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_suspended_process_can_be_ended(how: str, method: str) -> None:
    process = Process(target=time.sleep, args=(60,), start_method=method)
    process.start()
    process.suspend()
    getattr(process, how)()
    process.join()
    assert str(process.outcome).startswith(f"killed by {how}()")


def test_suspending_what_has_ended_is_no_error() -> None:
    process = Process(target=int, start_method="fork")
    process.start()
    process.join()
    process.suspend()
    process.resume()
    process.terminate()
    assert str(process.outcome) == "finished"


# ---- the end of the program -------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_daemons_end_with_the_main_programs_code_and_others_are_waited_for(method: str) -> None:
    result = run(f"""
import os, procession, time
if __name__ == "__main__":
    procession.Process(target=time.sleep, args=(600,), daemon=True, start_method="{method}").start()
    procession.Process(target=os.write, args=(1, b"not a daemon\\n"), start_method="fork").start()
    os.write(1, b"main is done\\n")
""")
    assert result.stderr == ""
    assert result.returncode == 0
    assert sorted(result.stdout.split("\n")) == ["", "main is done", "not a daemon"]


def test_suspended_daemon_does_not_stop_the_program_from_ending() -> None:
    result = run("""
import procession, time
process = procession.Process(target=time.sleep, args=(600,), daemon=True, start_method="fork")
process.start()
process.suspend()
""")
    assert (result.returncode, result.stderr) == (0, "")


def test_daemon_may_have_no_children() -> None:
    out: SimpleQueue[str] = SimpleQueue()

    def start_another() -> None:
        try:
            Process(target=int, start_method="fork").start()
        except AssertionError as error:
            out.put(str(error))

    process = Process(target=start_another, daemon=True, start_method="fork")
    process.start()
    assert out.get() == "daemonic processes are not allowed to have children"
    process.join()


def test_children_of_children() -> None:
    out: SimpleQueue[int] = SimpleQueue()

    def middle() -> None:
        inner = Process(target=lambda: out.put(os.getpid()), start_method="fork")
        inner.start()
        inner.join()
        out.put(inner.exitcode or 0)

    process = Process(target=middle, start_method="fork")
    process.start()
    inner = out.get()
    until(lambda: is_gone(inner), "the grandchild is gone")
    assert out.get() == 0
    process.join()
    assert str(process.outcome) == "finished"


def test_ctrl_c_reaches_a_join_at_once() -> None:
    result = run("""
import os, procession, signal, threading, time
process = procession.Process(target=time.sleep, args=(600,), start_method="fork", daemon=True)
process.start()
def interrupt():
    while True:
        with open(f"/proc/{os.getpid()}/stat") as file:  # of the main thread
            if " S " in file.read():
                break
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.1, interrupt).start()
try:
    process.join()
except KeyboardInterrupt:
    print("interrupted")
""")
    assert (result.stdout, result.stderr) == ("interrupted\n", "")


# ---- wrong use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"target": 3}, TypeError, "target must be callable, not int"),
        ({"start_method": "fax"}, ValueError, "start_method must be one of fork, spawn, forkserver or None, not 'fax'"),
        ({"orphan": "sell"}, ValueError, "orphan must be 'kill' or 'keep', not 'sell'"),
        ({"args": 3}, TypeError, "not iterable"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Process(**arguments)


def test_starting_twice_and_joining_too_early() -> None:
    process = Process(target=int, start_method="fork")
    with pytest.raises(AssertionError, match="can only join a started process"):
        process.join()
    with pytest.raises(ValueError, match=r"cannot suspend .* it was not started"):
        process.suspend()
    process.start()
    with pytest.raises(AssertionError, match="cannot start a process twice"):
        process.start()
    process.join()


def test_child_that_runs_cannot_be_closed() -> None:
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    process.start()
    with pytest.raises(ValueError, match="still running"):
        process.close()
    process.kill()
    process.join()


def test_target_that_does_not_pickle_raises_in_the_caller_and_leaves_nothing() -> None:
    process = Process(target=lambda: None, start_method="spawn")
    with pytest.raises((AttributeError, pickle.PicklingError), match="<lambda>"):
        process.start()
    assert process.pid is None


def test_process_of_another_process() -> None:
    out: SimpleQueue[str] = SimpleQueue()
    other = Process(target=time.sleep, args=(60,), start_method="fork")
    other.start()

    def touch() -> None:
        calls: list[Callable[[], object]] = [other.suspend, other.join, lambda: other.outcome]
        for call in calls:
            try:
                call()
            except AssertionError as error:
                out.put(str(error))

    process = Process(target=touch, start_method="fork")
    process.start()
    process.join()
    assert "child of another process" in out.get()
    assert "child process" in out.get()
    assert "child of another process" in out.get()
    other.kill()
    other.join()


def test_missing_main_guard_is_explained() -> None:
    result = run(
        "import os, sys\nopen(sys.argv[0] if False else '/dev/null').close()\n"
        "import pathlib, subprocess, tempfile\n"
        "folder = tempfile.TemporaryDirectory()\n"
        "path = pathlib.Path(folder.name) / 'unguarded.py'\n"
        "path.write_text('import procession\\n'\n"
        "    'p = procession.Process(target=print, start_method=\"spawn\")\\np.start()\\np.join()\\nprint(p.outcome)\\n')\n"
        "print(subprocess.run([sys.executable, str(path)], capture_output=True, text=True))\n"
    )
    assert "freeze_support" in result.stdout
    assert "raised RuntimeError" in result.stdout


# ---- the program's default --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_start_method_of_the_program_is_obeyed(method: str) -> None:
    result = run(f"""
import multiprocessing, os, procession
def tell(): print(multiprocessing.get_start_method(), multiprocessing.current_process().name, flush=True)
if __name__ == "__main__":
    multiprocessing.set_start_method("{method}")
    process = procession.Process(target=tell, name="one")
    if "{method}" == "fork":
        process.start()
        process.join()
        print(process.outcome)
    else:
        try:
            process.start()  # __main__ is no file here: the child does not find tell
        finally:
            process.join()
            print(process.outcome)
""")
    expected = "fork one\nfinished\n" if method == "fork" else "raised AttributeError"
    assert result.stdout.startswith(expected), result.stderr


def test_threads_may_start_processes_at_the_same_time() -> None:
    out: SimpleQueue[int] = SimpleQueue()

    def start_some() -> None:
        for _ in range(5):
            process = Process(target=lambda: out.put(os.getpid()), start_method="fork")
            process.start()
            process.join()
            assert str(process.outcome) == "finished"

    threads = [threading.Thread(target=start_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({out.get() for _ in range(20)}) == 20
    assert all(flags & 2 == 0 for *_, flags, name in out._domain.slots() if name)


def test_fork_of_the_program_after_a_spawn_is_not_taken_for_the_spawned_child() -> None:
    """What spawn forks runs no fork handlers: nothing may be left for the program's own fork to pick up."""
    out: SimpleQueue[int] = SimpleQueue()
    lines = out._domain.slots
    process = Process(target=signal.pause, start_method="spawn", name="spawned")
    process.start()
    try:
        pid = os.fork()
        if pid == 0:
            out.put(out._domain.slot)
            os._exit(0)
        os.waitpid(pid, 0)
        assert out.get() != process._popen.procession_slot[0]  # type: ignore[attr-defined]
        until(lambda: [line[3] for line in lines() if line[8] == "spawned" and line[2] == 2] == [process.pid])
    finally:
        process.kill()
        process.join()


INTERRUPTED = """
import os, procession, signal, threading, time
def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return file.read().split()
def until(condition):
    while not condition():
        time.sleep(0.001)
def interrupt():
    until(children)
    os.kill(os.getpid(), signal.SIGINT)
if __name__ == "__main__":
    procession.Process(target=int, start_method="fork").start()
    domain = procession.Queue()._domain
    until(lambda: domain.guardian()[0])  # no other will be started
    until(lambda: not children())
    try:  # with more in its pipe than that takes
        threading.Thread(target=interrupt).start()
        procession.Process(target=len, args=(bytes(8 << 20),), start_method="spawn").start()
    except KeyboardInterrupt:
        print("interrupted")
    until(lambda: not children())
    until(lambda: len(procession.Queue()._domain.slots()) == 1)
    print("nothing is left")
"""


def test_start_that_is_interrupted_leaves_no_zombie() -> None:
    assert run(INTERRUPTED).stdout == "interrupted\nnothing is left\n"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on Python itself imports no extension from there")
def test_library_may_lie_in_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    """Names of files are bytes; this one is no UTF-8."""
    folder = os.path.join(tmp_path, os.fsdecode(b"caf\xe9"))
    shutil.copytree(os.path.dirname(procession.__file__), os.path.join(folder, "procession"))
    result = run(
        """
import procession
for method in ("fork", "spawn", "forkserver"):
    process = procession.Process(target=int, start_method=method)
    process.start()
    process.join()
    print(process.outcome, "caf" in procession.__file__)
""",
        PYTHONPATH=folder,
    )
    assert (result.stdout, result.stderr) == ("finished True\n" * 3, "")
