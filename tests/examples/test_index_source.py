"""The demo counts what a serial program counts, undisturbed and while its consumers are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "index_source.py"

# name -> how often it stands in the folder below
EXPECTED = Counter(number=330, repeat=90, f=60, alpha=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty files, three of which are no Python, and one that was installed later."""
    path = tmp_path_factory.mktemp("sources")
    for number in range(30):
        (path / f"m{number:02}.py").write_text(
            "import alpha\n" + "def f(number): return number if number else f(number)\n" + "number = repeat\n" * 3
            + "# number\n'number'\n" + "if number: pass\n" * 4
        )  # fmt: skip
    for number, broken in enumerate((b"# coding: no-such\n", b"x = '\xff'\n", b"(")):
        (path / f"broken{number}.py").write_bytes(broken)
    (path / "site-packages").mkdir()
    (path / "site-packages" / "later.py").write_text("later = 1\n")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(DEMO), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def counted(output: str) -> Counter[str]:
    return Counter(
        {
            name: int(count)
            for count, name in re.findall(r"^ +(\d+)  (\w+)$", output.replace(",", ""), flags=re.MULTILINE)
        }
    )


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(folder)


def test_counts_every_name(undisturbed: subprocess.CompletedProcess[str]) -> None:
    assert (undisturbed.returncode, undisturbed.stderr) == (0, "")
    assert counted(undisturbed.stdout) == EXPECTED
    assert "33 files (3 are no Python)" in undisturbed.stdout
    assert "the two results are equal" in undisturbed.stdout
    assert "killed" not in undisturbed.stdout


def test_shows_all_start_methods_and_the_end_of_each_process(undisturbed: subprocess.CompletedProcess[str]) -> None:
    rows = re.findall(r"^([\w-]+) +(fork|spawn|forkserver) +(\d+) .*  (\w+)$", undisturbed.stdout, flags=re.MULTILINE)
    assert {method for _, method, _, _ in rows} == {"fork", "spawn", "forkserver"}
    assert {name for name, _, _, _ in rows} >= {"lister", "merger", "consumer-1", "consumer-2"}
    assert {end for _, _, _, end in rows} == {"finished"}
    assert sum(int(items) for name, _, items, _ in rows if name.startswith("consumer")) == 33


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_every_name_while_consumers_are_killed(folder: Path, seed: int) -> None:
    result = run(folder, "--kill", "--kills", 8, "--seed", seed)
    assert (result.returncode, result.stderr) == (0, "")
    assert counted(result.stdout) == EXPECTED
    assert "the two results are equal" in result.stdout
    killed = len(re.findall(r"killed by kill\(\) \(SIGKILL\)$", result.stdout, flags=re.MULTILINE))
    assert killed >= 7  # one may have come to its end just before
    assert f"{killed} processes were killed, " in result.stdout
    assert re.search(r", \d+ files? (was|were) handed out again; the two", result.stdout)


def test_folder_without_sources_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.returncode == 1
    assert result.stderr == "there is no .py file in that folder\n"


def descendants(folder: Path) -> list[int]:
    """Return the processes of a demo on this folder that are alive; forked ones have its command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"DEMO_TEST={folder}".encode() in file.read():
                    found.append(int(pid))
        except OSError:
            pass  # it is gone, or somebody else's
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_nothing_of_an_ended_demo_is_left(tmp_path: Path, how: signal.Signals) -> None:
    endless = tmp_path / "endless"
    endless.mkdir()
    for number in range(4000):  # far more than can be done meanwhile
        (endless / f"m{number}.py").write_text("name = 1\n" * 2000)
    program = subprocess.Popen(
        [sys.executable, str(DEMO), str(endless)],
        env=os.environ | {"DEMO_TEST": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        while len(descendants(tmp_path)) < 5:
            time.sleep(0.01)
        if how == signal.SIGINT:
            os.killpg(program.pid, how)  # as a terminal does
        else:
            program.kill()
        _, errors = program.communicate()
    finally:
        program.kill()  # a demo that did not hear it would work on beside all other tests
    assert program.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert errors.decode().strip() == ("interrupted" if how == signal.SIGINT else "")
    while descendants(tmp_path):
        time.sleep(0.01)
