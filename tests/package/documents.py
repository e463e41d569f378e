"""The programs in a Markdown page, each with the output that stands below it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    page: Path
    line: int
    code: str
    output: str  # "" if the page shows none

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def run(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run it as a file of its own, as a reader would."""
        program = folder / "first.py"
        program.write_text(self.code)
        return subprocess.run(
            [sys.executable, "-W", "error", str(program)], cwd=folder, capture_output=True, text=True, check=False
        )


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples(page: Path) -> Iterator[Example]:
    text = page.read_text()
    for match in FENCED.finditer(text):
        yield Example(page, text.count("\n", 0, match.start()) + 1, match[1], match[2] or "")
