"""Contexts: what they make, which start method they use, and that the standard library's rules of them hold."""

from __future__ import annotations

import errno
import multiprocessing
import multiprocessing.context
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import managers, shared_memory
from procession._compat.contexts import DefaultContext
from procession._memory.domain import domains
from tests.helpers import METHODS, output_of

CLASSES = {"fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}


def say(queue: Any, *objects: Any) -> None:
    queue.put(
        (multiprocessing.get_start_method(), multiprocessing.current_process().name, procession.get_start_method())
    )


@pytest.mark.parametrize("method", METHODS)
def test_context_is_a_base_context(method: str) -> None:
    assert isinstance(procession.get_context(method), multiprocessing.context.BaseContext)


@pytest.mark.parametrize("method", METHODS)
def test_context_is_one_object(method: str) -> None:
    context = procession.get_context(method)
    assert procession.get_context(method) is context
    assert context.get_context(method) is context
    assert context.get_context() is context
    assert context.get_start_method() == method


@pytest.mark.parametrize("method", METHODS)
def test_process_starts_by_the_method_of_its_context(method: str) -> None:
    context = procession.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=say, args=(queue,))
    process.start()
    # The child's own default is its method, and its name is that of the standard library's context.
    name = f"{CLASSES[method]}-{process._identity[-1]}"
    assert queue.get() == (method, name, method)
    process.join()
    assert process.exitcode == 0
    process.close()


@pytest.mark.parametrize("method", METHODS)
def test_process_of_a_context_refuses_another_method(method: str) -> None:
    other = next(name for name in METHODS if name != method)
    context: Any = procession.get_context(method)
    context.Process(start_method=method)
    with pytest.raises(ValueError, match=f"start_method of a process from .*'{method}', not '{other}'"):
        context.Process(start_method=other)


@pytest.mark.parametrize("method", METHODS)
def test_process_class_can_be_derived_from(method: str) -> None:
    context: Any = procession.get_context(method)
    process = DERIVED[method](7)
    process.start()
    process.join()
    assert process.exitcode == 7
    assert isinstance(process, context.Process)
    process.close()


class OfFork(procession.get_context("fork").Process):  # type: ignore[misc]
    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def run(self) -> None:
        raise SystemExit(self.code)


class OfSpawn(procession.get_context("spawn").Process):  # type: ignore[misc]
    run = OfFork.run

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class OfForkserver(procession.get_context("forkserver").Process):  # type: ignore[misc]
    run = OfFork.run

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


DERIVED: dict[str, Any] = {"fork": OfFork, "spawn": OfSpawn, "forkserver": OfForkserver}


@pytest.mark.parametrize("of", METHODS)
@pytest.mark.parametrize("used_by", METHODS)
def test_objects_of_any_context_travel_by_any_method(of: str, used_by: str) -> None:
    # The standard library refuses a lock of fork in a process of spawn.
    made, starts = procession.get_context(of), procession.get_context(used_by)
    queue = made.Queue()
    process = starts.Process(target=say, args=(queue, made.Lock(), made.RLock(), made.Value("i", 3)))
    process.start()
    assert queue.get()[0] == used_by
    process.join()
    process.close()


@pytest.mark.parametrize("wrong", ["thread", "", 5, ["fork"]])
def test_unknown_method_is_a_value_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot find context for .* one of fork, spawn, forkserver"):
        procession.get_context(wrong)
    with pytest.raises(ValueError, match="cannot find context"):
        procession.set_start_method(wrong, force=True)


def test_method_of_a_concrete_context_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="cannot set start method of concrete context"):
        procession.get_context("fork").set_start_method("spawn")


SETS = """
import multiprocessing, procession
assert procession.get_start_method(allow_none=True) is None
{first}.set_start_method("spawn")
for library in multiprocessing, procession:
    assert library.get_start_method() == "spawn", library
    assert library.get_context().get_start_method() == "spawn", library
    try:
        library.set_start_method("fork")
    except RuntimeError as error:
        assert "already been set" in str(error)
    else:
        raise AssertionError(library)
assert procession.get_context() is procession.get_context("spawn")
procession.set_start_method(None, force=True)
assert multiprocessing.get_start_method(allow_none=True) is None
print("ok")
"""


@pytest.mark.parametrize("first", ["multiprocessing", "procession"])
def test_start_method_is_chosen_for_both_libraries(first: str) -> None:
    assert output_of(SETS.format(first=first)) == "ok"


def test_get_context_fixes_the_default_as_there() -> None:
    program = "import procession as mp; mp.get_context(); print(mp.get_start_method(allow_none=True))"
    assert output_of(program) == multiprocessing.get_all_start_methods()[0]


def test_start_methods_are_those_of_the_standard_library() -> None:
    assert procession.get_all_start_methods() == multiprocessing.get_all_start_methods()


