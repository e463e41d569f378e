"""The shared memory of a program: made at first use, bounded, and clear about what went wrong."""

from __future__ import annotations

import os
import resource
import signal
from typing import Any

import pytest

import procession
from procession import _core
from procession._memory.domain import domains
from tests.helpers import becomes, child, domain, error_of, kill, output_of, until

SMALL = {"PROCESSION_MAX_BYTES": str(4 << 20)}


def test_first_object_makes_the_domain_and_its_one_descriptor() -> None:
    count = "sum('memfd:procession' in os.path.realpath(fd) for fd in os.scandir('/proc/self/fd'))"
    program = (
        f"import os, procession\nprint({count})\n"
        f"kept = [procession.Queue(), procession.Lock(), procession.Mutex()] * 20\nprint({count})"
    )
    assert output_of(program).split() == ["0", "1"]


def test_objects_of_a_process_share_one_domain() -> None:
    assert procession.Queue[int]()._domain is procession.Lock()._domain is domain()


def test_domain_is_not_in_a_core_dump() -> None:
    domain()
    with open("/proc/self/smaps", encoding="ascii") as file:
        flags = [part for part in file.read().split("VmFlags:") if "memfd:procession" in part]
    assert flags
    with open("/proc/self/smaps", encoding="ascii") as file:
        lines = file.read().splitlines()
    at = next(number for number, line in enumerate(lines) if "memfd:procession" in line)
    assert " dd " in next(line for line in lines[at:] if line.startswith("VmFlags:")) + " "


# ---- the environment

WRONG = {
    "text": ("PROCESSION_MAX_BYTES", "1G", "1 or more, not '1G'"),
    "none": ("PROCESSION_MAX_BYTES", "0", "1 or more, not '0'"),
    "negative": ("PROCESSION_MAX_BYTES", "-5", "1 or more, not '-5'"),
    "too small a domain": ("PROCESSION_DOMAIN_SIZE", "4096", "67108864 or more, not '4096'"),
    "beyond 64 bits": ("PROCESSION_DOMAIN_SIZE", str(1 << 64), f"67108864 or more, not '{1 << 64}'"),
}


@pytest.mark.parametrize(("variable", "value", "words"), WRONG.values(), ids=WRONG)
def test_wrong_size_in_the_environment_is_refused_by_name(variable: str, value: str, words: str) -> None:
    said = error_of("import procession; procession.Queue()", **{variable: value})
    assert said == f"ValueError: {variable} must be a number of bytes, {words}"


def test_empty_variable_is_none() -> None:
    assert output_of("import procession; print(procession.Queue().qsize())", PROCESSION_MAX_BYTES="") == "0"


def test_sizes_of_the_environment_count() -> None:
    program = "import procession; d = procession.Queue()._domain; print(d.size, d.max_bytes)"
    sizes = {"PROCESSION_DOMAIN_SIZE": str(128 << 20), "PROCESSION_MAX_BYTES": str(5 << 20)}
    assert output_of(program, **sizes) == f"{128 << 20} {5 << 20}"


def test_size_that_the_machine_does_not_give_says_so() -> None:
    said = error_of("import procession; procession.Queue()", PROCESSION_DOMAIN_SIZE=str(1 << 60))
    assert "no address space for shared memory (PROCESSION_DOMAIN_SIZE is 1152921504606846976)" in said


def test_domain_shrinks_to_what_the_limits_allow() -> None:
    program = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
