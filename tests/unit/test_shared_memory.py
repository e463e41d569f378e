"""SharedMemory and ShareableList: found by name in the program, kept by their name, gone with who was killed."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import struct
from typing import Any

import numpy as np
import pytest

import procession
from procession.shared_memory import ShareableList, SharedMemory
from tests.helpers import METHODS, child, domain, error_of, kill, memory, output_of, until


def objects() -> int:
    gc.collect()
    memory()
    return domain().objects()


# ---- the block ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 192, 193, 5000])
def test_it_is_zeros_of_that_size(size: int) -> None:
    for _ in range(2):  # the second one gets memory that was used
        block = SharedMemory(create=True, size=size)
        assert bytes(block.buf) == bytes(size)
        assert (block.size, len(block.buf)) == (size, size)
        block.buf[:] = b"x" * size
        block.unlink()
        block.close()


def test_another_object_of_the_name_sees_the_same_bytes() -> None:
    block = SharedMemory("stock", create=True, size=100)
    other = SharedMemory(name="stock", size=7)  # a size is of no account
    other.buf[3] = 42
    assert (block.buf[3], other.size, other.name) == (42, 100, "stock")
    block.unlink()


def test_names_that_are_chosen_differ() -> None:
    blocks = [SharedMemory(create=True, size=8) for _ in range(50)]
    assert len({block.name for block in blocks}) == 50
    for block in blocks:
        block.unlink()


def test_a_name_is_given_once() -> None:
    block = SharedMemory("once", create=True, size=8)
    with pytest.raises(FileExistsError, match="there is one named 'once' in this program already: 'once'"):
        SharedMemory("once", create=True, size=8)
    block.unlink()
    SharedMemory("once", create=True, size=8).unlink()


def test_the_name_keeps_it_until_unlink() -> None:
    before = objects()
    block = SharedMemory("kept", create=True, size=10_000)
    block.buf[0] = 7
    block.close()
    del block
    assert objects() == before + 1
    again = SharedMemory("kept")
    assert again.buf[0] == 7
    again.unlink()
    assert again.buf[0] == 7
    again.close()
    assert objects() == before


def test_unlink_after_close_and_by_another() -> None:
    before = objects()
    block, other = SharedMemory(create=True, size=8), None
    other = SharedMemory(block.name)
    block.close()
    block.unlink()
    with pytest.raises(FileNotFoundError, match="unlinked already"):
        other.unlink()
    other.close()
    assert objects() == before


def test_unlink_of_an_older_one_leaves_the_newer_one_of_that_name() -> None:
    old = SharedMemory("again", create=True, size=8)
    old.unlink()
    new = SharedMemory("again", create=True, size=8)
    with pytest.raises(FileNotFoundError):
        old.unlink()
    SharedMemory("again").unlink()
    new.close()


def test_close() -> None:
    block = SharedMemory(create=True, size=8)
    array, number = np.frombuffer(block.buf), ctypes.c_int.from_buffer(block.buf)
    block.close()
    block.close()
    array[0] = 0.0
    assert number.value == 0
    assert block.buf is None
    assert block.size == 8
    block.unlink()


def test_a_slice_lives_on() -> None:
    block = SharedMemory(create=True, size=8)
    view = np.asarray(memoryview(block._buffer))
    view[0] = 5
    block.close()
    block.unlink()
    del block
    SharedMemory(create=True, size=8).unlink()
    assert view[0] == 5


def test_wrong_arguments() -> None:
    for arguments in ({"create": True}, {"create": True, "size": 0}, {"create": True, "size": -1}, {}, {"size": -1}):
        with pytest.raises(ValueError, match=r"must be a positive|can only be None"):
            SharedMemory(**arguments)
    for name in ("", "n" * 48, "ü" * 24):
        with pytest.raises(ValueError, match="must have 1 to 47 bytes"):
            SharedMemory(name, create=True, size=8)
    with pytest.raises(TypeError, match="must be a str, not int"):
        SharedMemory(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="size must be an integer"):
        SharedMemory(create=True, size="8")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="it was unlinked, who made it was killed"):
        SharedMemory("nobody")


def test_longest_name() -> None:
    SharedMemory("ü" * 23 + "u", create=True, size=1)
    SharedMemory("ü" * 23 + "u").unlink()


def test_a_process_without_a_domain_says_so_and_makes_none() -> None:
    line = error_of("from procession.shared_memory import SharedMemory\nSharedMemory('nobody')")
    assert "in this process, which has no object of procession" in line


def test_too_large_is_named() -> None:
    program = "from procession.shared_memory import SharedMemory\nSharedMemory('big', True, 1 << 26)"
    line = error_of(program, PROCESSION_MAX_BYTES="33554432")
    assert line.startswith("DomainFull: an object for SharedMemory 'big' is larger than")


def test_repr_and_track() -> None:
    block = SharedMemory("seen", create=True, size=8, track=False)
    assert repr(block) == "SharedMemory('seen', size=8)"
    block.unlink()


# ---- other processes ----------------------------------------------------------------------------


def write(block: Any, data: bytes) -> None:
    if isinstance(block, str):
        block = SharedMemory(block)
    block.buf[: len(data)] = data
    block.close()


@pytest.mark.parametrize("method", METHODS)
def test_object_as_an_argument(method: str) -> None:
    block = SharedMemory(create=True, size=8)
    with child(write, block, b"hello", method=method):
        pass
    assert bytes(block.buf[:5]) == b"hello"
    block.unlink()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_name_as_an_argument_of_our_process(method: Any) -> None:
    block = SharedMemory(create=True, size=8)
    process = procession.Process(target=write, args=(block.name, b"howdy"), start_method=method)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert bytes(block.buf[:5]) == b"howdy"
    block.unlink()


def make_and_tell(names: Any, end: str) -> None:
    block = SharedMemory(create=True, size=8)
    block.buf[0] = 5
    block.close()
    names.put(block.name)
    if end == "error":
        os._exit(1)
    while end == "wait":
        signal.pause()


def test_a_name_outlives_a_maker_that_ended_well() -> None:
    names: procession.Queue[str] = procession.Queue()
    process = procession.Process(target=make_and_tell, args=(names, "well"))
    process.start()
    process.join()
    memory()
    block = SharedMemory(names.get())
    assert block.buf[0] == 5
    block.unlink()


@pytest.mark.parametrize("end", ["error", "wait"])
def test_a_name_goes_with_a_maker_that_ended_badly(end: str) -> None:
    names: procession.Queue[str] = procession.Queue()
    before = objects()
    process = procession.Process(target=make_and_tell, args=(names, end))
    process.start()
    name = names.get()
    if end == "wait":
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    until(lambda: objects() == before)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_who_has_it_open_keeps_it_when_its_maker_is_killed() -> None:
    names: procession.Queue[str] = procession.Queue()
    before = objects()
    with child(make_and_tell, names, "wait") as process:
        block = SharedMemory(names.get())
        kill(process)
    memory()
    assert SharedMemory(block.name).buf[0] == block.buf[0] == 5
    block.close()
    until(lambda: objects() == before)


def make_named(name: str, orders: Any) -> None:
    SharedMemory(name, create=True, size=8)
    orders.put("made")
    signal.pause()


def test_the_name_of_a_killed_maker_can_be_given_again_at_once() -> None:
    orders: procession.Queue[str] = procession.Queue()
    for _ in range(3):
        with child(make_named, "reborn", orders) as process:
            orders.get()
            kill(process)
        SharedMemory("reborn", create=True, size=8).unlink()


def test_nothing_in_dev_shm_and_no_tracker() -> None:
    program = """if 1:
        import os
        from multiprocessing import resource_tracker
        from procession.shared_memory import SharedMemory, ShareableList
        block, items = SharedMemory(create=True, size=1 << 20), ShareableList([1])
        # What this program has there, not what is there: other programs of the machine come and go.
        with open("/proc/self/maps") as maps:
            used = [line for line in maps if "/dev/shm" in line]
        open_ones = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        used += [name for name in open_ones if name.startswith("/dev/shm")]
        print(used, resource_tracker._resource_tracker._fd)
    """
    assert output_of(program) == "[] None"


def test_theirs_would_be_seen_in_dev_shm() -> None:
    program = """if 1:
        from multiprocessing.shared_memory import SharedMemory
        block = SharedMemory(create=True, size=1 << 20)
        with open("/proc/self/maps") as maps:
            print(any("/dev/shm" in line for line in maps))
        block.close()
        block.unlink()
    """
    assert output_of(program) == "True"


# ---- pickling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_by_plain_pickle_the_name_travels(protocol: int) -> None:
    block, items = SharedMemory(create=True, size=8), ShareableList(range(10))
    pickled = pickle.dumps(block, protocol), pickle.dumps(items, protocol)
    block2, items2 = map(pickle.loads, pickled)
    block2.buf[0], items2[3] = 9, 2.5
    assert (block.buf[0], items[3]) == (9, 2.5)
    block.unlink()
    items.shm.unlink()
    for one in pickled:
        with pytest.raises(FileNotFoundError):
            pickle.loads(one)


def test_in_an_item_the_block_travels_even_without_its_name() -> None:
    jobs: procession.Queue[Any] = procession.Queue()
    block = SharedMemory(create=True, size=8)
    items = ShareableList(["a"])
    block.unlink()
    items.shm.unlink()
    jobs.put((block, items))
    del items
    block2, items2 = jobs.get()
    block2.buf[1] = 3
    assert (block.buf[1], items2[0]) == (3, "a")


# ---- the list ------------------------------------------------------------------------------------

ITEMS = ["howdy", b"HoWdY", -273.154, 100, None, True, 42, "", b"", "ends\0\0", b"\0", -(2**63), "ü" * 9]


@pytest.fixture
def shared() -> Any:
    items = ShareableList(ITEMS)
    yield items
    items.shm.unlink()


def test_items_come_back_as_they_were(shared: Any) -> None:
    assert list(shared) == ITEMS
    assert [type(item) for item in shared] == [type(item) for item in ITEMS]
    assert shared[-2] == -(2**63)
    assert len(shared) == len(ITEMS)
    assert repr(shared) == f"ShareableList({ITEMS}, name={shared.shm.name!r})"


def test_format_is_that_of_multiprocessing() -> None:
    from multiprocessing import shared_memory

    example: Any = ["howdy", b"HoWdY8by", -273.154, 100, None, True, "encodés"]  # 7 characters, 8 bytes
    items = ShareableList(example)
    theirs = shared_memory.ShareableList(example)
    try:
        assert items.format == theirs.format
        items[4] = theirs[4] = "some"
        assert items.format == theirs.format
        assert struct.calcsize(items.format) == 64
    finally:
        items.shm.unlink()
        theirs.shm.close()
        theirs.shm.unlink()


def test_any_item_may_take_the_place_of_another(shared: Any) -> None:
    for position in range(len(ITEMS)):
        for item in ITEMS[:-1]:
            shared[position] = item
            assert shared[position] == item
            assert type(shared[position]) is type(item)


def test_what_needs_more_room_is_refused_and_changes_nothing(shared: Any) -> None:
    shared[0] = "encodés"
    for item in ("encodées", b"123456789"):
        with pytest.raises(ValueError, match="exceeds available storage: 9 bytes, and there are 8"):
            shared[0] = item
    with pytest.raises(OverflowError, match="has 64 bits"):
        shared[3] = 2**63
    with pytest.raises(TypeError, match="holds int, float, bool, str, bytes and None, not list"):
        shared[3] = []
    assert list(shared)[:4] == ["encodés", *ITEMS[1:4]]


def test_wrong_position(shared: Any) -> None:
    for position in (len(ITEMS), -len(ITEMS) - 1):
        with pytest.raises(IndexError, match="index out of range"):
            shared[position]
        with pytest.raises(IndexError, match="assignment index out of range"):
            shared[position] = 1


def test_count_and_index(shared: Any) -> None:
    assert (shared.count(42), shared.count("x"), shared.index(100)) == (1, 0, 3)
    with pytest.raises(ValueError, match="'x' not in this container"):
        shared.index("x")


def test_empty_list_and_a_copy(shared: Any) -> None:
    empty = ShareableList()
    assert (len(empty), list(empty), empty.format) == (0, [], "")
    twin = ShareableList(shared, name="twin")
    twin[0] = "mine"
    assert (shared[0], ShareableList(name="twin")[0], twin.format) == ("howdy", "mine", shared.format)
    empty.shm.unlink()
    twin.shm.unlink()


def test_wrong_item_makes_nothing() -> None:
    before = objects()
    with pytest.raises(TypeError):
        ShareableList([1, object()])
    assert objects() == before


def alternate(shared: Any) -> None:
    while True:
        shared[0] = "a" * 700
        shared[0] = "b" * 600


def test_others_see_the_old_item_or_the_new_one_also_after_a_kill() -> None:
    shared = ShareableList(["a" * 700])
    whole = {"a" * 700, "b" * 600}
    for _ in range(5):
        with child(alternate, shared) as process:
            seen = {shared[0]}
            while len(seen) < 2:
                seen.add(shared[0])
            for _ in range(300):
                assert shared[0] in whole
            kill(process)
        assert shared[0] in whole
    shared.shm.unlink()


def test_it_travels_where_nothing_else_was_imported() -> None:
    program = """
