"""What of CPython's suites is left out, by name, each with its reason. Two classes, and no other reason counts:

PRIVATE    it looks at private parts of the standard library's implementation
BETTER     it demands what ours does better on purpose; `shown_by` is our own test of that
"""

from typing import Literal, NamedTuple

__all__ = ["EXCLUSIONS", "Exclusion", "names_for"]


class Exclusion(NamedTuple):
    """One test that is left out."""

    name: str  # Class.test
    kind: Literal["PRIVATE", "BETTER"]
    reason: str
    shown_by: str = ""  # of BETTER: file::test
    methods: tuple[str, ...] = ("fork", "spawn", "forkserver")


EXCLUSIONS: list[Exclusion] = [
    Exclusion(
        "WithProcessesTestProcess.test_parent_process",
        "BETTER",
        "it waits for a grandchild to go on after its parent was killed: ours ends then, unless orphan='keep'",
        "tests/lifecycle/test_orphans.py",
    ),
]


def names_for(method: str) -> list[str]:
    """Return the names that are left out for a start method."""
    return [exclusion.name for exclusion in EXCLUSIONS if method in exclusion.methods]
