"""What a spawned child does before its own work, and what it need not do."""

import pytest

from tests.lifecycle.tools import run

SPAWN = """
from procession import Process
process = Process(target=exec, args=({!r},), start_method="spawn")
process.start()
process.join()
"""
NEEDED = [
    *("procession", "procession._core", "procession._memory", "procession._memory.domain", "procession._process"),
    *("procession._process.child", "procession._process.process", "procession._process.prologue"),
    "procession._process.stdlib",
]


def in_a_spawned_child(code: str) -> str:
    result = run(SPAWN.format(code))
    assert result.stderr == ""
    return result.stdout.strip()


def test_child_imports_no_more_of_ours_than_it_needs() -> None:
    ours = "import sys; print(*sorted(name for name in sys.modules if name.startswith('procession')))"
    assert in_a_spawned_child(ours).split() == NEEDED


def test_child_imports_nothing_else_that_multiprocessing_does_not() -> None:
    names = "import sys; print(*sorted(name for name in sys.modules if not name.startswith('procession')))"
    theirs = run(f"import multiprocessing.spawn, multiprocessing.resource_tracker; {names}").stdout.split()
    assert set(in_a_spawned_child(names).split()) - set(theirs) == {"gc"}


def test_collector_is_on_and_looks_at_nothing_that_came_before_the_program() -> None:
    look = "import gc; print(gc.isenabled(), gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)"
    assert in_a_spawned_child(look) == "True True True"


def test_child_that_fails_still_says_why() -> None:
    program = SPAWN.format("1 / 0") + "print(repr(process.outcome.exception))"
    result = run(program)
    assert result.stdout.strip() == "ZeroDivisionError('division by zero')", result.stderr


MARKED = """
import os, subprocess, sys
from procession import Process
{replaced}
def look():
    mine = os.environ["PROCESSION_TREE"]
    code = "import os; print(os.environ['PROCESSION_TREE'])"
    theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={given}).stdout.strip()
    print(mine == theirs, len(mine.partition(":")[0]), mine.partition(".")[2] != "")

for _ in range(2):
    process = Process(target=look, start_method="fork")
    process.start()
    process.join()
"""


@pytest.mark.parametrize(
    ("replaced", "given"),
    [("", "None"), ("", "os.environ"), ("os.environ = dict(os.environ)", "os.environ")],
    ids=["inherited", "given", "os.environ is another"],
)
def test_what_a_child_runs_carries_its_mark(replaced: str, given: str) -> None:
    result = run(MARKED.format(replaced=replaced, given=given))
    assert (result.stdout, result.stderr) == ("True 32 True\n" * 2, "")
