"""Every exception is what the standard library raises in its place, and travels whole."""

from __future__ import annotations

import copy
import inspect
import pickle
import queue as standard
import sys
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

import procession
from procession._base import errors
from tests.helpers import python

BASES: dict[str, type[BaseException]] = {
    "Ambiguous": LookupError,
    "DomainFull": MemoryError,
    "ForkWarning": RuntimeWarning,
    "InstallWarning": RuntimeWarning,
    "LayoutMismatch": RuntimeError,
    "NotFound": KeyError,
    "NotOwner": RuntimeError,
    "NotRedeliverable": RuntimeError,
    "NotShared": RuntimeError,
    "OwnerDied": RuntimeError,
    "OwnerDiedWarning": RuntimeWarning,
    "RemoteError": RuntimeError,
    "RemoteTraceback": Exception,
    "ShutDown": Exception,
    "StaleHandle": ValueError,
    "WorkerDied": BrokenProcessPool,
}


def test_every_exception_is_listed() -> None:
    assert sorted(errors.__all__) == sorted(BASES)


@pytest.mark.parametrize(("name", "base"), BASES.items())
def test_exception_is_also_the_standard_one(name: str, base: type[BaseException]) -> None:
    assert issubclass(getattr(errors, name), base)


@pytest.mark.parametrize("name", BASES)
def test_exception_is_drawn_in_the_tree_and_has_a_docstring(name: str) -> None:
    assert name in (errors.__doc__ or "")
    assert inspect.getdoc(getattr(errors, name))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queue.ShutDown is new in 3.13")
def test_shutdown_is_the_standard_one() -> None:
    assert procession.ShutDown is getattr(standard, "ShutDown")  # noqa: B009


def passed_by_queue(error: Any) -> Any:
    queue = procession.Queue[Any]()
    queue.put(error)
    return queue.get()


@pytest.mark.parametrize("way", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy, passed_by_queue])
@pytest.mark.parametrize("name", BASES)
def test_exception_travels_with_its_attributes(name: str, way: Any) -> None:
    error = getattr(errors, name)("stock")
    error.items_put = 3
    error.add_note("seen on Monday")
    got = way(error)
    assert type(got) is type(error)
    assert (str(got), got.args, vars(got)) == (str(error), error.args, vars(error))


def test_owner_died_says_who_and_what_to_do() -> None:
    text = str(procession.OwnerDied("stock"))
    assert "the last owner of Mutex 'stock' died holding it" in text
    assert "on_owner_death=repair" in text


@pytest.mark.parametrize("name", BASES)
def test_exception_is_shown_as_users_name_it(name: str) -> None:
    kind = getattr(errors, name)
    if kind is not getattr(standard, name, None):
        assert f"{kind.__module__}.{kind.__qualname__}" == f"procession.{name}"
    assert pickle.loads(pickle.dumps(kind)) is kind


def test_traceback_shows_it_as_users_name_it() -> None:
    said = python("import procession; procession.Mutex().release()").stderr
    assert said.splitlines()[-1].startswith("procession.NotOwner: ")
