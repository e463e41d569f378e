"""The run of CPython's suites says what it promises to say: which test hung, and whose code was run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import run
from tests.conformance.borrowed import last_test, read, standing

pytest.importorskip("test._test_multiprocessing")


def said(*words: str) -> tuple[int, str]:
    """The exit code and the output of a run."""
    command = [sys.executable, run.__file__, *words]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return result.returncode, result.stdout


@pytest.mark.slow
def test_suite_that_hangs_ends_and_names_its_test() -> None:
    # That test waits for longer than this.
    code, text = said("fork", "-k", "WithThreadsTestEvent.test_event", "--patience", "0.05")
    assert code == 1
    assert "\n    WithThreadsTestEvent.test_event: the suite did not come to its end (exit code 1)" in text
    assert "in _test_event" not in text
    assert "in test_event\n" in text  # where it stood


@pytest.mark.slow
def test_run_says_what_passed_and_what_was_borrowed() -> None:
    code, text = said("fork", "--borrowed", "-k", "TestLock.test_lock_context", "-k", "ProcessesTestQueue.test_put")
    assert code == 0
    assert (
        "\nfork: 4 ran, 4 passed, 0 skipped by the suite itself, 0 left out as PRIVATE, 0 as BETTER, 0 broken" in text
    )
    assert "\n    managers.BaseProxy: in 1 tests; " in text
    _, _, nothing_of_ours = text.partition("no Python code of ours in any process: ")
    assert nothing_of_ours.split()[:5:2] == ["2", "(1)", "(1)"]
    assert nothing_of_ours.split()[1:5:2] == [
        "WithManagerTestLock.test_lock_context",
        "WithThreadsTestLock.test_lock_context",
    ]


@pytest.mark.slow
def test_what_is_left_out_and_would_pass_is_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "names_for", lambda _method: ["WithThreadsTestLock.test_lock_context"])
    monkeypatch.setattr(sys, "argv", ["run.py", "fork", "--excluded"])
    assert run.main() == 1


def test_output_that_somebody_holds_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LINGER", 0.1)
    program = "import subprocess; subprocess.Popen(['sleep', '600']); print('CONFORMANCE {\"ran\": 1}')"
    assert run.execute([sys.executable, "-c", program], {}) == ({"ran": 1}, 0)


def test_journal_is_read_as_it_is_written(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_text("name a.A\ntest One\nname ours\nname a.A\ntest \nname b.B\ntest Two\nname a.A\ntest \n")
    found = read(journal, ["One", "Two"])
    assert found.names == {"a.A": {"One", "Two"}}
    assert found.nothing_of_ours == ["Two"]
    assert last_test(journal) == "(behind Two)"


def test_name_that_nobody_has_spoken_of_is_known_as_such() -> None:
    assert standing("managers.Server")[0] is True
    assert standing("connection.Client")[0] is True
    assert standing("connection.wait")[0] is False
    assert standing("pool.Pool")[0] is None
    assert standing("new_module.Name")[0] is None
