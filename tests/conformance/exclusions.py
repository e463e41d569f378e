"""What of CPython's suites is left out, by name, each with its reason. Two classes, and no other reason counts:

PRIVATE    it looks at private parts of the standard library's implementation
BETTER     it demands what ours does better on purpose; `shown_by` is our own test of that
"""

import sys
from typing import Literal, NamedTuple

__all__ = ["EXCLUSIONS", "Exclusion", "names_for"]


class Exclusion(NamedTuple):
    """One test that is left out."""

    name: str  # Class.test
    kind: Literal["PRIVATE", "BETTER"]
    reason: str
    shown_by: str = ""  # of BETTER, and of what is behind a PRIVATE one: file::test
    methods: tuple[str, ...] = ("fork", "spawn", "forkserver")
    since: tuple[int, int] = (3, 11)  # of Python
    before: tuple[int, int] = (4, 0)
    at_times: bool = False  # it passes where the machine is slow enough


EXCLUSIONS: list[Exclusion] = [
    Exclusion(
        "WithProcessesTestProcess.test_parent_process",
        "BETTER",
        "it waits for a grandchild to go on after its parent was killed: ours ends then, unless orphan='keep'",
        "tests/lifecycle/test_orphans.py::test_killed_child_leaves_nobody_either",
    ),
    Exclusion(
        "WithProcessesTestQueue.test_queue_feeder_donot_stop_onexc",
        "BETTER",
        "it wants put() to hide an object that cannot be pickled, and a thread to say so later: ours raises in the caller",
        "tests/unit/test_queue.py::test_unpicklable_raises_in_put_and_nothing_is_lost",
    ),
    Exclusion(
        "TestIgnoreEINTR.test_ignore",
        "BETTER",
        "it wants a child to be there 0.1 s after it began to send 16 MiB, which are to wait for their receiver: ours has sent them and ended",
        "tests/unit/test_pipe.py::test_sender_of_a_large_message_ends_before_it_is_received",
        at_times=True,
    ),
    Exclusion(
        "WithThreadsTestPool.test_terminate",
        "BETTER",
        "it wants no thread to have begun a task of five minutes when terminate() follows map_async() at once, or waits so long: ours begin sooner (from 3.13 on the task is short)",
        "tests/unit/test_pool_ends.py::test_terminate_tells_whoever_waits",
        before=(3, 13),
        at_times=True,
    ),
    Exclusion(
        "TestStartMethod.test_mixed_startmethod",
        "BETTER",
        "it wants a RuntimeError for a lock of the context fork in a process of spawn: with ours that works",
        "tests/unit/test_contexts.py::test_objects_of_any_context_travel_by_any_method",
        methods=("spawn",),  # the suite itself skips it elsewhere
    ),
    Exclusion(
        "TestResourceTracker.test_resource_tracker",
        "PRIVATE",
        "it asks a lock for _semlock.name, and unlinks a semaphore and a block by resource_tracker._CLEANUP_FUNCS: ours have no such names",
        "tests/unit/test_contexts.py::test_no_resource_tracker_is_started",
    ),
    Exclusion(
        "TestResourceTracker.test_resource_tracker_sigkill",
        "PRIVATE",
        "it kills resource_tracker._resource_tracker._pid, and wants a semaphore to start that process again: ours needs none",
        "tests/unit/test_contexts.py::test_no_resource_tracker_is_started",
    ),
    Exclusion(
        "WithProcessesTestSharedMemory.test_shared_memory_basics",
        "PRIVATE",
        "it puts a mock in the place of shared_memory._make_filename, and looks at _name",
        "tests/unit/test_shared_memory.py::test_another_object_of_the_name_sees_the_same_bytes",
    ),
    Exclusion(
        "WithProcessesTestSharedMemory.test_shared_memory_recreate",
        "PRIVATE",
        "it puts a mock in the place of shared_memory._make_filename, and looks at _name",
        "tests/unit/test_shared_memory.py::test_a_name_is_given_once",
    ),
    Exclusion(
        "WithProcessesTestSharedMemory.test_shared_memory_cleaned_after_process_termination",
        "BETTER",
        "it wants the resource tracker to complain of a block whose maker was killed: ours goes with its maker, and nobody tracks it",
        "tests/unit/test_shared_memory.py::test_a_name_goes_with_a_maker_that_ended_badly",
    ),
    Exclusion(
        "WithProcessesTestSharedMemory.test_shared_memory_name_with_embedded_null",
        "PRIVATE",
        "it writes a name with a zero into _name, and wants unlink() to read it from there",
        "tests/unit/test_shared_memory.py::test_name_with_a_zero_is_a_value_error",
        since=(3, 13),
    ),
    Exclusion(
        "WithProcessesTestSharedMemory.test_shared_memory_tracking",
        "BETTER",
        "it wants a block to be destroyed, and the resource tracker to complain, when a program ends that had only opened it",
        "tests/unit/test_shared_memory.py::test_a_program_that_is_run_by_this_one_finds_it_by_its_name",
        since=(3, 13),
    ),
    Exclusion(
        "MiscTestCase.test_spawn_sys_executable_none_allows_import",
        "PRIVATE",
        "it asserts that multiprocessing is not in sys.modules when the program begins, where 'run --patch' has put it",
        "tests/unit/test_install.py::test_interpreter_may_be_unknown",
    ),
    Exclusion(
        "WithProcessesTestConnection.test_fd_transfer",
        "PRIVATE",
        "multiprocessing.reduction, which is not documented, sends descriptors through fileno() as a Unix socket: ours is a doorbell",
        "tests/unit/test_pipe.py::test_standard_connection_travels_still",
    ),
    Exclusion(
        "WithProcessesTestConnection.test_large_fd_transfer",
        "PRIVATE",
        "it sends a descriptor through fileno() as a Unix socket, as test_fd_transfer does: ours is a doorbell",
        "tests/unit/test_pipe.py::test_standard_connection_travels_still",
    ),
    Exclusion(
        "WithProcessesTestConnection.test_missing_fd_transfer",
        "PRIVATE",
        "as test_fd_transfer, and it writes a byte into the socket",
        "tests/unit/test_pipe.py::test_standard_connection_travels_still",
    ),
]


def names_for(method: str) -> list[str]:
    """Return the names that are left out for a start method, in this interpreter."""
    return [item.name for item in EXCLUSIONS if method in item.methods and item.since <= sys.version_info < item.before]
