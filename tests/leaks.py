"""A pytest plugin: after each test nothing of it is left, or that test fails.

Looked at: children (zombies too), processes in the domain's slots, open descriptors, entries of /dev/shm, threads
that are not daemons. What may be left is what a program has once, whatever it does: the domain's memfd, the
guardian with its pidfd and its doorbell, a template and its successor, and the standard library's resource tracker,
forkserver and heap. A child that a template has made is no helper: its command is the template's, its line is not.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import pytest

# Seconds; what a dying process or the janitor's tick may need on a busy machine. The check's own tests shorten it.
SETTLE = float(os.environ.get("LEAKS_SETTLE", "2.0"))
WALL = 0x40000000  # __WALL of wait(2), which Python does not name: children that send no SIGCHLD count, too
HELPERS = ("guardian.py", "multiprocessing.resource_tracker", "multiprocessing.forkserver")

# Semaphores of the standard library have the name of the program that began: its children inherit it.
OUR_SEMAPHORES = f"sem.mp-{os.getpid()}-"
multiprocessing.current_process()._config["semprefix"] = f"/mp-{os.getpid()}"  # type: ignore[attr-defined]

failed = pytest.StashKey[bool]()


@dataclass(frozen=True)
class Snapshot:
    """What this process holds that outlives a function call."""

    children: frozenset[str]
    slots: frozenset[str]
    descriptors: Counter[str]
    shared_memory: frozenset[str]
    threads: frozenset[threading.Thread]

    def added_since(self, before: Snapshot) -> list[str]:
        """Say in words what is here that was not there before."""
        news = [f"child process {child}" for child in sorted(self.children - before.children)]
        news += [f"process in a slot {slot}" for slot in sorted(self.slots - before.slots)]
        more = (self.descriptors - before.descriptors).items()
        news += [f"{count} open descriptor(s) on {target}" for target, count in sorted(more)]
        news += [f"/dev/shm/{name}" for name in sorted(self.shared_memory - before.shared_memory) if not is_used(name)]
        news += [f"thread {thread.name!r}" for thread in self.threads - before.threads]
        return news


def snapshot() -> Snapshot:
    """Look at this process as it is now."""
    return Snapshot(
        children=frozenset(children()),
        slots=frozenset(slots()),
        descriptors=Counter(descriptors()),
        shared_memory=frozenset(shared_memory()),
        threads=frozenset(t for t in threading.enumerate() if not t.daemon),
    )


def children() -> Iterator[str]:
    """Yield a line for each child of this process, zombies too, but for the helpers."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
    except ChildProcessError:
        return  # it has none, as after most tests: nothing needs to be looked for in the whole machine's list
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().rpartition(")")
            state, parent = rest.split()[:2]
            if int(parent) != os.getpid():
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since the listing
        if int(pid) not in templates() and not any(helper in command for helper in HELPERS):
            yield f"{pid} {name.partition('(')[2]} {'zombie' if state == 'Z' else command.strip()}"


def slots() -> Iterator[str]:
    """Yield a line for each process that this program's domain believes to be starting or alive."""
    module = sys.modules.get("procession._memory.domain")
    domain = module and module.domains.default
    if domain is None:
        return
    domain.sweep()  # the line of a dead process is nobody's: whoever looks next clears it
    starting, live, guardian = 1, 2, 4
    for index, generation, state, pid, *_, flags, name in domain.slots():
        if state in {starting, live} and index != domain.slot and not flags & guardian and pid not in templates():
            yield f"{index}.{generation} {name!r} pid {pid}"


def shared_memory() -> Iterator[str]:
    """Yield the names in /dev/shm, which all programs of the machine see: not what another run of our tests leaks."""
    for name in os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else ():
        if name.startswith(("iox2_", "joblib_memmapping_folder_")):
            continue  # of iceoryx2, which benchmarks may run beside us; of joblib's pools, whose own tracker removes it later
        if name.startswith("sem.mp-") and not name.startswith(OUR_SEMAPHORES):
            continue  # of another program, which may have been killed: then it stays
        if not name.startswith("leak-") or name == f"leak-{os.getpid()}":
            yield name


def descriptors() -> Iterator[str]:
    """Yield what each open descriptor stands for, without inode numbers: a replaced pipe is no leak."""
    kept = stdlib_helpers() | guardian_descriptors() | template_descriptors()
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if fd not in kept and "memfd:procession" not in target and not target.startswith("/dev/shm/pym-"):
            yield target if target.startswith(("/", "anon_inode")) else target.partition(":[")[0]


def is_used(name: str) -> bool:
    """Does another program, which runs beside the tests, use this entry of /dev/shm?

    Told by the inode: a semaphore is mapped under the name that it had before it got its own.
    """
    try:
        inode = os.stat(f"/dev/shm/{name}").st_ino
    except FileNotFoundError:
        return True
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
                if int(pid) != os.getpid() and f" {inode} " in file.read():
                    return True
        except OSError:
            continue  # it has ended, or is not ours to look into
    return False


def guardian_descriptors() -> set[int | None]:
    """Return the descriptors by which this program reaches its guardian."""
    module = sys.modules.get("procession._process.janitor")
    domain = sys.modules.get("procession._memory.domain")
    if module is None or domain is None or domain.domains.default is None:
        return set()
    held: set[int | None] = {module.doorbell.pipe}
    guardian = f"Pid:\t{domain.domains.default.guardian()[0]}\n"
    for fd in os.listdir("/proc/self/fdinfo"):
        try:
            with open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as file:
                if guardian in file.read():
                    held.add(int(fd))
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return held


def templates() -> dict[int, set[int]]:
    """Return what descriptors this program has for each of its templates, by pid."""
    module = sys.modules.get("procession._process.templates")
    if module is None:
        return {}
    known = {}
    serving, trial = module.templates.serving, module.templates.trial
    if serving is not None:
        known[serving.child.pid] = {serving.socket, serving.child.pidfd}
    if trial is not None:
        known[trial.template.child.pid] = {trial.template.socket, trial.template.child.pidfd, trial.progress}
    return known


def template_descriptors() -> set[int]:
    """Return all of them, and the bell of the janitor, who is there as long as there is a template."""
    known = templates()
    bells = [fd for fd in os.listdir("/proc/self/fd") if known and is_eventfd(fd)]
    return set(map(int, bells[:1])).union(*known.values())


def is_eventfd(fd: str) -> bool:
    """Return whether it is one; it may be closed since the listing."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventfd]"
    except FileNotFoundError:
        return False


def stdlib_helpers() -> set[int | None]:
    """Return the descriptors by which the standard library holds its resource tracker and forkserver."""
    held = set()
    if tracker := sys.modules.get("multiprocessing.resource_tracker"):
        held.add(tracker._resource_tracker._fd)
    if forkserver := sys.modules.get("multiprocessing.forkserver"):
        held.add(forkserver._forkserver._forkserver_alive_fd)
    return held


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test has failed: its traceback then keeps alive what it held."""
    report = yield
    item.stash[failed] = item.stash.get(failed, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a process, a descriptor, shared memory or a thread behind."""
    before = snapshot()
    yield
    if request.node.stash.get(failed, False):
        return
    deadline = time.monotonic() + SETTLE
    while left := snapshot().added_since(before):
        if time.monotonic() > deadline:
            pytest.fail("the test leaves behind:\n  " + "\n  ".join(left), pytrace=False)
        gc.collect()
        time.sleep(0.01)
