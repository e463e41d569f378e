"""Public classes are called by the module in which users find them, and everything that asks for that finds them there."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pickle
import pydoc
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import procession
from procession import shared_memory, sharedctypes
from tests.helpers import output_of


def classes_of(module: ModuleType, names: Any) -> Iterator[Any]:
    for name in names:
        thing = getattr(module, name)
        if inspect.isclass(thing) and thing.__module__.startswith("procession"):
            yield pytest.param(module, thing, id=f"{module.__name__}.{name}")


CLASSES = [
    *classes_of(procession, procession.__all__),
    *classes_of(shared_memory, shared_memory.__all__),
    *classes_of(sharedctypes, sharedctypes.__all__),
]
each_class = pytest.mark.parametrize(("module", "cls"), CLASSES)


@each_class
def test_it_is_called_as_users_find_it(module: ModuleType, cls: type) -> None:
    assert cls.__module__ == module.__name__
    assert repr(cls) == f"<class '{module.__name__}.{cls.__name__}'>"
    assert getattr(module, cls.__qualname__) is cls


@each_class
def test_it_is_pickled_by_that_name(module: ModuleType, cls: type) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(cls, protocol)
        assert b"procession._" not in pickled
        assert module.__name__.encode() in pickled
        assert pickle.loads(pickled) is cls


@each_class
def test_its_hints_are_found(module: ModuleType, cls: type) -> None:
    typing.get_type_hints(cls)
    inspect.get_annotations(cls, eval_str=True)
    if cls is procession.Process:
        return  # its methods' hints are for type checkers alone: a spawned child imports no typing (page 180 of the decisions)
    for name, member in vars(cls).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if inspect.isfunction(function) and not name.startswith("__class_"):
            typing.get_type_hints(function)


@each_class
def test_it_is_described(module: ModuleType, cls: type) -> None:
    assert inspect.getmodule(cls) is module
    assert inspect.getdoc(cls)
    assert pydoc.plain(pydoc.render_doc(cls)).splitlines()[0].endswith(f" in module {module.__name__}")


@each_class
def test_what_is_derived_from_it_is_its_own(module: ModuleType, cls: type) -> None:
    class Derived(cls):  # type: ignore[misc]
        """A user's."""

        mine: int

    assert Derived.__module__ == __name__
    assert typing.get_type_hints(Derived)["mine"] is int


class Mine(procession.Queue[int]):
    """A user's."""


def test_derived_class_is_pickled_by_its_own_name() -> None:
    assert pickle.loads(pickle.dumps(Mine)) is Mine
    assert b"tests.package.test_public" in pickle.dumps(Mine)


def test_generic_names_it() -> None:
    assert repr(procession.Queue[int]) == "procession.Queue[int]"
    assert pickle.loads(pickle.dumps(procession.Queue[int])) == procession.Queue[int]


def test_methods_show_their_source() -> None:
    """The class does not: inspect looks for it in the file of the module that it is called by."""
    assert inspect.getsource(procession.FileLock.acquire).startswith("    def acquire(self")
    with pytest.raises(OSError, match=r"class definition|source code"):
        inspect.getsource(procession.FileLock)


SPAWNED = """
import pickle, sys
pickled = {pickled!r}
found = pickle.loads(pickled)
print(found.__module__, found.__qualname__, "procession._shared.mapping" in sys.modules)
"""


def test_pickle_imports_what_it_names_and_no_more() -> None:
    said = output_of(SPAWNED.format(pickled=pickle.dumps(procession.Lock)))
    assert said == "procession Lock False"


def test_examples_of_public_classes_are_found() -> None:
    tests = doctest.DocTestFinder().find(importlib.import_module("procession"))
    assert {"procession.Queue", "procession.Process"} <= {test.name for test in tests if test.examples}
