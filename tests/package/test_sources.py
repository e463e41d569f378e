"""The rules of lint_core hold, and each of them finds what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.package.lint_core import faults

BROKEN = {
    "core/a.c": "#include <Python.h>\n",
    "core/b.c": "int f(void) { return PyErr_Occurred() != 0; }\n",
    "core/c.c": "/* CLOCK_REALTIME in a comment is fine */\nint t = CLOCK_REALTIME;\n",
    "core/d.h": "int x;\n",
    "core/python/e.c": "static PyTypeObject Type = {0};\n",
    "core/python/f.c": "static PyObject *cache = NULL;\n",
    "src/procession/_base/g.py": "import procession\n",
    "src/procession/_base/h.py": "from .. import Queue\n",
    "src/procession/_base/deep/i.py": "from procession import Queue\n",
}
SOUND = {
    "core/a.c": "/* PyErr_Occurred() is not called here */\nint x;\n",
    "core/b.h": "#pragma once\n",
    "core/python/c.c": "#include <Python.h>\nint f(void) { return PyErr_Occurred() != 0; }\n",
    "src/procession/_base/d.py": "from .. import _core\nfrom . import errors\n",
}


def test_sources_keep_the_rules() -> None:
    assert list(faults()) == []


@pytest.mark.parametrize(("name", "text"), BROKEN.items(), ids=BROKEN)
def test_fault_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    assert [fault.split(":")[0] for fault in faults(tmp_path)] == [str(tmp_path / name)]


@pytest.mark.parametrize(("name", "text"), SOUND.items(), ids=SOUND)
def test_sound_file_passes(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    assert list(faults(tmp_path)) == []
