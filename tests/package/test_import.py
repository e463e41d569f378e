"""What `import procession` gives, and what it leaves alone."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import subprocess
import sys
import types

import pytest

import procession

LOOK = """
import json, os, sys, threading
def look():
    here = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return [len(here), len(os.listdir("/proc/self/task")), threading.active_count(), any("memfd" in x for x in here)]
before = look()
import procession
after = look()
pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
def parent(pid):
    try:
        return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
print(json.dumps({"before": before, "after": after, "children": [p for p in pids if parent(p) == os.getpid()]}))
"""

ELSEWHERE = """
import os, platform, sys, types
sys.platform = "darwin"
platform.system = lambda: "Darwin"
os.uname = lambda: types.SimpleNamespace(sysname="Darwin", release="24.0", machine="arm64")
sys.modules["procession._core"] = None  # it is not built there
import procession
"""

FALLBACK = """\
    try: import procession as mp
    except ImportError: import multiprocessing as mp"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def public_names() -> list[str]:
    names = [name for name in vars(procession) if not name.startswith("_")]
    # A layer (`procession._base`) is private; of modules only those are public that say so in __all__.
    return [
        name
        for name in names
        if not isinstance(getattr(procession, name), types.ModuleType) or name in procession.__all__
    ]


def test_all_is_sorted() -> None:
    assert list(procession.__all__) == sorted(set(procession.__all__))


def test_all_is_complete() -> None:
    assert sorted(procession.__all__) == sorted(public_names())


@pytest.mark.parametrize("name", procession.__all__)
def test_public_name_has_a_docstring(name: str) -> None:
    thing = getattr(procession, name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert (thing.__doc__ or "").strip(), f"{name} says nothing of itself"


def test_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("procession") == procession.__version__


def test_import_makes_no_descriptor_thread_child_or_domain() -> None:
    result = python(LOOK)
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen["before"] == seen["after"]
    assert not seen["after"][-1]
    assert seen["children"] == []


def test_import_elsewhere_than_on_linux_says_what_to_do() -> None:
    result = python(ELSEWHERE)
    assert result.returncode == 1
    assert "ImportError: procession needs Linux (this is Darwin)" in result.stderr
    assert FALLBACK in result.stderr


def test_fallback_is_valid_python() -> None:
    lines = [line.strip() for line in FALLBACK.splitlines()]
    result = python("import sys\nsys.modules['procession'] = None\n" + "\n".join(lines) + "\nmp.Queue")
    assert result.returncode == 0, result.stderr
