"""What `import procession` gives, and what it leaves alone."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import json
import subprocess
import sys
from pathlib import Path

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


def stub() -> ast.Module:
    return ast.parse((Path(procession.__file__).parent / "__init__.pyi").read_text())


def test_all_is_sorted() -> None:
    assert list(procession.__all__) == sorted(set(procession.__all__))


def test_stub_has_the_names_and_says_the_same_of_their_homes() -> None:
    imports = {
        alias.name: node.module
        for node in stub().body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    assert imports.pop("errors") == "procession._base"
    assert imports == procession._HOME_OF  # type: ignore[attr-defined]
    (exported,) = (node.value for node in stub().body if isinstance(node, ast.Assign))
    assert ast.literal_eval(exported) == procession.__all__


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    result = python("import procession, sys; print(*(name for name in sys.modules if name.startswith('procession.')))")
    assert result.stdout.split() == [], result.stderr


def test_names_are_listed_before_they_are_asked_for() -> None:
    result = python("import procession; print(set(procession.__all__) <= set(dir(procession)))")
    assert result.stdout.split() == ["True"], result.stderr


def test_star_import_gives_them_all() -> None:
    result = python("from procession import *; print(Queue.__name__, errors.__name__)")
    assert result.stdout.split() == ["Queue", "procession._base.errors"], result.stderr


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'procession' has no attribute 'Qeue'"):
        procession.Qeue  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", procession.__all__)
def test_public_name_has_a_docstring(name: str) -> None:
    thing = getattr(procession, name)
    if getattr(thing, "__module__", "").startswith("multiprocessing."):
        return  # the standard library's own: its manual has it
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
