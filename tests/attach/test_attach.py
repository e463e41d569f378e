"""A second program opens what a first one has named; both are programs of their own, killed and refused for real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import procession
from procession import _core, attach
from procession._memory.domain import domains
from procession._process.attach import CLASSES
from tests.attach.programs import Program, Raised, programs
from tests.helpers import output_of, until

KINDS = {
    "Queue": "mp.Queue(name='it')",
    "JoinableQueue": "mp.JoinableQueue(name='it')",
    "PriorityQueue": "mp.PriorityQueue(name='it')",
    "Lock": "mp.Lock(name='it')",
    "RLock": "mp.RLock(name='it')",
    "Mutex": "mp.Mutex(name='it')",
    "Event": "mp.Event(name='it')",
    "Barrier": "mp.Barrier(2, name='it')",
    "Atomic": "mp.Atomic(5, name='it')",
    "Condition": "mp.Condition(name='it')",
    "Semaphore": "mp.Semaphore(3, name='it')",
    "BoundedSemaphore": "mp.BoundedSemaphore(3, name='it')",
    "SharedDict": "mp.SharedDict({'a': 1}, name='it')",
    "Synchronized": "mp.Value('i', 5, name='it')",
    "SynchronizedArray": "mp.Array('d', [1, 2], name='it')",
    "SynchronizedString": "mp.Array('c', b'text', name='it')",
    "c_double": "mp.RawValue('d', 0.5, name='it')",
    "c_bool": "mp.RawValue(__import__('ctypes').c_bool, True, name='it')",
    "c_int_Array_3": "mp.RawArray('i', 3, name='it')",
    "c_int": "mp.Value('i', lock=False, name='it')",
    "c_int_Array_2": "mp.Array('i', 2, lock=False, name='it')",
    "ndarray": "mp.shared_array((2, 3), 'i4', fill=7, name='it')",
}


@pytest.mark.parametrize("kind", KINDS)
def test_object_is_opened_as_what_it_is(kind: str) -> None:
    with programs() as (first, second):
        first.do(f"it = {KINDS[kind]}")
        second.do(f"it = mp.attach({first.pid})['it']")
        assert second.do("type(it).__name__") == kind


@pytest.mark.parametrize("lock", ["None", "mp.Lock(name='its lock')", "mp.Mutex(name='its lock')"])
def test_condition_is_found_with_its_lock(lock: str) -> None:
    with programs() as (first, second):
        first.do(f"c = mp.Condition({lock}, name='c')")
        second.do(f"c = mp.attach({first.pid})['c']")
        assert second.do(f"list(mp.attach({first.pid}))") == (["c"] if lock == "None" else ["c", "its lock"])
        first.do("c.acquire()")
        assert second.do("c.acquire(False)") is False
        second.begin("[c.acquire(), c.notify(), c.release()][0]")
        assert first.do("c.wait(timeout=100)") is True  # lets the lock go meanwhile
        assert second.answer() is True


def test_value_is_found_with_its_lock() -> None:
    with programs() as (first, second):
        first.do(
            "lock = mp.Lock(name='lock'); v, w = mp.Value('i', 7, name='v'), mp.Array('i', 2, lock=lock, name='w')"
        )
        second.do(f"run = mp.attach({first.pid}); v, w = run['v'], run['w']")
        assert second.do("list(run)") == ["lock", "v", "w"]
        first.do("v.acquire(), lock.acquire()")
        assert second.do("(v.acquire(False), w.acquire(False))") == (False, False)
        first.do("v.value = 8; v.release(); lock.release()")
        assert second.do("(v.value, w.get_lock()._handle == run['lock']._handle)") == (8, True)
        second.do("w[1] = 5")
        assert first.do("w[:]") == [0, 5]


def test_value_with_a_lock_of_another_library_is_not_listed() -> None:
    with programs() as (first, second):
        first.do("v, w = mp.Value('i', lock=threading.RLock(), name='v'), mp.RawValue('i', name='w')")
        assert second.do(f"list(mp.attach({first.pid}))") == ["w"]


def test_structure_of_c_is_not_listed_since_the_other_program_may_not_have_it() -> None:
    with programs() as (first, second):
        first.do("import ctypes; S = type('S', (ctypes.Structure,), {'_fields_': [('x', ctypes.c_int)]})")
        first.do("s, v = mp.Value(S, name='s'), mp.RawValue('i', name='v')")
        assert second.do(f"list(mp.attach({first.pid}))") == ["v"]


def test_priority_queue_with_a_key_of_its_program_is_not_listed() -> None:
    with programs() as (first, second):
        first.do("p, q = mp.PriorityQueue(key=len, name='p'), mp.PriorityQueue(name='q')")
        second.do(f"run = mp.attach({first.pid}); q = run['q']; q.put(2); q.put(1)")
        assert second.do("list(run)") == ["q"]
        assert first.do("(q.get(), q.get())") == (1, 2)


def test_barrier_is_passed_by_two_programs() -> None:
    with programs() as (first, second):
        first.do("b = mp.Barrier(2, action=lambda: 0, timeout=100, name='b')")
        second.do(f"b = mp.attach({first.pid})['b']")
        second.begin("b.wait(100)")
        first.begin("b.wait()")
        assert sorted((first.answer(), second.answer())) == [0, 1]


def test_every_type_of_the_core_has_its_class() -> None:
    types = [value for value in vars(_core).values() if isinstance(value, type) and issubclass(value, _core.Shared)]
    # An end of a pipe is handed to somebody, and never found.
    assert {kind for kind in types if kind is not _core.Shared} == {*CLASSES, _core.Buffer, _core.Connection}


def test_items_go_both_ways_in_order() -> None:
    with programs() as (first, second):
        first.do("there, back = mp.Queue(name='there'), mp.JoinableQueue(name='back')")
        second.do(f"run = mp.attach({first.pid}); there, back = run['there'], run['back']")
        first.do("there.put_many(range(1000)); there.put(b'x' * 200_000); there.put({'a': [1, 'b']})")
        assert second.do("[there.get() for _ in range(1000)] == list(range(1000))") is True
        assert second.do("len(there.get())") == 200_000
        second.do("back.put(there.get())")
        assert first.do("back.get()") == {"a": [1, "b"]}
        assert first.do("back.task_done()") is None
        assert second.do("back.join(30)") is True


def test_array_is_the_same_memory() -> None:
    with programs() as (first, second):
        first.do("a = mp.shared_array((3, 2), [('x', 'i2'), ('y', 'f8', (2,))], name='a'); a['x'] = 5")
        second.do(f"a = mp.attach({first.pid})['a']; a['y'] = 0.5")
        assert second.do("(a.shape, a['x'].tolist())") == ((3, 2), [[5, 5]] * 3)
        assert first.do("a['y'].tolist()") == [[[0.5, 0.5]] * 2] * 3


def test_object_of_the_first_sent_back_to_it_is_the_same_object() -> None:
    with programs() as (first, second):
        first.do("q, lock = mp.Queue(name='q'), mp.Lock(name='lock')")
        second.do(f"run = mp.attach({first.pid}); run['q'].put(run['lock'])")
        assert first.do("q.get()._handle == lock._handle") is True


def test_object_of_the_second_goes_through_a_queue_of_the_first() -> None:
    with programs() as (first, second):
        first.do("q = mp.Queue(name='q')")
        second.do(f"own = mp.Queue(name='own'); mp.attach({first.pid})['q'].put(own)")
        first.do("q.get().put('hello')")
        assert second.do("own.get()") == "hello"


def test_own_objects_stay_in_a_domain_of_their_own() -> None:
    with programs() as (first, second):
        first.do("lock = mp.Lock(name='theirs')")
        second.do(f"theirs = mp.attach({first.pid})['theirs']; own = mp.Lock(name='own')")
        assert second.do("theirs._domain.uuid == own._domain.uuid") is False
        assert first.do("list(mp.attach(os.getpid()))") == ["theirs"]
        assert first.do(f"list(mp.attach({second.pid}))") == ["own"]  # not what it has from us


# ---- names ------------------------------------------------------------------------------------


def test_mapping_lists_what_is_there_now() -> None:
    with programs() as (first, second):
        first.do("a, b = mp.Lock(name='a'), mp.Queue(name='b')")
        second.do(f"run = mp.attach({first.pid})")
        assert second.do("(list(run), len(run), 'a' in run, 'c' in run)") == (["a", "b"], 2, True, False)
        assert second.do("[(entry.name, entry.kind) for entry in run.entries()]") == [("a", "Lock"), ("b", "Queue")]
        assert second.do("repr(run)") == f"<Attached to process {first.pid}: 'a' Lock, 'b' Queue>"
        first.do("c = mp.Mutex(name='c'); del a")
        assert second.do("(list(run), run.get('a'))") == (["b", "c"], None)


def test_unknown_name_is_told_what_there_is() -> None:
    with programs() as (first, second):
        first.do("jobs = mp.Queue(name='jobs')")
        with pytest.raises(Raised, match=r"NotFound.*no object named 'job'; it has: 'jobs' \(Queue\)"):
            second.do(f"mp.attach({first.pid})['job']")


def test_name_of_several_is_refused_and_each_can_be_opened() -> None:
    with programs() as (first, second):
        first.do("a, b, c = mp.Lock(name='x'), mp.Queue(name='x'), mp.Queue(name='y')")
        second.do(f"run = mp.attach({first.pid})")
        with pytest.raises(Raised, match=r"Ambiguous.*2 objects of process \d+ are named 'x' \(Lock, Queue\)"):
            second.do("run.get('x')")
        assert second.do("[type(run.open(e)).__name__ for e in run.entries() if e.name == 'x']") == ["Lock", "Queue"]


def test_entry_of_a_freed_object_is_stale() -> None:
    with programs() as (first, second):
        first.do("a = mp.Lock(name='a')")
        second.do(f"run = mp.attach({first.pid}); entry, = run.entries()")
        first.do("del a")
        with pytest.raises(Raised, match="StaleHandle"):
            second.do("run.open(entry)")


def test_payload_in_a_queue_has_no_name_to_be_found_by() -> None:
    with programs() as (first, second):
        first.do("q = mp.Queue(name='q'); q.put(b'x' * 500_000); a = mp.shared_array(5)")
        assert second.do(f"list(mp.attach({first.pid}))") == ["q"]


def test_structure_of_many_fields_is_the_same_memory() -> None:
    with programs() as (first, second):
        first.do("a = mp.shared_array(2, [(f'field{i}', 'i4') for i in range(400)], name='a', fill=3)")
        second.do(f"a = mp.attach({first.pid})['a']; a['field399'] = 9")
        assert first.do("a['field399'].tolist()") == [9, 9]
        assert second.do("a['field398'].tolist()") == [3, 3]


def test_structure_with_overlapping_fields_is_not_listed() -> None:
    with programs() as (first, second):
        first.do("kind = {'names': ['a', 'b'], 'formats': ['i4', 'i2'], 'offsets': [0, 0]}")
        first.do("a, b = mp.shared_array(2, kind, name='a'), mp.shared_array(2, name='b')")
        assert second.do(f"list(mp.attach({first.pid}))") == ["b"]


def test_many_objects_are_all_found() -> None:
    with programs() as (first, second):
        first.do("kept = [mp.Lock(name=f'lock {i}') for i in range(700)] + [mp.Queue(name=f'q{i}') for i in range(70)]")
        assert second.do(f"len(mp.attach({first.pid}))") == 770
        assert second.do(f"mp.attach({first.pid})['lock 699'].acquire()") is True


# ---- what is held ---------------------------------------------------------------------------------


def test_held_object_outlives_its_program() -> None:
    with programs() as (first, second):
        first.do("q, lock = mp.Queue(name='q'), mp.Lock(name='lock'); q.put('left'); lock.acquire()")
        second.do(f"run = mp.attach({first.pid}); q, lock = run['q'], run['lock']")
        first.kill()
        assert second.do("lock.acquire(timeout=60)") is True  # its owner is dead
        assert second.do("q.get()") == "left"
        second.do("q.put('mine')")
        assert second.do("q.get()") == "mine"
        with pytest.raises(Raised, match="ProcessLookupError"):
            second.do(f"mp.attach({first.pid})")


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Mutex"])
@pytest.mark.parametrize("victim", [0, 1], ids=["first", "second"])
def test_lock_of_a_killed_program_comes_to_the_other(kind: str, victim: int) -> None:
    with programs() as both:
        both[0].do(
            f"lock = mp.{kind}(name='lock')" + ("; lock._repair = lambda error: None" if kind == "Mutex" else "")
        )
        both[1].do(f"lock = mp.attach({both[0].pid})['lock']")
        if kind == "Mutex":
            both[1].do("import warnings; warnings.simplefilter('ignore')")
        assert both[victim].do("lock.acquire()") is True
        other = both[1 - victim]
        other.begin("lock.acquire(timeout=100)")
        other_sleeps = "lock.statistics().waiters == 1"
        until(lambda: both[victim].do(other_sleeps))
        both[victim].kill()
        assert other.answer() is True
        if kind == "Mutex":
            assert other.do("lock.owner_died") is True


def test_killed_program_gives_back_what_it_held() -> None:
    with programs() as (first, second):
        first.do("a = mp.shared_array(1_000_000, 'u1', name='a'); gone = a")
        second.do(f"a = mp.attach({first.pid})['a']")
        first.do("before = a.nbytes; del a, gone")
        assert first.do("list(mp.attach(os.getpid()))") == ["a"]  # the other has it
        second.kill()
        first.do("from procession._memory.domain import domains")
        until(lambda: first.do("(domains.default.sweep(), list(mp.attach(os.getpid())))[1]") == [])
        assert first.do("domains.default.used()['payloads']") == 0


def test_lease_of_a_killed_program_is_redelivered_to_the_other() -> None:
    with programs() as (first, second):
        first.do("jobs = mp.JoinableQueue(name='jobs'); jobs.put('work')")
        second.do(f"jobs = mp.attach({first.pid})['jobs']")
        assert second.do("tuple(jobs.get_item())") == ("work", 0, 1)
        second.kill()
        assert first.do("tuple(jobs.get_item(timeout=100))") == ("work", 0, 2)


def test_lease_of_a_program_that_lets_go_of_the_queue_comes_again() -> None:
    with programs() as (first, second):
        first.do("jobs = mp.JoinableQueue(name='jobs'); jobs.put('work')")
        assert second.do(f"tuple(mp.attach({first.pid})['jobs'].get_item())") == ("work", 0, 1)
        assert first.do("tuple(jobs.get_item(timeout=100))") == ("work", 0, 2)


def test_lease_of_a_program_that_ends_well_stays_unfinished() -> None:
    with programs() as (first, second):
        first.do("jobs = mp.JoinableQueue(name='jobs'); jobs.put('stop')")
        second.do(f"jobs = mp.attach({first.pid})['jobs']")
        second.do("jobs.get()")
        second.end()
        first.do("from procession._memory.domain import domains")
        until(lambda: first.do("(domains.default.sweep(), len(jobs.statistics().left))[1]") == 1)
        assert first.do("jobs.empty()") is True


def lines_of(program: Program) -> int:
    program.do("from procession._memory.domain import domains")
    lines: int = program.do("(domains.default.sweep(), len(domains.default.slots()))[1]")
    return lines


def test_letting_go_of_the_last_object_gives_all_back() -> None:
    with programs() as (first, second):
        first.do("q, a = mp.Queue(name='q'), mp.shared_array(9, name='a')")
        second.do("import gc; before = len(os.listdir('/proc/self/fd'))")
        second.do(f"run = mp.attach({first.pid}); q, a = run['q'], run['a']; part = a[2:]; del run, a")
        assert lines_of(first) == 2
        second.do("del q; gc.collect()")
        assert lines_of(first) == 2  # a view of the array is there still
        second.do("part[:] = 1; del part; gc.collect()")
        assert lines_of(first) == 1
        assert second.do("len(os.listdir('/proc/self/fd')) - before") == 0
        assert second.do("any('memfd:procession' in line for line in open('/proc/self/maps'))") is False
        assert first.do("a.tolist()") == [0, 0, *[1] * 7]


def test_attaching_again_and_again_leaves_nothing() -> None:
    with programs() as (first, second):
        first.do("q = mp.Queue(name='q')")
        second.do(f"mp.attach({first.pid})['q'].put(0); before = len(os.listdir('/proc/self/fd'))")
        for _ in range(30):
            second.do(f"[mp.attach({first.pid})['q'].put(i) for i in range(50)]")
        assert second.do("len(os.listdir('/proc/self/fd')) - before") == 0
        assert lines_of(first) == 1
        assert first.do("q.qsize()") == 1501


# ---- children of either --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_child_of_the_second_uses_what_it_is_given(method: str, tmp_path: Path) -> None:
    program = tmp_path / "second.py"
    program.write_text(
        "import procession as mp, sys\n"
        "def work(q, own):\n"
        "    own.put(q.get() + 1)\n"
        "    made = mp.Queue()\n"
        "    assert made._domain.uuid == own._domain.uuid != q._domain.uuid\n"
        "if __name__ == '__main__':\n"
        "    q, own = mp.attach(int(sys.argv[1]))['q'], mp.Queue()\n"
        "    child = mp.Process(target=work, args=(q, own), start_method=sys.argv[2])\n"
        "    child.start()\n"
        "    print(own.get())\n"
        "    child.join()\n"
        "    assert child.exitcode == 0\n"
    )
    with programs(1) as (first,):
        first.do("q = mp.Queue(name='q'); q.put(41)")
        command = [sys.executable, "-W", "error", str(program), str(first.pid), method]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.stdout, result.stderr, result.returncode) == ("42\n", "", 0)
        until(lambda: lines_of(first) == 1)


FAMILY = """
import os, signal, sys, procession as mp
q = mp.attach(int(sys.argv[1]))["pids"]
for generation in range(3):  # the program, its fork, and the fork's fork
    q.put(os.getpid())
    if generation == 2 or os.fork() != 0:
        break
