"""Whatever befalls a template: each start works or raises, and nothing is left."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession import Process, SimpleQueue
from procession._process import template_owner as module
from procession._process.template_owner import Template
from procession._process.templates import templates
from tests.lifecycle.tools import finish, is_gone, run, serving, start, state, until


@pytest.fixture
def steady() -> Iterator[None]:
    """There is a template, and no successor of it."""
    serving()
    while templates.tend():
        time.sleep(0.01)
    before, templates._not_before = templates._not_before, float("inf")
    yield
    templates._not_before = before


@pytest.mark.usefixtures("steady")
def test_killed_idle_template_is_replaced() -> None:
    ours = serving()
    ours.child.signal(signal.SIGKILL)
    finish(start(int))
    assert templates.serving is not ours


def tell_inherited(out: SimpleQueue[Any]) -> None:
    out.put(module.inherited())


CHANGES: dict[str, Callable[[], object]] = {
    "limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (777, resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
    "affinity": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "priority": lambda: os.nice(1),
    "process group": lambda: os.setpgid(0, 0),
    "session": os.setsid,
    "groups": lambda: os.setgroups([12345]),
    "group": lambda: os.setresgid(12345, 12345, 12345),
}


def change_and_start(what: str, out: SimpleQueue[Any]) -> None:
    finish(start(int))
    before = module.inherited()
    CHANGES[what]()
    process = start(tell_inherited, out)
    told = out.get()
    process.join()
    out.put((told == module.inherited(), told != before))


@pytest.mark.parametrize("what", CHANGES)
def test_child_inherits_what_its_starter_has_by_then(what: str) -> None:
    if what in {"groups", "group"} and os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    out: SimpleQueue[Any] = SimpleQueue()
    process = Process(target=change_and_start, args=(what, out), start_method="fork")
    process.start()
    process.join()
    assert str(process.outcome) == "finished"
    assert out.get() == (True, what != "affinity" or len(os.sched_getaffinity(0)) > 1)


@pytest.mark.usefixtures("steady")
def test_death_of_a_template_is_nothing_to_its_children() -> None:
    ours = serving()
    out, go = SimpleQueue[Any](), SimpleQueue[Any]()
    process = start(answer, go, out)
    ours.child.signal(signal.SIGKILL)
    ours.child.wait()
    go.put("still there")
    assert out.get() == "still there"
    finish(process)


def answer(go: SimpleQueue[Any], out: SimpleQueue[Any]) -> None:
    out.put(go.get())


@pytest.mark.usefixtures("steady")
def test_stopped_template_is_replaced_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = serving()
    monkeypatch.setattr(module, "ANSWER_LIMIT", 0.2)
    ours.child.signal(signal.SIGSTOP)
    until(lambda: state(ours.child.pid) == "T")
    finish(start(int))
    assert is_gone(ours.child.pid)


@pytest.mark.usefixtures("steady")
def test_template_that_was_killed_after_it_had_made_the_child_has_made_it() -> None:
    """It is stopped with the question in its socket, let go and killed at once: either is right, but nothing else."""
    out: SimpleQueue[int] = SimpleQueue()
    for number in range(20):
        template = serving()
        template.child.signal(signal.SIGSTOP)
        until(lambda template=template: state(template.child.pid) == "T")  # type: ignore[misc]

        def let_go_and_kill(template: Template = template, pause: float = number * 0.0001) -> None:
            time.sleep(0.02)
            template.child.signal(signal.SIGCONT)
            time.sleep(pause)
            template.child.signal(signal.SIGKILL)

        killer = threading.Thread(target=let_go_and_kill)
        killer.start()
        process = start(out.put, number)
        killer.join()
        finish(process)
    assert [out.get() for _ in range(20)] == list(range(20))
    assert out.empty()


@pytest.mark.usefixtures("steady")
def test_where_each_template_dies_at_once_the_child_is_spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = serving()
    monkeypatch.setattr(module, "PROGRAM", "import os; os._exit(3)  # {root} {arguments}")
    ours.child.signal(signal.SIGKILL)
    process = Process(target=int, start_method="forkserver")
    process.start()
    process.join()
    assert str(process.outcome) == "finished"


INTERRUPTED = """
import os, procession, signal, threading, time
from procession._process.templates import templates
def until(condition):
    while not condition():
        time.sleep(0.001)
