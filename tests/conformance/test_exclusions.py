"""What is left out of CPython's suites is left out for a reason that can be looked up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conformance.borrowed import MAY_BE, MAY_NOT_BE
from tests.conformance.exclusions import EXCLUSIONS, Exclusion, names_for

ROOT = Path(__file__).parents[2]


def test_each_test_is_left_out_once() -> None:
    names = [item.name for item in EXCLUSIONS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("item", EXCLUSIONS, ids=lambda item: item.name)
def test_exclusion_has_a_reason_and_a_test_of_ours(item: Exclusion) -> None:
    assert len(item.reason.split()) >= 6
    assert item.kind == "PRIVATE" or item.shown_by
    if item.shown_by:
        file, _, test = item.shown_by.partition("::")
        assert f"\ndef {test}(" in (ROOT / file).read_text()


def test_only_names_of_the_suite_are_left_out() -> None:
    suite = pytest.importorskip("test._test_multiprocessing")
    text = Path(suite.__file__).read_text()
    for name in {name for method in ("fork", "spawn", "forkserver") for name in names_for(method)}:
        kind, test = name.split(".")
        kind = re.sub(r"^With(Processes|Threads|Manager)", "_", kind)
        assert re.search(rf"^class {kind}\(.*?^    def {test}\(", text, flags=re.MULTILINE | re.DOTALL), name


def test_page_says_what_is_left_out_and_what_is_borrowed() -> None:
    text = (ROOT / "docs" / "reference" / "conformance.md").read_text()
    for item in EXCLUSIONS:
        assert f"| {item.kind} | {item.reason} | `{item.shown_by.removeprefix('tests/')}` |" in text
    assert sum(
        line.startswith("| `") and ("| PRIVATE |" in line or "| BETTER |" in line) for line in text.splitlines()
    ) == len(EXCLUSIONS)
    for name, why in (MAY_BE | MAY_NOT_BE).items():
        assert f"| `{name}` | {why} |" in text
