"""The examples in docstrings are so."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import tempfile
from pathlib import Path

import pytest

import procession

for public in procession.__all__:
    getattr(procession, public)  # classes are looked for in the module that they are called by

NAMES = [
    module.name
    for module in pkgutil.walk_packages(procession.__path__, "procession.")
    if module.name != "procession._process.guardian"  # a program of its own
]


@pytest.mark.parametrize("name", ["procession", *NAMES])
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert doctest.testmod(module).failed == 0
    assert {path.name for path in tmp_path.iterdir()} <= {f"procession-{os.getuid()}"}  # this user's folder, made once


def test_there_are_some() -> None:
    finder = doctest.DocTestFinder()
    found = [
        test for name in ["procession", *NAMES] for test in finder.find(importlib.import_module(name)) if test.examples
    ]
    assert {"Process", "Queue", "Lock"} <= {test.name.rpartition(".")[2] for test in found}