def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return file.read().split()
if __name__ == "__main__":
    first = procession.Process(target=int, start_method="forkserver")
    first.start(); first.join()
    while templates.tend(): time.sleep(0.01)
    template = templates.serving
    template.child.signal(signal.SIGSTOP)
    until(lambda: open(f"/proc/{template.child.pid}/stat").read().rpartition(")")[2].split()[0] == "T")
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        procession.Process(target=int, start_method="forkserver").start()
    except KeyboardInterrupt:
        print("interrupted")
    until(lambda: not children())
    again = procession.Process(target=int, start_method="forkserver")
    again.start(); again.join()
    print(again.outcome)
"""


def test_start_that_is_interrupted_leaves_nothing() -> None:
    assert run(INTERRUPTED).stdout == "interrupted\nfinished\n"


IN_A_HANDLER = """
import os, procession, signal, threading, time
from procession._process.templates import templates
outcomes = []
def start(*_):
    process = procession.Process(target=int, start_method="forkserver")
    process.start(); process.join()
    outcomes.append(str(process.outcome))
if __name__ == "__main__":
    start()
    while templates.tend(): time.sleep(0.01)
    signal.signal(signal.SIGUSR1, start)
    template = templates.serving
    template.child.signal(signal.SIGSTOP)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    threading.Timer(1.5, template.child.signal, (signal.SIGCONT,)).start()
    start()
    print(outcomes)
"""


def test_signal_handler_may_start_one_while_another_is_being_started() -> None:
    result = run(IN_A_HANDLER)
    assert (result.stdout, result.stderr) == ("['finished', 'finished', 'finished']\n", "")


def test_threads_may_start_children_at_the_same_time() -> None:
    out: SimpleQueue[int] = SimpleQueue()

    def start_some(number: int) -> None:
        for i in range(8):
            finish(start(out.put, 10 * number + i))

    threads = [threading.Thread(target=start_some, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(out.get() for _ in range(32)) == sorted(10 * number + i for number in range(4) for i in range(8))


AFTER_A_FORK = """
import os, procession, time
from procession._process.templates import templates
def start(out):
    process = procession.Process(target=os.getppid, start_method="forkserver")
    process.start(); process.join()
    out.put((templates.serving.child.pid, str(process.outcome)))
if __name__ == "__main__":
    out = procession.SimpleQueue()
    start(out)
    mine, _ = out.get()
    pid = os.fork()
    if pid == 0:
        assert templates.serving is None
        start(out)
        os._exit(0)
    theirs, outcome = out.get()
    os.waitpid(pid, 0)
    start(out)
    print(theirs not in (mine, templates.serving.child.pid), outcome, out.get()[1])
    while os.path.exists(f"/proc/{theirs}"): time.sleep(0.001)
"""


def test_forked_child_of_the_owner_has_a_template_of_its_own() -> None:
    result = run(AFTER_A_FORK)
    assert (result.stdout, result.stderr) == ("True finished finished\n", "")


LEFT_TO_ITSELF = """
import os, procession, time
from procession._process.templates import templates
if __name__ == "__main__":
    process = procession.Process(target=int, start_method="forkserver")
    process.start(); process.join()
    while templates.tend(): time.sleep(0.01)
    print(templates.serving.child.pid, flush=True)
    END
"""


@pytest.mark.parametrize("end", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_template_ends_with_its_owner(end: str) -> None:
    pid = int(run(LEFT_TO_ITSELF.replace("END", end)).stdout)
    until(lambda: is_gone(pid), "the template is gone")


FULL_TABLE = """
import procession
if __name__ == "__main__":
    domain = procession.Queue()._domain
    try:
        while True: domain.reserve_slot("", 8)
    except procession.DomainFull: pass
    try:
        procession.Process(target=int, start_method="forkserver").start()
    except procession.DomainFull as error:
        print("full")
"""


def test_full_process_table_is_an_error() -> None:
    assert run(FULL_TABLE).stdout == "full\n"