from procession.shared_memory import SharedMemory
from procession import Process
block = SharedMemory(create=True, size=10)
process = Process(target=repr, args=(block,), start_method="spawn")
process.start()
process.join()
print(process.exitcode)
block.unlink()
"""
    assert output_of(program) == "0"


FOREIGN = """
import sys
from procession.shared_memory import SharedMemory
block = SharedMemory({name!r})
block.buf[0] += 1
block.close()
"""


def test_a_program_that_is_run_by_this_one_finds_it_by_its_name() -> None:
    block = SharedMemory(create=True, size=10)
    output_of(FOREIGN.replace("{name!r}", repr(block.name)))
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {FOREIGN.replace('{name!r}', repr(block.name))!r}], check=True)"
    output_of(between)  # that has nothing of ours
    assert block.buf[0] == 2
    assert SharedMemory(block.name).size == 10  # it is there still
    block.unlink()


def test_a_program_that_is_run_by_this_one_hears_of_a_name_that_nobody_has() -> None:
    block = SharedMemory(create=True, size=10)
    assert "no SharedMemory has that name" in error_of(FOREIGN.replace("{name!r}", "'nobody'"))
    block.unlink()


def test_name_with_a_zero_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="null"):
        SharedMemory("a\0b")
    with pytest.raises(ValueError, match="null"):
        SharedMemory("a\0b", create=True, size=1)
