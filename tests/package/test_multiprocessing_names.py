"""The table of multiprocessing's names is complete, and what it says of each is so."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import multiprocessing.context
import pkgutil
import re
from types import ModuleType
from typing import Any

import pytest

import procession
from tests.helpers import METHODS
from tests.package.documents import ROOT

PAGE = ROOT / "docs" / "reference" / "multiprocessing-names.md"
WORDS = {"same", "better", "different", "borrowed"}
# The one name that is a module only because their __init__ imports it.
NOT_NAMES = {"sys"}
MACHINE_ROOM = {"heap", "spawn", "forkserver", "resource_tracker", "resource_sharer"}


def table(heading: str) -> dict[str, str]:
    section = PAGE.read_text().partition(heading)[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \| .{5,} \|$", section, flags=re.MULTILINE))


NAMES = table("# The names of multiprocessing")
MODULES = table("## Modules")


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def modules() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(multiprocessing.__path__)}


def test_every_public_name_is_in_the_table_and_none_else() -> None:
    contexts: list[Any] = [multiprocessing.get_context(method) for method in METHODS]
    contexts.append(multiprocessing.context.DefaultContext)
    names = set(multiprocessing.__all__).union(*map(public, contexts))
    names |= {name for name in public(multiprocessing) if name not in modules()} - NOT_NAMES
    names |= {"context", "process", "reduction"}  # modules that are there without being imported
    assert set(NAMES) == names


def test_every_module_is_in_the_table_or_named_as_machine_room() -> None:
    ours = {name for name in modules() if not name.startswith("popen_")} - MACHINE_ROOM
    assert set(MODULES) == ours
    assert all(f"`{name}`" in PAGE.read_text() for name in MACHINE_ROOM)


@pytest.mark.parametrize("word", [*NAMES.values(), *MODULES.values()])
def test_each_has_one_of_four_words(word: str) -> None:
    assert word in WORDS


@pytest.mark.parametrize("name", NAMES)
def test_name_is_there(name: str) -> None:
    assert hasattr(procession, name)
    assert name in dir(procession)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(public(multiprocessing.context.BaseContext)))
def test_context_has_the_name(method: str, name: str) -> None:
    assert hasattr(procession.get_context(method), name)


@pytest.mark.parametrize("name", MODULES)
def test_module_is_there_and_has_their_public_names(name: str) -> None:
    ours = importlib.import_module(f"procession.{name}")
    theirs = importlib.import_module(f"multiprocessing.{name}")
    assert getattr(procession, name) is ours
    for public_name in getattr(theirs, "__all__", []):
        assert hasattr(ours, public_name), public_name


def home(thing: object) -> str:
    return getattr(inspect.unwrap(thing) if callable(thing) else thing, "__module__", "") or ""


@pytest.mark.parametrize(("name", "word"), NAMES.items())
def test_word_is_true(name: str, word: str) -> None:
    ours, theirs = getattr(procession, name), getattr(multiprocessing, name)
    context: Any = procession.get_context("spawn")
    if word == "better" and name != "get_context":
        assert home(ours).partition(".")[0] == "procession"
        assert home(getattr(context, name)).partition(".")[0] == "procession"
    elif word == "borrowed":
        assert name in public(multiprocessing.context.BaseContext)
        made = ARGUMENTS[name](getattr(context, name))
        kind = type(made[0] if isinstance(made, tuple) else made)
        assert any(base.__module__.startswith("multiprocessing.") for base in kind.__mro__), kind
        release(made)
    elif word == "same" and (inspect.isclass(ours) or isinstance(ours, (ModuleType, int))):
        assert ours is theirs or ours == theirs


ARGUMENTS: dict[str, Any] = {
    "Manager": lambda make: make(),
}


def release(made: Any) -> None:
    for thing in made if isinstance(made, tuple) else [made]:
        if hasattr(thing, "shutdown"):
            thing.shutdown()
        elif hasattr(thing, "terminate"):
            thing.terminate()
            thing.join()
        elif hasattr(thing, "close"):
            thing.close()
