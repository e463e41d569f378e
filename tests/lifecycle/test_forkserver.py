"""forkserver: children of a template are our children, and have what a spawned child has."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from procession import Lock, Mutex, Process, Queue, SimpleQueue
from procession._process.templates import templates
from tests.lifecycle.tools import finish, run, serving, start

# ---- whose children they are ---------------------------------------------------------------


def tell_parents(out: SimpleQueue[Any]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    out.put((os.getpid(), os.getppid(), parent.pid, threading.get_native_id(), threading.main_thread().is_alive()))


def test_child_is_the_starters_own() -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = start(tell_parents, out)
    assert out.get() == (process.pid, os.getpid(), os.getpid(), process.pid, True)
    finish(process)


def test_children_come_from_one_template() -> None:
    pid = serving().child.pid
    for _ in range(3):
        finish(start(int))
    assert serving().child.pid == pid or templates.serving is not None  # a successor may have taken over
    with open(f"/proc/{serving().child.pid}/task/{serving().child.pid}/children") as file:
        assert file.read() == ""  # they are nobody's but ours


def use_the_c_library(out: SimpleQueue[Any]) -> None:
    lock, results = threading.Lock(), []

    def count() -> None:
        with lock:
            results.append(len(bytes(300_000)))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = subprocess.run(["echo", "said"], capture_output=True, text=True, check=True).stdout
    with os.popen("echo popen") as pipe:
        said += pipe.read()
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    mutex = Mutex()
    with mutex:
        pass
    out.put((results, said, code))


def test_threads_memory_subprocesses_and_forks_work_in_a_child() -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = start(use_the_c_library, out)
    assert out.get() == ([300_000] * 8, "said\npopen\n", 7)
    finish(process)


def hold(lock: Any, held: SimpleQueue[int]) -> None:
    lock.acquire()
    held.put(1)
    signal.pause()


@pytest.mark.parametrize("kind", [Lock, Mutex])
def test_lock_of_a_killed_child_comes_back(kind: Any) -> None:
    """The kernel finds it by the robust list, which the clone had to register anew."""
    lock, held = kind(on_owner_death=str) if kind is Mutex else kind(), SimpleQueue[int]()
    process = start(hold, lock, held)
    held.get()
    assert not lock.acquire(block=False)
    process.kill()
    assert lock.acquire(timeout=20)
    process.join()


def start_another(out: SimpleQueue[Any], method: str) -> None:
    inner = start(out.put, "inner") if method == "forkserver" else Process(target=out.put, args=("inner",))
    if method != "forkserver":
        inner.start()
    inner.join()
    out.put(str(inner.outcome))


@pytest.mark.parametrize("method", ["forkserver", "default"])
def test_child_starts_children_of_its_own(method: str) -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    process = start(start_another, out, method)
    assert [out.get(), out.get()] == ["inner", "finished"]
    finish(process)


# ---- what a child has -------------------------------------------------------------------------


def tell_descriptors(out: SimpleQueue[Any], given: Any) -> None:
    targets = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            targets[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
    out.put((targets, given.fileno() if given else None))


@pytest.mark.parametrize("passes", [False, True])
def test_child_has_only_the_descriptors_that_it_was_given(passes: bool) -> None:
    out: SimpleQueue[Any] = SimpleQueue()
    mine, given = socket.socketpair()
    process = start(tell_descriptors, out, given if passes else None)
    targets, number = out.get()
    finish(process)
    others = {fd: target for fd, target in targets.items() if fd > 2}
    assert sum("memfd:procession" in target for target in others.values()) == 1
    sockets = [fd for fd, target in others.items() if target.startswith("socket:")]
    assert sockets == ([number] if passes else [])
    known = ("memfd:procession", "socket:", "/proc/", "anon_inode:[pidfd]", "pidfd:")
    # /dev/null: multiprocessing gives each child a stdin of its own. A pipe: the resource tracker's.
    pipes = [target for target in others.values() if target.startswith("pipe:")]
    unknown = [t for t in others.values() if not any(k in t for k in known) and t != "/dev/null" and t not in pipes]
    assert unknown == []
    assert len(pipes) <= 1
    mine.close()
    given.close()


def send_back(connections: list[Any]) -> None:
    for number, connection in enumerate(connections):
        connection.send(number)
        connection.close()


def test_many_descriptors_travel_in_several_messages() -> None:
    pairs = [multiprocessing.Pipe() for _ in range(300)]
    process = start(send_back, [theirs for _, theirs in pairs])
    assert [mine.recv() for mine, _ in pairs] == list(range(300))
    finish(process)
    for mine, theirs in pairs:
        mine.close()
        theirs.close()


TOO_MANY = """
import multiprocessing, os, resource, procession
if __name__ == "__main__":
    pairs = [multiprocessing.Pipe() for _ in range(40)]
    procession.Process(target=int, start_method="forkserver").start()
    from procession._process.templates import templates
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.prlimit(templates.serving.child.pid, resource.RLIMIT_NOFILE, (30, most))
    templates._not_before = 1e12  # no successor, which would have another limit
    try:
        procession.Process(target=len, args=(pairs,), start_method="forkserver").start()
    except OSError as error:
        print(error.strerror)
    process = procession.Process(target=int, start_method="forkserver")
    process.start()
    process.join()
    print(process.outcome)
