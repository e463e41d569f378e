"""The janitor reaps our children, and only ours; it is a thread that nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from procession import Process, SimpleQueue, _core
from tests.leaks import descriptors
from tests.lifecycle.tools import run, state, until


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.fixture(autouse=True)
def no_template() -> None:
    """A template that an earlier test has left is a child, too: the janitor would stay for it."""
    module = sys.modules.get("procession._process.templates")
    if module is not None:
        trial = module.templates.trial
        ending = [template.child for template in (module.templates.serving, trial and trial.template) if template]
        module.templates.dismiss()
        until(lambda: all(child.look() for child in ending), "they have ended")
        until(lambda: _core.other_threads() == len(os.listdir("/proc/self/task")) - 1, "and the janitor with them")


def test_no_zombie_stays_though_nobody_joins() -> None:
    processes = [Process(target=int, start_method="fork") for _ in range(5)]
    for process in processes:
        process.start()
    pids = [process.pid or 0 for process in processes]
    until(lambda: all(state(pid) == "X" for pid in pids), "all are reaped")
    assert [process.exitcode for process in processes] == [0] * 5
    for process in processes:
        process.join()  # or they are in multiprocessing's set of children until the next start


def test_killed_child_is_reaped_though_its_process_object_is_gone() -> None:
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    process.start()
    pid = process.pid or 0
    import multiprocessing.process as known

    known._children.discard(process)  # type: ignore[attr-defined]
    del process
    os.kill(pid, signal.SIGKILL)
    until(lambda: state(pid) == "X", "it is reaped")


def test_thread_is_there_while_children_are() -> None:
    before = threads()
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    process.start()
    assert threads() == before + 1
    process.kill()
    process.join()
    until(lambda: threads() == before, "the janitor has gone home")


def test_children_of_others_are_left_alone() -> None:
    ours = Process(target=time.sleep, args=(60,), start_method="fork")
    ours.start()
    theirs = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    until(lambda: state(theirs.pid) == "Z", "it is a zombie that only its owner reaps")
    ours.kill()
    ours.join()
    assert state(theirs.pid) == "Z"
    assert theirs.wait() == 7


def test_asyncio_child_is_left_alone() -> None:
    async def both() -> int:
        ours = Process(target=int, start_method="fork")
        theirs = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
        ours.start()
        code = await theirs.wait()
        await asyncio.to_thread(ours.join)
        assert str(ours.outcome) == "finished"
        return code

    assert asyncio.run(both()) == 7


def test_no_signal_handler_is_taken() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    process = Process(target=int, start_method="fork")
    process.start()
    process.join()
    assert signal.getsignal(signal.SIGCHLD) is before is signal.SIG_DFL


def test_programs_own_handler_of_sigchld_goes_on_working() -> None:
    result = run("""
import os, procession, signal
seen = []
signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
process = procession.Process(target=int, start_method="fork")
process.start()
process.join()
print(bool(seen), process.outcome)
""")
    assert (result.stdout, result.stderr) == ("True finished\n", "")


FORKS = {
    "os.fork": "pid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)",
    "multiprocessing": "p = multiprocessing.get_context('fork').Process(target=int)\np.start()\np.join()",
    "our own Process": "p = procession.Process(target=int, start_method='fork')\np.start()\np.join()",
    "subprocess with preexec_fn": "subprocess.run(['true'], preexec_fn=int)",
    "executor": "with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('fork')) as e:\n"
    "    assert e.submit(int).result() == 0",
}


@pytest.mark.parametrize("how", FORKS)
def test_forking_beside_a_janitor_warns_of_nothing(how: str) -> None:
    """From 3.12 on CPython warns when a process with several threads forks; ours must not count."""
    result = run(f"""
import concurrent.futures, multiprocessing, os, procession, subprocess, time
queue = procession.Queue()
queue.put(1)
child = procession.Process(target=time.sleep, args=(60,), start_method="fork", daemon=True)
child.start()
for _ in range(20):
{chr(10).join("    " + line for line in FORKS[how].splitlines())}
assert child.is_alive()
print(queue.get())
""")
    # The executor has threads of its own, of which CPython warns with or without us.
    if how != "executor" or sys.version_info < (3, 12):
        assert result.stderr == ""
    assert result.stdout == "1\n"


def test_janitor_goes_on_after_a_fork() -> None:
    child = Process(target=time.sleep, args=(60,), start_method="fork")
    child.start()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    os.kill(child.pid or 0, signal.SIGKILL)
    until(lambda: state(child.pid or 0) == "X", "it is reaped by the janitor, since nobody joins it")
    child.join()


def test_fork_that_fails_leaves_the_janitor_at_work() -> None:
    result = (
        run("""
import os, resource
limit = resource.getrlimit(resource.RLIMIT_NPROC)
os.register_at_fork(after_in_parent=lambda: resource.setrlimit(resource.RLIMIT_NPROC, limit))
import time
from procession import Process
os.setgid(65534); os.setuid(65534)  # root has no such limit
child = Process(target=time.sleep, args=(60,), start_method="fork", daemon=True)
child.start()
resource.setrlimit(resource.RLIMIT_NPROC, (0, limit[1]))
try:
    Process(target=int, start_method="fork").start()
except BlockingIOError:
    print("no more processes")
print(len(os.listdir("/proc/self/task")), child.is_alive())
""")
        if os.getuid() == 0
        else None
    )
    if result is None:
        pytest.skip("only root can become somebody who may start nothing")
    assert result.stdout == "no more processes\n2 True\n", result.stderr


def test_descriptors_do_not_grow() -> None:
    def one() -> None:
        process = Process(target=int, start_method="fork")
        process.start()
        process.join()
        process.close()

    before = Counter(descriptors())
    for _ in range(20):
        one()
    until(lambda: not Counter(descriptors()) - before, "the janitor has closed its own")


def test_many_children_at_once() -> None:
    out: SimpleQueue[int] = SimpleQueue()
    processes = [Process(target=out.put, args=(number,), start_method="fork") for number in range(60)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(out.get() for _ in range(60)) == list(range(60))
    assert {str(process.outcome) for process in processes} == {"finished"}


def test_traced_child_is_reaped_when_its_tracer_lets_go() -> None:
    """A tracer that is not the parent sees the end first: ptrace(2)."""
    result = run("""
import ctypes, os, procession, signal, time
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
child = procession.Process(target=time.sleep, args=(60,), start_method="fork")
child.start()
reader, writer = os.pipe()
tracer = os.fork()
if tracer == 0:
    ok = libc.ptrace(PTRACE_SEIZE, child.pid, None, None) == 0
    os.write(writer, b"1" if ok else b"0")
    time.sleep(60)
    os._exit(0)
if os.read(reader, 1) == b"0":
    print("not permitted")
    os.kill(tracer, signal.SIGKILL)
    child.kill(); child.join()
else:
    child.kill()
    child.join(0.2)
    print(child.is_alive())
    os.kill(tracer, signal.SIGKILL)
    child.join()
    print(child.outcome)
os.waitpid(tracer, 0)
""")
    if result.stdout == "not permitted\n":
        pytest.skip("no process may be traced here")
    assert (result.stdout, result.stderr) == ("True\nkilled by kill() (SIGKILL)\n", "")


def test_pause_nests() -> None:
    process = Process(target=time.sleep, args=(60,), start_method="fork")
    before = threads()
    _core.pause_janitor()
    _core.pause_janitor()
    process.start()
    _core.resume_janitor()
    assert threads() == before
    _core.resume_janitor()
    assert threads() == before + 1
    process.kill()
    process.join()
