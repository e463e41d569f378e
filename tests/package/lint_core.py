"""Rules about the sources that no compiler and no linter knows.

Run as a program it prints what breaks them and returns 1 if anything does; the test suite runs it too.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Pattern, and why it must not stand in the C core that knows nothing of Python (core/*.h, core/*.c).
BELOW_PYTHON = {
    r'#include\s*[<"]Python\.h': "Python.h is for core/python: the core is tested without an interpreter",
    r'#include\s*"python/': "the core must not reach up into core/python",
    r"\bPy(?:_|[A-Z]\w+_)\w+\s*\(": "a call of Python's API belongs into core/python",
}
# The same for all C files.
ANYWHERE = {
    r"\bCLOCK_REALTIME\b|\bgettimeofday\s*\(": "wall-clock time jumps; deadlines use CLOCK_MONOTONIC",
    r"\bstatic\s+PyTypeObject\b": "types are heap types: a static one cannot be per interpreter",
    r"^static\s+PyObject\s*\*\w+\s*(?:=|;)": "Python objects live in the module's state, not in globals",
}


def faults_of_c(path: Path) -> Iterator[str]:
    """Yield a line for each rule that a C file breaks, comments left out."""
    blank = lambda match: "\n" * match[0].count("\n")  # noqa: E731  (keeps line numbers right)
    text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, path.read_text(), flags=re.DOTALL)
    rules = ANYWHERE if path.parent.name == "python" else ANYWHERE | BELOW_PYTHON
    for pattern, reason in rules.items():
        for match in re.finditer(pattern, text, flags=re.MULTILINE):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {reason}"
    if path.suffix == ".h" and not re.search(r"#pragma once|#ifndef \w+\s+#define", text):
        yield f"{path}:1: a header needs an include guard"


def faults_of_python(path: Path, package: Path) -> Iterator[str]:
    """Yield a line for each import of the whole package from inside a layer; only its `_core` may be taken."""
    depth = len(path.relative_to(package).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        top: list[str] = []
        if isinstance(node, ast.Import):
            top = [alias.name for alias in node.names if alias.name == "procession"]
        elif isinstance(node, ast.ImportFrom) and (
            node.module == "procession" or (node.module is None and node.level == depth)
        ):
            top = [alias.name for alias in node.names if not alias.name.startswith("_")]
        if top and isinstance(node, ast.stmt):
            yield f"{path}:{node.lineno}: a layer must not import the package above it: {', '.join(top)}"


def faults(root: Path = ROOT) -> Iterator[str]:
    """Yield everything that breaks a rule below this root."""
    for path in sorted((root / "core").rglob("*.[ch]")):
        yield from faults_of_c(path)
    package = root / "src" / "procession"
    for path in sorted(package.glob("_*/**/*.py")):
        yield from faults_of_python(path, package)


if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "core and layers: no fault")
    sys.exit(bool(found))