signal.pause()
"""


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_guardian_of_the_first_leaves_processes_of_the_second_alone() -> None:
    with programs(1) as (first,):
        first.do("pids = mp.Queue(name='pids')")
        # When the child is killed, its fork is ended: so one sees that the guardian has looked.
        first.do("work = lambda: (os.fork(), pids.put(os.getpid()), signal.pause())")
        first.do("child = mp.Process(target=work, start_method='fork'); child.start()")
        own = {first.do("pids.get()"), first.do("pids.get()")}
        second = subprocess.Popen([sys.executable, "-c", FAMILY, str(first.pid)])
        family = [first.do("pids.get()") for _ in range(3)]
        try:
            assert family[0] == second.pid
            os.kill(family[1], signal.SIGKILL)
            until(lambda: not is_alive(family[1]))
            first.do("child.kill()")
            until(lambda: not any(is_alive(pid) for pid in own))
            assert is_alive(family[0])
            assert is_alive(family[2])
            first.kill()
            signal.sigtimedwait([], 2.5)  # it looks at least once a second
            assert is_alive(family[0])
            assert is_alive(family[2])
        finally:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            second.wait()


RUN_BY_A_CHILD = """
import signal, sys, procession as mp
q = mp.attach(int(sys.argv[1]))["q"]
q.put("attached")
signal.pause()
"""


def test_visitor_that_a_killed_child_had_run_is_ended_with_it() -> None:
    with programs(1) as (first,):
        first.do("q = mp.Queue(name='q')")
        first.do(
            "work = lambda: __import__('subprocess').run("
            f"[sys.executable, '-c', {RUN_BY_A_CHILD!r}, '{first.pid}'], check=False)"
        )
        first.do("child = mp.Process(target=work, start_method='fork'); child.start()")
        assert first.do("q.get()") == "attached"
        first.do("from procession._memory.domain import domains")
        visitor = next(pid for _, _, _, pid, *_, flags, _ in first.do("domains.default.slots()") if flags & 512)
        assert is_alive(visitor)
        first.do("child.kill()")
        until(lambda: not is_alive(visitor))


# ---- refusals ----------------------------------------------------------------------------------------


def test_pid_of_nobody() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    with pytest.raises(ProcessLookupError, match=f"there is no process {dead.pid}"):
        attach(dead.pid)


def test_zombie() -> None:
    with programs(1) as (first,):
        first.do("lock = mp.Lock(name='lock')")
        os.kill(first.pid, signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # with all its threads
        with pytest.raises(ProcessLookupError, match="has ended"):
            attach(first.pid)


def test_process_without_objects() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            with pytest.raises(procession.NotFound, match=f"process {process.pid} has no objects of procession"):
                attach(process.pid)
        finally:
            process.kill()


@pytest.mark.parametrize("run", [None, True, 1.5, b"etl"])
def test_what_is_neither_pid_nor_name(run: Any) -> None:
    with pytest.raises(TypeError, match="run must be a pid or the name of a program, not"):
        attach(run)


@pytest.mark.parametrize("run", [0, -1])
def test_number_that_is_no_pid(run: int) -> None:
    with pytest.raises(ValueError, match="a pid is 1 or more"):
        attach(run)


def test_another_layout_version_is_refused_by_name() -> None:
    with programs() as (first, second):
        first.do("lock = mp.Lock(name='lock'); from procession._memory.domain import domains")
        first.do("os.pwrite(domains.default.fd, (3).to_bytes(4, 'little'), 8)")  # as an old version would have it
        with pytest.raises(Raised, match=rf"LayoutMismatch.*process {first.pid} uses another version .* layout 3"):
            second.do(f"mp.attach({first.pid})")
        assert second.do("len([fd for fd in os.listdir('/proc/self/fd')])") == 4  # the listing's own, and no other


def test_memory_that_is_no_domain_is_passed_over() -> None:
    with programs() as (first, second):
        first.do("fd = os.memfd_create('procession'); os.truncate(fd, 1 << 30)")
        with pytest.raises(Raised, match=r"NotFound.*has no objects"):
            second.do(f"mp.attach({first.pid})")
        first.do("lock = mp.Lock(name='lock')")
        assert second.do(f"list(mp.attach({first.pid}))") == ["lock"]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
def test_program_of_another_user_is_refused_by_name() -> None:
    with programs() as (first, second):
        first.do("lock = mp.Lock(name='lock'); os.setuid(12345)")
        with pytest.raises(Raised, match=rf"PermissionError.*process {first.pid} belongs to user 12345"):
            second.do(f"mp.attach({first.pid})")  # though root may look into all
        second.do("os.setuid(23456)")
        with pytest.raises(Raised, match=rf"PermissionError.*process {first.pid} belongs to user 12345"):
            second.do(f"mp.attach({first.pid})")


@needs_root
def test_program_of_the_same_user_that_may_not_be_looked_into() -> None:
    with programs() as (first, second):
        # Who changes its user becomes undumpable, until it says otherwise.
        first.do("lock = mp.Lock(name='lock'); os.setuid(12345)")
        second.do("mp.attach; os.setuid(12345)")
        with pytest.raises(Raised, match=r"PermissionError.*does not let itself be looked into"):
            second.do(f"mp.attach({first.pid})")


def namespaces_are_permitted() -> bool:
    return subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0


def test_another_pid_namespace_is_refused_by_name() -> None:
    if not namespaces_are_permitted():
        pytest.skip("no pid namespace can be made here")
    first = Program("unshare", "--pid", "--fork", "--kill-child")
    try:
        assert first.do("lock = mp.Lock(name='lock')") is None
        with open(f"/proc/{first.pid}/task/{first.pid}/children", encoding="ascii") as file:
            inner = int(file.read())
        with pytest.raises(procession.LayoutMismatch, match=rf"process {inner} runs in another pid namespace"):
            attach(inner)
        first.do(f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})")
    finally:
        first.kill()
        for stream in (first.process.stdin, first.process.stdout):
            assert stream is not None
            stream.close()


def test_process_that_is_a_visitor_everywhere_has_nothing_of_its_own() -> None:
    with programs(3) as (first, second, third):
        first.do("lock = mp.Lock(name='lock')")
        second.do(f"lock = mp.attach({first.pid})['lock']")
        with pytest.raises(Raised, match=r"NotFound.*has no objects"):
            third.do(f"mp.attach({second.pid})")


def test_process_that_is_just_coming_to_another_has_nothing_of_its_own() -> None:
    with programs(3) as (first, second, third):
        first.do("lock = mp.Lock(name='lock')")
        second.do("from procession._process import attach")
        second.do(f"opened = attach._own_domains({first.pid}, 'the first')")  # and it has no line there yet
        with pytest.raises(Raised, match=r"NotFound.*has no objects"):
            third.do(f"mp.attach({second.pid})")


def test_handle_whose_sender_s_pid_is_another_program_s_by_now_is_stale() -> None:
    with programs(3) as (first, second, third):
        for program in (first, second):  # both have one at the same place
            program.do("lock = mp.Lock(name='lock')")
        uuid, *where = first.do("(lock._domain.uuid, *lock._handle)")
        fd = second.do("lock._domain.fd")
        assert where == list(second.do("lock._handle"))
        third.do("from procession import _core; from procession._memory.handle import _rebuild")
        with pytest.raises(Raised, match=r"StaleHandle.*is gone"):
            third.do(f"_rebuild(_core.Lock, {uuid!r}, *{where!r}, ({second.pid}, {fd}), None, 0)")
        assert (
            third.do(
                "[fd for fd in os.listdir('/proc/self/fd') if 'procession' in os.path.realpath('/proc/self/fd/' + fd)]"
            )
            == []
        )


def test_full_process_table_is_told() -> None:
    with programs() as (first, second):
        first.do("lock = mp.Lock(name='lock'); from procession._memory.domain import domains")
        first.do("reserved = [domains.default.reserve_slot('', 0) for _ in range(1023)]")
        with pytest.raises(Raised, match=r"DomainFull.*process table is full"):
            second.do(f"mp.attach({first.pid})")
        first.do("domains.default.release_slot(*reserved[0])")
        assert second.do(f"list(mp.attach({first.pid}))") == ["lock"]


def test_exceptions_survive_pickling() -> None:
    import pickle

    for error in (procession.NotFound("no 'x'"), procession.Ambiguous("2 are named 'x'")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (type(error), str(error))
    assert str(procession.NotFound("no 'x'")) == "no 'x'"


# ---- in one program ---------------------------------------------------------------------------------


def test_own_program_can_be_attached_to() -> None:
    lock = procession.Lock(name="attach to me")
    found = attach(os.getpid())["attach to me"]
    assert found._handle == lock._handle
    assert found._domain is domains.default


def test_named_array_of_the_own_program_is_the_same_memory() -> None:
    array = procession.shared_array((2, 2), "M8[ns]", name="times")
    found = attach(os.getpid())["times"]
    found[1, 1] = np.datetime64(5, "ns")
    assert (array[1, 1], found.dtype) == (np.datetime64(5, "ns"), array.dtype)


def test_attaching_writes_nothing_and_starts_nothing(tmp_path: Path) -> None:
    assert (
        output_of(
            "import os, threading, procession as mp\n"
            "lock = mp.Lock(name='x')\n"
            "mp.attach(os.getpid())['x'].acquire()\n"
            "print(threading.active_count(), len(os.listdir('/proc/self/task')), os.listdir(os.environ['TMPDIR']))",
            TMPDIR=str(tmp_path),
            XDG_RUNTIME_DIR=str(tmp_path),
        )
        == "1 1 []"
    )