"""


def test_descriptors_that_a_template_cannot_take_are_an_error() -> None:
    result = run(TOO_MANY)
    assert (result.stdout, result.stderr) == ("Too many open files\nfinished\n", "")


def measure(out: SimpleQueue[int], data: bytes) -> None:
    out.put(len(data))


@pytest.mark.parametrize("size", [0, 60_000, 65_000, 70_000, 10_000_000])
def test_arguments_of_any_size(size: int) -> None:
    out: SimpleQueue[int] = SimpleQueue()
    process = start(measure, out, bytes(size))
    assert out.get() == size
    finish(process)


def tell_environment(out: SimpleQueue[Any]) -> None:
    out.put((os.environ.get("ADDED"), os.environ.get("HOME"), os.getcwd(), sys.argv, os.environ["PROCESSION_TREE"]))


def test_environment_and_folder_are_those_of_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serving()  # which has another environment
    monkeypatch.setenv("ADDED", "later")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["another", "argument"])
    out: SimpleQueue[Any] = SimpleQueue()
    process = start(tell_environment, out)
    slot, generation = process._popen.procession_slot  # type: ignore[attr-defined]
    *told, mark = out.get()
    assert told == ["later", None, str(tmp_path), ["another", "argument"]]
    assert mark.endswith(f":{slot}.{generation}")
    finish(process)


def test_large_change_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    serving()
    monkeypatch.setenv("ADDED", "x" * 100_000)
    out: SimpleQueue[Any] = SimpleQueue()
    process = start(tell_environment, out)
    assert out.get()[0] == "x" * 100_000
    finish(process)


def tell_signals(out: SimpleQueue[Any]) -> None:
    ours = signal.SIGINT, signal.SIGUSR1, signal.SIGTERM
    handlers = [getattr(signal.getsignal(number), "__name__", signal.getsignal(number)) for number in ours]
    out.put((handlers, signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.pthread_sigmask(0, [])))


def test_signals_are_ignored_and_blocked_as_by_the_starter_and_handled_by_nobody() -> None:
    serving()
    out: SimpleQueue[Any] = SimpleQueue()
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN), signal.signal(signal.SIGTERM, lambda *_: None)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        process = start(tell_signals, out)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGTERM, before[1])
    handlers, blocks, blocked = out.get()
    assert handlers == ["default_int_handler", signal.SIG_IGN, signal.SIG_DFL]
    assert blocks
    assert signal.SIGINT not in blocked
    finish(process)


STREAMS = """
import os, sys, procession
from procession._process.templates import templates
def say(): print("said"); print("complained", file=sys.stderr)
if __name__ == "__main__":
    first = procession.Process(target=int, start_method="forkserver")
    first.start(); first.join()
    with open(sys.argv[1], "w") as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        os.close(0)
        process = procession.Process(target=say, start_method="forkserver")
        process.start(); process.join()
        os.dup2(kept, 1)
    print(process.outcome)
