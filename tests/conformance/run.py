"""CPython's own suites for multiprocessing, with procession in its place: ``make conformance``.

Each start method is a program of its own (``suite.py``), which ends by itself when a test hangs. What it leaves is killed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.conformance import report
from tests.conformance.borrowed import JOURNAL, LOOK, last_test, read
from tests.conformance.exclusions import EXCLUSIONS, names_for

HERE = Path(__file__).resolve().parent
METHODS = ["fork", "spawn", "forkserver"]
PATIENCE = 420  # the suite itself waits for 300 where a thread that terminate() should stop has begun a task
LINGER = 20  # seconds that what a suite has started may go on holding its output


def run(method: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run one suite, pass on what it says, and return its summary."""
    left_out = [] if given.control else names_for(method)
    command = [sys.executable, "-X", "faulthandler"]
    command += [] if given.control else ["-m", "procession", "run", "--patch"]
    command += [str(HERE / "suite.py"), method, "--patience", str(given.patience)]
    for pattern in given.k:
        command += ["-k", pattern]
    for name in left_out:
        command += ["--only" if given.excluded else "--exclude", name]
    with tempfile.NamedTemporaryFile(prefix="conformance-") as file:
        environment = {**os.environ, JOURNAL: file.name, **({LOOK: "1"} if given.borrowed else {})}
        summary, code = execute(command, environment)
        journal = Path(file.name)
        if not summary:
            why = f"the suite did not come to its end (exit code {code}): this test had begun"
            summary = {"method": method, "ran": 0, "broken": {last_test(journal): why}}
        elif code != bool(summary["broken"]):
            summary["broken"]["(the suite)"] = f"its program ended with exit code {code}"
        if given.borrowed and "passed" in summary:
            summary["borrowed"] = read(journal, summary["passed"])
    return summary


def execute(command: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], int]:
    """Run a suite's program, pass on what it says, and return its summary, which may be empty, and its exit code."""
    summary: dict[str, Any] = {}

    def pass_on() -> None:
        for line in process.stdout or ():
            if line.startswith("CONFORMANCE "):
                summary.update(json.loads(line.partition(" ")[2]))
            else:
                print(line, end="", flush=True)

    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    ) as process:
        reader = threading.Thread(target=pass_on, daemon=True)
        reader.start()
        try:
            code = process.wait()
            reader.join(LINGER)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reader.join(LINGER)
    return summary, code


def main() -> int:
    """Run them all, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="fork | spawn | forkserver", default=METHODS)
    parser.add_argument("-k", action="append", default=[], metavar="PATTERN", help="only tests with this in their name")
    parser.add_argument("--control", action="store_true", help="the standard library itself, nothing left out")
    parser.add_argument("--borrowed", action="store_true", help="say which names of the standard library ran, too")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="seconds after which a test is ended, and its suite"
    )
    parser.add_argument(
        "--excluded", action="store_true", help="only what is left out: it must fail, or need not be so"
    )
    given = parser.parse_args()
    bad = False
    summaries = [run(method, given) for method in given.methods]
    print()
    for summary in summaries:
        report.suite(summary)
        if given.excluded:
            at_times = {item.name for item in EXCLUSIONS if item.at_times}
            needless = sorted((set(names_for(summary["method"])) - at_times) & set(summary.get("passed", [])))
            print(*(f"    needs not be left out: {name}" for name in needless), sep="\n")
            bad |= bool(needless) or "passed" not in summary
        else:
            bad |= bool(summary["broken"])
    if given.borrowed:
        bad |= not report.borrowed([summary["borrowed"] for summary in summaries if "borrowed" in summary])
    report.interpreter(control=given.control)
    return int(bad)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and the suite is killed on the way
    sys.exit(main())
