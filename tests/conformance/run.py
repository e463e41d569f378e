"""CPython's own suites for multiprocessing, with procession in its place: ``make conformance``.

Each start method is a program of its own (``suite.py``). One that says nothing for so long is asked by SIGABRT where it
stands, and ended.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.conformance.exclusions import EXCLUSIONS, names_for

HERE = Path(__file__).resolve().parent
METHODS = ["fork", "spawn", "forkserver"]
SILENCE = 240  # seconds; the slowest test says nothing for about 60


def run(method: str, *, control: bool, patterns: list[str], exclude: list[str]) -> dict[str, Any]:
    """Run one suite, pass on what it says, and return its summary."""
    command = [sys.executable, "-X", "faulthandler"]
    command += [] if control else ["-m", "procession", "run", "--patch"]
    command += [str(HERE / "suite.py"), method]
    for pattern in patterns:
        command += ["-k", pattern]
    for name in exclude:
        command += ["--exclude", name]
    summary: dict[str, Any] = {"method": method, "broken": {"(the suite)": "it did not come to its end"}, "ran": 0}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        watchdog = None
        for line in process.stdout:
            if watchdog is not None:
                watchdog.cancel()
            watchdog = threading.Timer(SILENCE, os.kill, (process.pid, signal.SIGABRT))
            watchdog.start()
            if line.startswith("CONFORMANCE "):
                summary = json.loads(line.partition(" ")[2])
            else:
                print(line, end="", flush=True)
        if watchdog is not None:
            watchdog.cancel()
    return summary


def main() -> int:
    """Run them all, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="fork | spawn | forkserver", default=METHODS)
    parser.add_argument("-k", action="append", default=[], metavar="PATTERN", help="only tests with this in their name")
    parser.add_argument("--control", action="store_true", help="the standard library itself, nothing left out")
    parser.add_argument(
        "--excluded", action="store_true", help="only what is left out: it must fail, or need not be so"
    )
    given = parser.parse_args()
    summaries = []
    for method in given.methods:
        left_out = [] if given.control else names_for(method)
        if given.excluded:
            summaries.append(run(method, control=False, patterns=left_out, exclude=[]))
        else:
            summaries.append(run(method, control=given.control, patterns=given.k, exclude=left_out))
    print()
    bad = False
    for summary in summaries:
        left_out = summary.get("left_out", [])
        print(
            f"{summary['method']}: {summary['ran']} ran, {len(summary['broken'])} broken, {len(summary.get('skipped', []))} "
            f"skipped by the suite itself, {len(left_out)} left out, {summary.get('seconds')} s"
        )
        for name, text in summary["broken"].items():
            print(f"    {name}: {text}")
        bad |= bool(summary["broken"])
        if given.excluded:
            needless = sorted(set(names_for(summary["method"])) - set(summary["broken"]))
            print(*(f"    needs not be left out: {name}" for name in needless), sep="\n")
            bad = bool(needless)
    if not given.control:
        print(
            f"python {sys.version.split()[0]}; why something is left out: tests/conformance/exclusions.py ({len(EXCLUSIONS)})"
        )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