"""


def test_streams_are_those_that_the_starter_has_just_then(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(STREAMS)
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("finished\n", "complained\n")
    assert (tmp_path / "out").read_text() == "said\n"


def draw(out: SimpleQueue[float]) -> None:
    import random

    out.put(random.random())


def test_random_numbers_differ() -> None:
    import random  # noqa: F401 - so that the template has it, too

    out: SimpleQueue[float] = SimpleQueue()
    for _ in range(3):
        finish(start(draw, out))
    assert len({out.get() for _ in range(3)}) == 3


FLAGS = """
import sys, procession
def tell(): print(sys.flags.dev_mode, sys.warnoptions, sys._xoptions, sys.flags.utf8_mode, hash("x") == int(sys.argv[1]))
if __name__ == "__main__":
    sys.argv[1:] = [str(hash("x"))]
    process = procession.Process(target=tell, start_method="forkserver")
    process.start()
    process.join()
"""


def test_flags_of_the_interpreter_and_its_hash_seed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(FLAGS)
    command = [sys.executable, "-X", "utf8", "-W", "error::UserWarning", str(tmp_path / "program.py")]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.stdout == "False ['error::UserWarning'] {'utf8': True} 1 True\n", result.stderr


# ---- where there can be no template ----------------------------------------------------------------

INSTEAD = """
import procession, multiprocessing.spawn, sys
from procession._process.templates import templates
if __name__ == "__main__":
    PREPARE
    process = procession.Process(target=int, start_method="forkserver")
    process.start(); process.join()
    print(process.outcome, type(process._popen).__name__, templates.serving)
"""


def test_where_siblings_are_impossible_it_spawns() -> None:
    result = run(INSTEAD.replace("PREPARE", "pass"), PROCESSION_DISABLE="siblings")
    assert (result.stdout, result.stderr) == ("finished SpawnPopen None\n", "")


REFUSED = """
templates.are_possible = lambda: True  # the owner thinks so, and the template is told otherwise
    import os; os.environ["PROCESSION_DISABLE"] = "siblings\""""


def test_where_the_system_refuses_a_sibling_it_spawns() -> None:
    result = run(INSTEAD.replace("PREPARE", REFUSED.strip()).replace("templates.serving)", "templates._possible)"))
    assert (result.stdout, result.stderr) == ("finished SpawnPopen False\n", "")


def test_program_whose_default_is_forkserver_gets_ours() -> None:
    result = run(
        INSTEAD.replace("PREPARE", 'multiprocessing.set_start_method("forkserver")').replace(
            ', start_method="forkserver"', ""
        )
    )
    assert result.stdout.startswith("finished ForkserverPopen <"), result.stderr


def test_queue_is_shared_and_the_one_that_the_parent_drops_lives_on() -> None:
    queue: Queue[str] = Queue()
    out: SimpleQueue[str] = SimpleQueue()
    queue.put("still there")
    process = start(take, queue, out)
    del queue
    for _ in range(100):
        SimpleQueue[int]()
    assert out.get() == "still there"
    finish(process)


def take(queue: Queue[str], out: SimpleQueue[str]) -> None:
    out.put(queue.get())


def test_outcome_of_a_module_that_is_missing_in_the_child() -> None:
    import types

    lost = types.ModuleType("lost_module")
    exec("def work(): pass", vars(lost))
    lost.work.__module__ = "lost_module"
    sys.modules["lost_module"] = lost
    try:
        process = start(lost.work)
    finally:
        del sys.modules["lost_module"]
    process.join()
    assert process.outcome is not None
    assert str(process.outcome) == "raised ModuleNotFoundError: No module named 'lost_module'"