import procession
queue = procession.Queue()
queue.put(1)
print(queue.get(), queue._domain.size <= 2 << 30)
"""
    assert output_of(program) == "1 True"


# ---- full memory


def test_full_memory_says_which_limit_and_what_to_do() -> None:
    said = error_of("import procession\nq = procession.Queue(name='jobs')\nwhile True: q.put(b'x' * 10_000)", **SMALL)
    assert said.startswith(
        "DomainFull: no memory for Queue 'jobs'; the limit that bound: max_bytes of the domain, 4194304 bytes, of which "
    )
    assert said.endswith("Consume faster, give the queue maxsize= or max_bytes=, or raise PROCESSION_MAX_BYTES.")


def test_item_larger_than_the_memory_says_so() -> None:
    said = error_of("import procession; procession.Queue(name='jobs').put(b'x' * (5 << 20))", **SMALL)
    assert said == (
        "DomainFull: an object for Queue 'jobs' is larger than the whole domain may be (4194304 bytes). "
        "Split it, or raise PROCESSION_MAX_BYTES."
    )


def test_full_queue_is_usable_and_has_lost_nothing() -> None:
    program = """
import procession
queue, number = procession.Queue(), 0
for size in (10, 10_000, 100_000):
    try:
        while True:
            queue.put((number, b"x" * size))
            number += 1
    except procession.DomainFull:
        pass
try:
    queue.put(b"x" * (100 << 20))
except procession.DomainFull:
    pass
assert [queue.get()[0] for _ in range(number)] == list(range(number))
queue.put("alive")
print(queue.get())
"""
    assert output_of(program, **SMALL) == "alive"


def test_many_in_full_memory_tell_how_many_went_in() -> None:
    program = """
import procession
queue = procession.Queue()
try:
    queue.put_many([b"x" * 1000] * 10_000)
except procession.DomainFull as error:
    print(error.items_put == queue.qsize() > 0)
"""
    assert output_of(program, **SMALL) == "True"


def test_no_memory_for_one_more_object_says_so() -> None:
    program = "import procession\nkept = []\nwhile True: kept.append(procession.{}(name='more'))"
    assert "DomainFull: no memory for lock 'more'" in error_of(program.format("Lock"), **SMALL)
    assert "DomainFull: no memory for Queue 'more'" in error_of(program.format("Queue"), **SMALL)


# ---- the process table


def test_table_takes_1024_processes_and_not_one_more() -> None:
    made = _core.Domain.create(64 << 20)
    for _ in range(1023):
        made.reserve_slot("child")
    with pytest.raises(procession.DomainFull, match="1024 processes use this domain already; end some before 'late'"):
        made.reserve_slot("late")


def slots_of(pid: int | None) -> list[Any]:
    domain().sweep()
    return [line for line in domain().slots() if line[3] == pid]


def test_forked_process_has_a_line_until_it_dies() -> None:
    domain()
    with child(signal.pause) as process:
        until(lambda: slots_of(process.pid))
        kill(process)
        assert not slots_of(process.pid)


def test_process_of_os_fork_inherits_all_and_has_a_line_until_it_dies() -> None:
    queue = procession.Queue[int]()
    pid = os.fork()
    if pid == 0:
        queue.put(os.getpid())
        os._exit(0)
    assert queue.get() == pid
    os.waitpid(pid, 0)
    assert not slots_of(pid)


def test_process_that_calls_exec_leaves_the_table() -> None:
    domain()
    with child(os.execlp, "sleep", "sleep", "1000") as process:
        becomes(process, "sleep")
        assert not slots_of(process.pid)
        kill(process)


def test_descriptor_of_something_else_is_refused_and_closed() -> None:
    with open("/dev/null", "rb") as file, pytest.raises(OSError, match="Invalid argument"):
        domains.attach(bytes(16), os.dup(file.fileno()))


def test_memory_of_something_else_is_refused_and_closed() -> None:
    fd = os.memfd_create("other")
    os.truncate(fd, 64 << 20)
    with pytest.raises(procession.LayoutMismatch, match="another version of procession"):
        domains.attach(bytes(16), fd)


def test_known_domain_is_not_attached_twice() -> None:
    assert domains.attach(domain().uuid, os.dup(domain().fd)) is domain()


def test_open_files_may_be_few() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    domain()
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), hard))
    try:
        kept = [procession.Queue[int]() for _ in range(10)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(kept) == 10
