"""The programs that a first text on processes has, run as they are: what each prints, and how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import METHODS

SEED = Path(__file__).parents[2] / "examples" / "seed"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, which the watchdog waits for."""
    command = [sys.executable, "-W", "error", str(SEED / name), *arguments]
    # Each process writes its lines at once, so that those of fifty do not mix.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def said(name: str, *arguments: str) -> str:
    """What a program says that ends well and complains of nothing."""
    result = run(name, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_small_integer_is_at_the_same_address_in_a_forked_child() -> None:
    parent, child = (line.split() for line in said("small_int.py").splitlines())
    assert parent[0] == child[0] == "50"
    assert parent[1] != child[1]
    assert parent[2] == child[2]


def test_name_of_the_main_program_is_missing_in_a_spawned_child() -> None:
    result = run("missing_name.py")
    assert re.fullmatch(
        r"主进程(\d+)开始\n1 来自于 \1\n1 NameError\(\"name 'a' is not defined\"\)\n",  # 1: the child's exit code
        result.stdout,
    )
    assert result.returncode == 0
    assert result.stderr.count("Traceback (most recent call last)") == 1
    assert result.stderr.count("NameError") == 1
    assert result.stderr.endswith("NameError: name 'a' is not defined\n")


@pytest.mark.parametrize("method", METHODS)
def test_each_of_fifty_processes_has_a_stock_of_its_own(method: str) -> None:
    output = said("stock.py", method)
    assert output.count("10 surplus of stock\n") == 50
    assert len(re.findall(r"^\{'count': 10\}$", output, flags=re.MULTILINE)) == 50
    takers = re.findall(r"^(\d+) get stock successful$", output, flags=re.MULTILINE)
    shown = re.findall(r"^(\d+) \{'count': 10\} (\d+)$", output, flags=re.MULTILINE)
    assert len(set(takers)) == 50
    assert sorted(takers) == sorted(pid for pid, _ in shown)
    addresses = {address for _, address in shown}
    if method == "fork":
        assert len(addresses) == 1  # a copy of the parent's memory has it where the parent has it
    elif method == "spawn":
        assert len(addresses) > 1  # each has made its own


def test_serial_consumer_takes_from_the_end() -> None:
    assert said("serial.py").split() == list("9876543210")


def test_concurrent_program_ends_by_itself() -> None:
    assert said("concurrent.py").splitlines() == [*"0123456789", "这是主进程"]


def test_consumer_that_is_no_daemon_keeps_the_program_from_ending(tmp_path: Path) -> None:
    program = tmp_path / "concurrent.py"
    program.write_text((SEED / "concurrent.py").read_text().replace(", daemon=True", ""))
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # Its last line is not flushed before it waits for the consumer, which lasts for ever.
        assert [process.stdout.readline().strip() for _ in range(10)] == list("0123456789")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.kill()


def test_file_opened_before_a_fork_has_one_offset_for_both() -> None:
    fork, spawn = said("file_offset.py").split("spawn:")
    assert re.findall(r"b'(\w+)", fork) == ["aaaa", "bbbb", "cccc"]
    assert re.findall(r"b'(\w+)", spawn) == ["aaaa", "aaaa", "bbbb"]
    assert "the parent's descriptor is open in the child: False" in spawn


def test_memory_of_a_child_is_its_own() -> None:
    assert said("memory_isolation.py").splitlines() == [
        "fork:",
        "  the child before its change: the same address, full",
        "  the child after its change : the same address, empty",
        "  the parent: full",
        "spawn:",
        "  the child made its own: full -> empty",
        "  the parent: full",
    ]


def test_each_way_to_end_has_an_outcome() -> None:
    rows = [re.split(r"  +", line) for line in said("endings.py").splitlines()]
    kinds = {title: (kind, code) for title, kind, code, *_ in rows}
    kinds.pop("severe: illegal instruction", None)  # on machines whose illegal instruction the program knows
    assert kinds == {
        "normal": ("finished", "exitcode 0"),
        "error: sys.exit(2)": ("failed", "exitcode 2"),
        "error: a.py does not exist": ("raised", "exitcode 1"),
        "severe: not Python": ("raised", "exitcode 1"),
        "killed: kill -9 PID": ("signalled", "exitcode -9"),
        "killed: Process.kill()": ("killed", "exitcode -9"),
    }
    texts = {title: text for title, _, _, text in rows}
    assert "FileNotFoundError" in texts["error: a.py does not exist"]
    assert "SyntaxError" in texts["severe: not Python"]
    assert texts.get("severe: illegal instruction", "signalled by SIGILL") == "signalled by SIGILL"


def test_zombies_and_orphans() -> None:
    assert said("zombies.py").splitlines() == [
        "a child of multiprocessing that has ended, not joined: Z",
        "joined: None",
        "a child of procession that has ended, not joined: None",
        "its parent knows all the same: finished",
        "a child whose parent was killed: ended too",
    ]


def test_daemon_ends_with_the_main_process_and_before_the_others() -> None:
    assert said("daemons.py").splitlines() == [
        "worker: the daemon is there: True",
        "main: my last line",
        "worker: the daemon was ended, and I am still at work",
    ]


MEDIA = {"file", "pipe", "queue", "shared memory"}


def test_no_medium_loses_anything_under_a_lock() -> None:
    counters, streams = said("media.py", "--additions", "3000", "--messages", "200").split("Stream:")
    row = re.compile(r"^(\S.*?)  +[\d,]+ \S+, ([\d,]+) lost +[\d,]+ \S+, ([\d,]+) lost$", flags=re.MULTILINE)
    for table in (counters, streams):
        found = row.findall(table)
        assert {medium for medium, _, _ in found} == MEDIA
        assert {medium: lost for medium, _, lost in found} == dict.fromkeys(MEDIA, "0")
        assert {lost for medium, lost, _ in found if medium == "queue"} == {"0"}  # it has a lock inside
    assert [lost for medium, lost, _ in row.findall(counters) if medium == "pipe"] == ["0"]  # one byte is never torn


def test_additions_without_a_lock_are_really_lost() -> None:
    # Only the file: what the kernel does between its reading and its writing takes long enough on any machine.
    for _ in range(20):
        lost = re.search(r"^file +[\d,]+ /s, ([\d,]+) lost", said("media.py", "--messages", "1"), flags=re.MULTILINE)
        assert lost is not None
        if lost[1] != "0":
            return
    pytest.fail("two processes never met in the file")
