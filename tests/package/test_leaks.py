"""The leak check can fail: each kind of thing, left behind on purpose, fails the test that left it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEAKS = {
    "child process": "subprocess.Popen(['sleep', '10'], stdin=subprocess.DEVNULL)",
    "zombie": "subprocess.Popen(['true'])",
    "1 open descriptor(s) on /dev/null": "os.open('/dev/null', os.O_RDONLY)",
    "2 open descriptor(s) on pipe": "os.pipe()",
    "/dev/shm/leak-": "open(f'/dev/shm/leak-{os.getpid()}', 'w').close()",
    "/dev/shm/sem.mp-": "open(f'/dev/shm/sem.mp-{os.getpid()}-left', 'w').close()",
    "thread 'left'": "threading.Thread(target=time.sleep, args=(1,), name='left').start()",
}


def run(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run one test of this body under the plugin, alone in its own pytest."""
    (folder / "test_it.py").write_text(
        f"import multiprocessing, os, subprocess, threading, time\nkept = []\ndef test_it():\n    kept.append({body})\n"
    )
    # Without the repository's warnings as errors: an abandoned Popen warns, which would fail it for another reason.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.leaks",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
    ]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", "-q", str(folder)],
        cwd=ROOT,
        # No other plugin has a part in it, and to import them all is most of what such a run costs.
        env=os.environ | {"LEAKS_SETTLE": "0.2", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("words", "body"), LEAKS.items(), ids=LEAKS)
def test_what_is_left_behind_is_named(tmp_path: Path, words: str, body: str) -> None:
    result = run(tmp_path, body)
    for name in set(
        re.findall(r"/dev/shm/(?:leak|sem\.mp)-\d+\S*", result.stdout)
    ):  # of this run; another one may run beside it
        Path(name).unlink()
    assert result.returncode == 1, result.stdout + result.stderr
    assert "the test leaves behind" in result.stdout
    assert words in result.stdout


CLEAN = {
    "a semaphore of another program": "open('/dev/shm/sem.mp-0-other', 'w').close()",
    "a child that was waited for": "subprocess.run(['true'], check=True)",
    "a thread that has ended": "threading.Thread(target=int).start()",
    "the resource tracker": "__import__('multiprocessing.resource_tracker').resource_tracker.ensure_running()",
    "the forkserver": "multiprocessing.get_context('forkserver').Manager().shutdown()",
}


@pytest.mark.parametrize("body", CLEAN.values(), ids=CLEAN)
def test_clean_test_passes(tmp_path: Path, body: str) -> None:
    result = run(tmp_path, body)
    Path("/dev/shm/sem.mp-0-other").unlink(missing_ok=True)
    assert result.returncode == 0, result.stdout + result.stderr
