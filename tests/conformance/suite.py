"""CPython's suite for one start method, as a program: it knows nothing of procession, and gets it by ``run --patch``.

    python -m procession run --patch tests/conformance/suite.py fork       ours
    python tests/conformance/suite.py fork                                 the standard library's, as control

Prints a line for each test, and at the end one line of JSON for ``run.py``. A test that does not end is ended, and the
suite with it: it says in which lines of which threads it stood.
"""

import argparse
import faulthandler
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import test.support  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).resolve().parent

# The children of the suite import this file too, as their __main__, and find the same modules by it.
if importlib.util.find_spec("test.test_multiprocessing_fork") is None:
    test.__path__.append(str(HERE / "modules"))

# So it is with what looks at whose code they run.
sys.path.append(str(HERE.parents[1]))
from tests.conformance import borrowed  # noqa: E402

if borrowed.LOOK in os.environ:
    borrowed.watch()

# Programs that the suite runs with subprocess: they say `sys.executable`, and mean the interpreter that they are tested in.
INTERPRETER = """#!{python} -ISE
import os, sys
words, flags = sys.argv[1:], []
while words and words[0].startswith("-") and words[0] not in {{"-c", "-m"}}:
    flags.append(words.pop(0))
    if flags[-1] in {{"-X", "-W"}}:
        flags.append(words.pop(0))
run = "import sys; sys.path.extend({path!r}); from procession._compat.command import main; main(['run', '--patch', *sys.argv[1:]])"
os.execv({python!r}, [{python!r}, *flags, "-c", run, *words])
"""


def tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield all tests, however deep they are."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests(item)
        else:
            yield item


def short(item: unittest.TestCase) -> str:
    """Return the name of a test without its module: `WithProcessesTestQueue.test_put`."""
    return ".".join(item.id().partition(" (")[0].rsplit(".", 2)[-2:])


class Result(unittest.TextTestResult):
    """Writes down which test begins, remembers what has passed, and ends what hangs."""

    passed: ClassVar[list[str]] = []
    patience: ClassVar[float]

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - its name there
        """Begin a test."""
        if borrowed.JOURNAL in os.environ:
            borrowed.begin(short(test))
        faulthandler.dump_traceback_later(Result.patience, exit=True)
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - its name there
        """End a test."""
        super().stopTest(test)
        if borrowed.JOURNAL in os.environ:
            borrowed.begin("")

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - its name there
        """Remember it."""
        super().addSuccess(test)
        self.passed.append(short(test))


def broken(result: unittest.TestResult) -> dict[str, str]:
    """Return the tests that did not pass: name -> the last line that it said."""
    names: dict[str, str] = {}
    for item, text in [*result.failures, *result.errors]:
        inner: unittest.TestCase = getattr(item, "test_case", item)  # of a subtest
        names[short(inner)] = text.strip().splitlines()[-1]
    return names


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=["fork", "spawn", "forkserver"])
    parser.add_argument("-k", action="append", default=[], metavar="PATTERN", help="part of a test's name")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="Class.test, and no other")
    parser.add_argument("--exclude", action="append", default=[], metavar="NAME", help="Class.test that is left out")
    parser.add_argument("--patience", type=float, default=300, help="seconds for one test, or for the program's end")
    given = parser.parse_args()
    Result.patience = given.patience

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    patched = "procession" in sys.modules
    loader = unittest.TestLoader()
    everything = tests(loader.loadTestsFromName(f"test.test_multiprocessing_{given.method}"))
    chosen = [item for item in everything if not given.k or any(pattern in short(item) for pattern in given.k)]
    chosen = [item for item in chosen if not given.only or short(item) in given.only]
    left_out = sorted({short(item) for item in chosen} & set(given.exclude))
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        if patched:
            stand_in = Path(folder, "python")
            path = [entry for entry in sys.path if entry]
            stand_in.write_text(INTERPRETER.format(python=sys.executable, path=path))
            stand_in.chmod(0o700)
            sys.executable = str(stand_in)
        runner = unittest.TextTestRunner(verbosity=2, resultclass=Result)  # type: ignore[arg-type, unused-ignore]
        begin = time.monotonic()
        result = runner.run(unittest.TestSuite(item for item in chosen if short(item) not in given.exclude))
    summary = {
        "method": given.method,
        "patched": patched,
        "ran": result.testsRun,
        "passed": sorted(Result.passed),
        "skipped": sorted({short(item) for item, _ in result.skipped}),
        "left_out": left_out,
        "broken": broken(result),
        "altered": bool(test.support.environment_altered),  # it warned of a thread or a process that was left
        "seconds": round(time.monotonic() - begin, 1),
    }
    print("CONFORMANCE", json.dumps(summary), flush=True)
    faulthandler.dump_traceback_later(Result.patience, exit=True)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
