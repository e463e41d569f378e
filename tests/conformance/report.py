"""What a run of CPython's suites says at its end."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.conformance.borrowed import Borrowed, standing
from tests.conformance.exclusions import EXCLUSIONS

__all__ = ["borrowed", "interpreter", "suite"]

KINDS = {item.name: item.kind for item in EXCLUSIONS}


def suite(summary: dict[str, Any]) -> None:
    """Say what came out of one suite."""
    kinds = Counter(KINDS[name] for name in summary.get("left_out", []))
    print(
        f"{summary['method']}: {summary['ran']} ran, {len(summary.get('passed', []))} passed, {len(summary.get('skipped', []))} "
        f"skipped by the suite itself, {kinds['PRIVATE']} left out as PRIVATE, {kinds['BETTER']} as BETTER, "
        f"{len(summary['broken'])} broken, {summary.get('seconds')} s"
    )
    for name, text in summary["broken"].items():
        print(f"    {name}: {text}")
    if summary.get("altered"):
        print("    it found threads or processes that a test had left: see 'Warning --' above")


def borrowed(found: Sequence[Borrowed]) -> bool:
    """Say which names were borrowed, and return whether there is a known reason for each."""
    tests: dict[str, int] = {}
    for item in found:
        for name, where in item.names.items():
            tests[name] = tests.get(name, 0) + len(where)
    known = True
    for title, wanted in (("may be borrowed", True), ("may not be borrowed, and is", False), ("on no list", None)):
        names = [name for name in sorted(tests) if standing(name)[0] is wanted]
        print(f"\nnames of the standard library that ran: {title} ({len(names)})")
        for name in names:
            print(f"    {name}: in {tests[name]} tests; {standing(name)[1]}")
        known &= wanted is not None or not names
    print("\npassed, and ran no Python code of ours in any process:", sum(len(item.nothing_of_ours) for item in found))
    for name, count in sorted(Counter(name for item in found for name in item.nothing_of_ours).items()):
        print(f"    {name} ({count})")
    return known


def interpreter(*, control: bool) -> None:
    """Say what was tested, and where the reasons are."""
    print(f"\npython {sys.version.split()[0]}, {'multiprocessing itself' if control else 'procession'}", end="")
    print("" if control else "; why something is left out: tests/conformance/exclusions.py")
