"""The examples in docstrings are so."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import procession

NAMES = [
    module.name
    for module in pkgutil.walk_packages(procession.__path__, "procession.")
    if module.name != "procession._process.guardian"  # a program of its own
]


@pytest.mark.parametrize("name", ["procession", *NAMES])
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_there_are_some() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in NAMES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert {"Process", "Queue", "Lock"} <= {test.name.rpartition(".")[2] for test in found}
