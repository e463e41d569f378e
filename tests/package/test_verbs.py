"""The front door is as it is described: `make help`, CONTRIBUTING.md and .ci/run name verbs that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def helped() -> set[str]:
    result = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"^  make ([\w-]+) +\S", result.stdout, flags=re.MULTILINE))


def test_help_lists_every_verb() -> None:
    text = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert helped() == set(phony.split())


def test_ci_runs_verbs_that_exist() -> None:
    verbs = re.findall(r"^\s*step make (\w+)", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert {"lint", "test", "sanitize", "stepkill", "models", "stress", "conformance"} <= set(verbs) <= helped()


def test_documents_name_verbs_that_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        verbs = set(re.findall(r"`make ([a-z-]+)", (ROOT / name).read_text()))
        assert verbs <= helped(), name
