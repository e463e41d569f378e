"""install(): what a program gets that says multiprocessing; each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import METHODS, output_of, python

FIRST = "import procession; procession.install()\n"


def run(folder: Path, program: str) -> str:
    """What a program says that is a file, so that its children find it again."""
    path = folder / "program.py"
    path.write_text(program)
    result = subprocess.run([sys.executable, "-W", "error", path], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


EVERY_NAME = """
import multiprocessing, multiprocessing.queues, multiprocessing.synchronize, multiprocessing.sharedctypes
for name in multiprocessing.__all__:
    thing = getattr(multiprocessing, name)
    assert thing is getattr(procession, name) or name in {names} or not isinstance(thing, type), (name, thing)
from multiprocessing import *
assert Queue is procession.Queue and Lock is procession.Lock
assert set(multiprocessing.__all__) <= set(dir(multiprocessing))
print(Queue.__module__)
"""


def test_public_names_are_ours() -> None:
    assert output_of(FIRST + EVERY_NAME.replace("{names}", "set()")) == "procession"


EACH_FIRST = """
import multiprocessing, os, sys
for module in (multiprocessing, procession):
    for name in module.__all__:
        if os.fork() == 0:  # a program that asks for this name before any other
            try:
                getattr(module, name)
            except BaseException as error:
                print(module.__name__, name, repr(error), flush=True)
            os._exit(0)
        os.wait()
"""


def test_any_name_may_be_the_first() -> None:
    assert output_of(FIRST + EACH_FIRST) == ""


@pytest.mark.parametrize("method", METHODS)
def test_contexts_are_ours(method: str) -> None:
    program = f"""
import multiprocessing
context = multiprocessing.get_context({method!r})
assert context is procession.get_context({method!r})
multiprocessing.set_start_method({method!r})
assert multiprocessing.get_context() is context
print(multiprocessing.get_start_method())
"""
    assert output_of(FIRST + program) == method


CHILDREN = """
import multiprocessing

def look(queue, depth):
    from multiprocessing.queues import Queue
    queue.put((multiprocessing.Lock.__module__, isinstance(queue, Queue)))
    if depth:
        process = multiprocessing.Process(target=look, args=(queue, depth - 1))
        process.start()
        process.join()

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=look, args=(queue, 1))
    process.start()
    process.join()
    print(queue.get(), queue.get())
"""


@pytest.mark.parametrize("method", METHODS)
def test_children_and_theirs_have_it_too(method: str, tmp_path: Path) -> None:
    said = run(tmp_path, FIRST + CHILDREN.replace("{method!r}", repr(method)))
    assert said == "('procession', True) ('procession', True)"


def test_template_from_before_is_replaced(tmp_path: Path) -> None:
    program = """
import procession, multiprocessing

def look(queue):
    queue.put(multiprocessing.Lock.__module__.partition(".")[0])

if __name__ == "__main__":
    queue = procession.Queue()
    for _ in range(2):
        process = procession.Process(target=look, args=(queue,), start_method="forkserver")
        process.start()
        process.join()
        procession.install()
    print(queue.get(), queue.get())
"""
    assert run(tmp_path, program) == "multiprocessing procession"


def test_class_of_queues_is_asked_for_called_and_derived_from() -> None:
    program = """
import multiprocessing
from multiprocessing.queues import Queue, JoinableQueue, SimpleQueue
context = multiprocessing.get_context("spawn")
assert type(Queue(3, ctx=context)) is procession.Queue
assert isinstance(context.Queue(), Queue) and isinstance(procession.JoinableQueue(), (JoinableQueue, Queue))
assert issubclass(procession.SimpleQueue, SimpleQueue)
assert not isinstance(procession.SimpleQueue(), Queue) and not isinstance(5, Queue)
class Mine(Queue):
    pass
mine = Mine(2, ctx=context)
assert isinstance(mine, Mine) and isinstance(mine, Queue) and not isinstance(context.Queue(), Mine)
mine.put("x")
assert mine.get() == "x"
mine.close()
mine.join_thread()
print("ok")
"""
    assert output_of(FIRST + program) == "ok"


def test_what_was_bound_early_as_a_function_makes_ours() -> None:
    program = """
from multiprocessing import Queue, Lock, get_context
import procession
procession.install()
assert type(Queue(3)) is procession.Queue
assert get_context("spawn") is procession.get_context("spawn")
assert get_context().Process is procession.get_context().Process
print("ok")
"""
    assert output_of(program) == "ok"


LATE = """
import sys, types, warnings
early = types.ModuleType("early")
exec("from multiprocessing import Process", vars(early))
sys.modules["early"] = early
import multiprocessing, procession
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    procession.install()
    procession.install()
(warning,) = caught
assert warning.category is procession.InstallWarning and warning.filename == "<string>"
print(warning.message)
"""


def test_late_install_names_the_modules_that_keep_theirs() -> None:
    said = output_of(LATE)
    assert said.startswith("procession.install() came late: early had taken classes from multiprocessing before")
    assert "run --patch" in said


def test_late_install_names_the_main_module_once() -> None:
    late = "from multiprocessing import Process\n" + LATE
    assert output_of(late).startswith(
        "procession.install() came late: __main__, early had taken classes from multiprocessing before, and go on with those."
    )


def test_early_install_says_nothing() -> None:
    assert (
        output_of("import concurrent.futures, logging, asyncio\n" + FIRST + "import multiprocessing; print(1)") == "1"
    )


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_process_pool_executor_works(early: bool, method: str, tmp_path: Path) -> None:
    program = (
        ("import concurrent.futures.process\n" if early else "")
        + FIRST
        + f"""
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    with ProcessPoolExecutor(2) as pool:
        print(sum(pool.map(abs, range(-5, 5))))
"""
    )
    assert run(tmp_path, program) == "25"


def test_submodule_imported_by_another_road_is_changed_too() -> None:
    program = """
import importlib, sys
ours = importlib.import_module("procession.synchronize")
theirs = sys.modules["multiprocessing.synchronize"]
assert theirs.Lock is ours.Lock
print(theirs.__spec__.loader.get_filename("multiprocessing.synchronize").endswith("synchronize.py"))
"""
    assert output_of(FIRST + program) == "True"


def test_interpreter_may_be_unknown() -> None:
    program = "import sys; sys.executable = None\n" + FIRST + "import multiprocessing.spawn; print('imported')"
    assert output_of(program) == "imported"


def test_unknown_name_is_an_attribute_error() -> None:
    result = python(FIRST + "import multiprocessing; multiprocessing.Qeue")
    assert "module 'multiprocessing' has no attribute 'Qeue'" in result.stderr