def test_exceptions_are_the_same_classes() -> None:
    context = procession.get_context("spawn")
    for name in ("ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError"):
        assert getattr(procession, name) is getattr(multiprocessing, name) is getattr(context, name)


def test_reducer_is_shared() -> None:
    theirs: Any = multiprocessing
    assert procession.get_context("fork").reducer is theirs.reducer is procession.reducer


def test_logger_is_shared() -> None:
    assert procession.get_logger() is multiprocessing.get_logger() is procession.get_context("fork").get_logger()


def test_default_context_makes_what_the_package_has() -> None:
    context = DefaultContext()
    for name in ("Lock", "Queue", "JoinableQueue", "SimpleQueue", "Process", "Value"):
        assert getattr(context, name) is getattr(procession, name), name


def test_classes_of_processes_pickle_by_name() -> None:
    for method in METHODS:
        kind: Any = procession.get_context(method).Process
        assert pickle.loads(pickle.dumps(kind)) is kind


@pytest.mark.parametrize("method", METHODS)
def test_manager_serves_by_a_process_of_ours(method: str) -> None:
    with procession.get_context(method).Manager() as manager:
        assert isinstance(manager._process, procession.Process)
        shared = manager.dict(a=1)
        shared["b"] = 2
        assert dict(shared) == {"a": 1, "b": 2}


@pytest.mark.parametrize("method", METHODS)
def test_pool_works_with_processes_of_ours(method: str) -> None:
    with procession.get_context(method).Pool(2) as pool:
        assert all(isinstance(process, procession.Process) for process in pool._pool)
        assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
        pool.close()
        pool.join()


MANAGED = """
import os, sys
from multiprocessing import resource_tracker
from procession import managers, shared_memory

if __name__ == "__main__":
    with managers.SharedMemoryManager() as manager:
        block, words = manager.SharedMemory(1000), manager.ShareableList(["a", 1])
        names = block.name, words.shm.name
        print(type(block) is shared_memory.SharedMemory, list(shared_memory.ShareableList(name=names[1])))
        block.close()
        words.shm.close()
    for name in names:
        try:
            shared_memory.SharedMemory(name)
        except FileNotFoundError:
            print("gone")
    print(resource_tracker._resource_tracker._fd)
"""


def test_shared_memory_manager_has_blocks_of_ours(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(MANAGED)
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert (run.stdout.splitlines(), run.stderr) == (["True ['a', 1]", "gone", "gone", "None"], "")


def test_block_that_somebody_has_unlinked_does_not_keep_the_others() -> None:
    with managers.SharedMemoryManager() as manager:
        blocks = [manager.SharedMemory(1000) for _ in range(3)]
        names = [block.name for block in blocks]
        blocks[0].unlink()
        for block in blocks:
            block.close()
    for name in names:
        with pytest.raises(FileNotFoundError):
            shared_memory.SharedMemory(name)


class Refused(str):
    """The name of a block that cannot be opened just now."""

    __slots__ = ()

    def __str__(self) -> str:
        raise OSError(errno.EMFILE, "no descriptor left")


def test_block_that_cannot_be_removed_does_not_keep_the_others() -> None:
    block = shared_memory.SharedMemory(create=True, size=1000)
    blocks = managers._Blocks()
    blocks.register_segment(Refused("refused"))
    blocks.register_segment(block.name)
    with pytest.raises(OSError, match="no descriptor left"):
        blocks.unlink()
    assert blocks.segment_names == ["refused"]
    with pytest.raises(FileNotFoundError):
        shared_memory.SharedMemory(block.name)
    block.close()


def test_block_that_no_manager_tracks_is_not_left() -> None:
    with managers.SharedMemoryManager() as manager:
        manager._process.kill()  # type: ignore[attr-defined]
        manager._process.join()  # type: ignore[attr-defined]
        before = domains.current().objects()
        with pytest.raises(OSError, match=r"refused|No such file"):
            manager.SharedMemory(1000)
        assert domains.current().objects() == before


def test_no_resource_tracker_is_started() -> None:
    program = """
import procession
from multiprocessing import resource_tracker
context = procession.get_context("spawn")
made = [context.Lock(), context.RLock(), context.Queue(), context.JoinableQueue(), context.SimpleQueue()]
made += [context.Event(), context.Condition(), context.Barrier(2), context.Value("i", 1), context.Array("d", 3)]
process = context.Process(target=repr, args=(made,))
process.start()
process.join()
assert process.exitcode == 0
print(resource_tracker._resource_tracker._fd)
"""
    assert output_of(program) == "None"


@pytest.mark.parametrize("method", METHODS)
def test_queue_that_is_listened_to_travels(method: str) -> None:
    context = procession.get_context(method)
    queue = context.SimpleQueue()
    queue.fileno()
    queue._writer.fileno()
    queue._reader.close()  # here, and not in the child
    process = context.Process(target=say, args=(queue,))
    process.start()
    assert queue.get()[0] == method
    process.join()
    process.close()
    queue.close()
