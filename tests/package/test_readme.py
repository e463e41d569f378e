"""The first page keeps what it promises to somebody who has just cloned the repository."""

from __future__ import annotations

import re
import tomllib

from tests.package.documents import ROOT, examples

README = ROOT / "README.md"


def test_its_program_is_the_example() -> None:
    program = (ROOT / "examples" / "survive_a_kill.py").read_text()
    docstring, _, body = program.partition('"""\n\n')
    assert docstring.startswith('"""')
    assert next(examples(README)).code == body


def test_it_begins_with_the_two_commands() -> None:
    first_block = re.search(r"^```console\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert first_block is not None
    commands = [line.partition("#")[0].strip() for line in first_block[1].splitlines()]
    assert commands == ["$ make demo", "$ make test"]


def test_it_asks_for_the_python_that_is_required() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"Python {required.removeprefix('>=')} or newer" in README.read_text()


def test_figures_have_a_place() -> None:
    assert re.search(r"<!-- figures begin -->\n.*<!-- figures end -->", README.read_text(), flags=re.DOTALL)


def test_figures_are_those_of_the_last_full_run() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    ratios = [float(ratio) for ratio in re.findall(r"\| ([\d.]+)x \(", results)]
    table = README.read_text().partition("<!-- figures begin -->")[2].partition("<!-- figures end -->")[0]
    rows = [line.rstrip(" |").rpartition("|")[2] for line in table.splitlines() if line.startswith("|")][2:]
    figures = [figure for row in rows for figure in re.findall(r"[\d.]+", row)]
    assert figures
    made_up = [f for f in figures if not any(round(r, len(f.partition(".")[2])) == float(f) for r in ratios)]
    assert not made_up
