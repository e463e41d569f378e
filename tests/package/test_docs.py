"""What the documentation shows is so: its programs run, its links lead somewhere, its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import procession
from tests.package.documents import ROOT, Example, examples, pages

EXAMPLES = [example for page in pages() for example in examples(page)]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_program_prints_what_stands_below_it(example: Example, tmp_path: Path) -> None:
    result = example.run(tmp_path)
    assert (result.returncode, result.stdout) == (0, example.output), result.stderr


def test_every_page_with_programs_was_found() -> None:
    pages_with_programs = {page for page in pages() if "```python" in page.read_text()}
    assert {example.page for example in EXAMPLES} == pages_with_programs
    assert len(EXAMPLES) == sum(page.read_text().count("```python") for page in pages())


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [*pages(), ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        assert (page.parent / target).exists(), link
        assert not anchor or anchor in anchors(page.parent / target), link


def test_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in pages()[1:]:
        relative = page.relative_to(ROOT / "docs")
        assert relative.name == "README.md" or "decisions" in relative.parts or str(relative) in index, relative


def test_every_public_name_stands_in_some_page() -> None:
    text = "\n".join(page.read_text() for page in pages() if "decisions" not in page.parts)
    assert [name for name in procession.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_environment_variable_is_described_and_none_else() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "core").rglob("*.[ch]")]
    used = {name for path in sources for name in re.findall(r"PROCESSION_[A-Z_]+", path.read_text())}
    table = (ROOT / "docs" / "reference" / "environment.md").read_text()
    assert set(re.findall(r"^\| `(PROCESSION_[A-Z_]+)` \|", table, flags=re.MULTILINE)) == used
