"""What a template imports beforehand, and that no module can do harm there: each is on trial in a successor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from procession._process.preload import is_installed, wanted
from tests.lifecycle.tools import is_gone, until

# Modules of the test lie in a folder that passes for that of installed packages.
PROGRAM = """
import multiprocessing, os, sys, time
SITE = os.environ["SITE"]
sys.path.insert(0, SITE)
import procession
from procession._process import preload, template_owner, templates as module
from procession._process.templates import templates
NAMED

def tell(out):
    import threading
    out.put({
        "loaded": [name for name in os.environ["ASKED"].split() if name in sys.modules],
        "where": {name: getattr(sys.modules.get(name), "WHERE", None) for name in os.environ["ASKED"].split()},
        "pid": os.getpid(),
        "threads": len(os.listdir("/proc/self/task")),
        "main": sys.modules["__main__"].WHERE,
    })

WHERE = os.getpid()
MORE

def start(out):
    process = procession.Process(target=tell, args=(out,), start_method="forkserver")
    process.start()
    told = out.get()
    process.join()
    assert str(process.outcome) == "finished"
    return told

def settle():
    while templates.tend():
        time.sleep(0.01)

if __name__ == "__main__":
    roots = preload.installed_roots()
    preload.installed_roots = lambda: (*roots, SITE + os.sep)
    module.PAUSE = 0.0
    template_owner.IMPORT_LIMIT = float(os.environ.get("LIMIT", "30"))
    out = procession.SimpleQueue()
    RUN
"""
ONCE = """
    for name in os.environ["ASKED"].split():
        sys.modules[name] = type(sys)(name)  # this process has it imported, as far as it tells
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None, origin=f"{SITE}/{name}.py")
    first = start(out)
    settle()
    told = start(out)
    print(repr((first, told, sorted(templates.refused))))
"""
LINE = "import os\nWHERE = os.getpid()\n"


def trial(
    tmp_path: Path, modules: dict[str, str], *, run: str = ONCE, named: str = "", more: str = "", **environment: str
) -> Any:
    """Run the program; return what the first child told, what one told after the trial, and what was refused."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(LINE + text)
    path = tmp_path / "program.py"
    program = PROGRAM.replace("NAMED", named).replace("MORE", more).replace("    RUN", run.strip("\n"))
    path.write_text("import importlib.machinery\n" + program)
    environment = os.environ | {"SITE": str(folder), "ASKED": " ".join(modules)} | environment
    result = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, env=environment, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return eval(result.stdout.strip().splitlines()[-1])


def test_modules_of_the_owner_are_imported_once_for_all_children(tmp_path: Path) -> None:
    first, told, refused = trial(tmp_path, {"one": "", "two": "import one"})
    assert first["loaded"] == []
    assert first["main"] == first["pid"]
    assert told["loaded"] == ["one", "two"]
    assert told["where"]["one"] == told["where"]["two"] == told["main"] != told["pid"]
    assert refused == []


BAD = {
    "aborts": "os.abort()",
    "is killed": "os.kill(os.getpid(), 9)",
    "ends itself": "raise SystemExit",
    "ends itself quietly": "os._exit(0)",
    "starts a thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "opens a file": "file = open('/dev/null')",
    "starts a process": "import subprocess\nprocess = subprocess.Popen(['sleep', '600'])",
    "hangs": "import signal\nwhile True: signal.pause()",
    "loops": "while True: pass",
}


@pytest.mark.parametrize("how", BAD)
def test_module_that_no_template_may_have_is_left_to_the_children(tmp_path: Path, how: str) -> None:
    # Only in a template: a child of ours that imports it is the program's own matter.
    _, told, refused = trial(
        tmp_path, {"one": "", "bad": BAD[how], "two": ""}, LIMIT="0.5" if how in {"hangs", "loops"} else "30"
    )
    assert refused == ["bad"]
    assert told["loaded"] == ["one", "two"]
    assert told["where"]["one"] == told["where"]["two"] != told["pid"]
    assert told["threads"] == 1


def test_process_that_a_refused_module_has_started_is_ended(tmp_path: Path) -> None:
    bad = "import subprocess\nwith open(os.environ['TOLD'], 'w') as f: f.write(str(subprocess.Popen(['sleep', '600']).pid))"
    told = tmp_path / "told"
    trial(tmp_path, {"bad": bad}, TOLD=str(told))
    pid = int(told.read_text())
    until(lambda: is_gone(pid), "the process of a module")


def test_several_bad_modules_are_found_one_after_the_other(tmp_path: Path) -> None:
    modules = {
        "one": BAD["aborts"],
        "two": "",
        "three": BAD["starts a thread"],
        "four": BAD["opens a file"],
        "five": "",
    }
    _, told, refused = trial(tmp_path, modules)
    assert refused == ["four", "one", "three"]
    assert told["loaded"] == ["two", "five"]


def test_module_that_raises_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    _, told, refused = trial(tmp_path, {"one": "", "bad": "1 / 0", "two": ""})
    assert (told["loaded"], refused) == (["one", "two"], [])


def test_module_that_talks_is_not_heard(tmp_path: Path) -> None:
    talks = "import sys\nprint('hello')\nprint('hello', file=sys.stderr)\nos.write(2, b'hello')"
    assert trial(tmp_path, {"talks": talks})[1]["loaded"] == ["talks"]


def test_threads_that_a_library_ends_before_a_fork_are_no_reason(tmp_path: Path) -> None:
    """As OpenBLAS does it: a handler of pthread_atfork ends its thread, which is started again when it is needed."""
    library = tmp_path / "library.c"
    library.write_text("""
#include <pthread.h>
#include <semaphore.h>
static pthread_t thread;
static sem_t end;
static int running;
static void *run(void *none) { sem_wait(&end); return none; }
static void before(void) { if (running) { sem_post(&end); pthread_join(thread, 0); running = 0; } }
void begin(void) {
    sem_init(&end, 0, 0); pthread_atfork(before, 0, 0);
    running = pthread_create(&thread, 0, run, 0) == 0;
}
""")
    subprocess.run(["gcc", "-shared", "-fPIC", "-pthread", "-o", tmp_path / "library.so", library], check=True)
    blas = f"import ctypes\nctypes.CDLL({str(tmp_path / 'library.so')!r}).begin()\nassert len(os.listdir('/proc/self/task')) == 2"
    _, told, refused = trial(tmp_path, {"blas": blas})
    assert (told["loaded"], refused, told["threads"]) == (["blas"], [], 1)


# ---- the main module -----------------------------------------------------------------------------


BAD_MAIN = {
    "raises": "raise ValueError",
    "ends itself": "sys.exit()",
    "opens a file": "kept = open(os.devnull)",
    "starts a child": "procession.Process(target=int, start_method='fork').start()",
    "is killed": "os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("how", BAD_MAIN)
def test_main_module_that_no_template_may_have_is_imported_by_each_child(tmp_path: Path, how: str) -> None:
    # A child of ours has its own name by then.
    only_there = "if __name__ == '__mp_main__' and multiprocessing.current_process().name == 'MainProcess':\n    "
    _, told, refused = trial(tmp_path, {"one": ""}, more=only_there + BAD_MAIN[how])
    assert refused == ["__main__"]
    assert told["main"] == told["pid"]
    assert told["loaded"] == ["one"]


def test_what_the_main_module_says_is_heard_once(tmp_path: Path) -> None:
    says = "if __name__ == '__mp_main__':\n    open(os.environ['TOLD'], 'a').write('imported\\n')\n"
    told = tmp_path / "told"
    trial(tmp_path, {"one": ""}, more=says, TOLD=str(told))
    assert told.read_text() == "imported\n" * 2  # by the first child, and by the successor


# ---- what the program says -------------------------------------------------------------------------

NAMES = """
    first = start(out)
    settle()
    print(repr((first, start(out), sorted(templates.refused))))
"""


def test_named_modules_are_imported_wherever_they_lie(tmp_path: Path) -> None:
    named = 'multiprocessing.set_forkserver_preload(["one", "nowhere"])'
    _, told, refused = trial(tmp_path, {"one": "", "two": ""}, run=NAMES, named=named)
    assert (told["loaded"], refused) == (["one"], [])
    assert told["main"] == told["pid"]  # it was not named, as with multiprocessing


CHILD_THAT_IMPORTS = """
import os, sys
import multiprocessing
import procession

def tell():
    os.write(1, f"{sorted(set(sys.modules) - BEFORE)}\\n".encode())

if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(NAMED)
    for _ in range(2):
        process = procession.Process(target=tell, start_method="forkserver")
        process.start()
        process.join()
else:
    BEFORE = set(sys.modules)
"""


@pytest.mark.parametrize("named", [["__main__"], ["__main__", "json"]])
def test_child_imports_nothing_of_ours(tmp_path: Path, named: list[str]) -> None:
    program = tmp_path / "program.py"
    program.write_text(CHILD_THAT_IMPORTS.replace("NAMED", repr(named)))
    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("[]\n" * 2, "")


def test_nothing_is_imported_if_the_program_names_nothing(tmp_path: Path) -> None:
    _, told, refused = trial(tmp_path, {"one": ""}, named="multiprocessing.set_forkserver_preload([])")
    assert (told["loaded"], told["main"], refused) == ([], told["pid"], [])


LATER = """
    start(out)
    settle()
    import one
    start(out)
    settle()
    first = start(out)
    import two
    start(out)
    settle()
    print(repr((first, start(out), sorted(templates.refused))))
"""


def test_what_is_imported_later_is_imported_by_another_successor(tmp_path: Path) -> None:
    first, told, refused = trial(tmp_path, {"one": "", "two": ""}, run=LATER)
    assert (first["loaded"], told["loaded"], refused) == (["one"], ["one", "two"], [])
    assert told["where"]["one"] == first["where"]["one"]  # it was inherited
    assert told["where"]["two"] != told["where"]["one"]


THREAD_LATER = """
    start(out)
    import lazy
    start(out)
    settle()
    told = [start(out) for _ in range(3)]
    print(repr((told[0], told[-1], sorted(templates.refused)[:0])))
"""


def test_template_that_gets_a_thread_later_is_replaced(tmp_path: Path) -> None:
    """It must not clone then: nobody knows what the thread holds."""
    lazy = """
import threading
def begin():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
import gc
class Late:
    def __del__(self):
        if os.environ.get("OWNER") != str(os.getpid()): begin()
cycle = Late(); cycle.itself = cycle; del cycle
"""
    _, told, _ = trial(tmp_path, {"lazy": lazy}, run='    os.environ["OWNER"] = str(os.getpid())\n' + THREAD_LATER)
    assert told["threads"] == 1


KILLED = """
    start(out)
    settle()
    first = start(out)
    templates.serving.child.signal(9)
    start(out)
    settle()
    print(repr((first, start(out), sorted(templates.refused))))
"""


def test_template_after_a_killed_one_imports_it_all_again(tmp_path: Path) -> None:
    first, told, refused = trial(tmp_path, {"one": ""}, run="    import one\n" + KILLED)
    assert first["loaded"] == told["loaded"] == ["one"]
    assert first["where"]["one"] != told["where"]["one"]
    assert refused == []


NUMPY = """
import numpy, procession, time
from procession._process.templates import templates
def draw(out): out.put((float(numpy.random.random()), float(numpy.ones((300, 300)).dot(numpy.ones((300, 300)))[0, 0])))
if __name__ == "__main__":
    out = procession.SimpleQueue()
    def start():
        process = procession.Process(target=draw, args=(out,), start_method="forkserver")
        process.start(); process.join()
        assert str(process.outcome) == "finished"
        return out.get()
    start()
    while templates.tend(): time.sleep(0.01)
    assert "numpy" in templates.serving.tried and not templates.refused, templates.refused
    numbers, products = zip(*[start() for _ in range(3)])
    print(len(set(numbers)), set(products))
"""


def test_numpy_is_imported_beforehand_and_draws_other_numbers_in_each_child(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    path = tmp_path / "program.py"
    path.write_text(NUMPY)
    result = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("3 {300.0}\n", "")


# ---- which -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("json", True),
        ("sys", True),
        ("pytest", True),
        ("procession._process.preload", True),
        ("tests.lifecycle.tools", False),
        ("__main__", False),
    ],
)
def test_modules_that_are_not_the_program_s_own(name: str, verdict: bool) -> None:
    __import__(name)
    assert is_installed(name, sys.modules[name]) is verdict


def test_modules_whose_import_is_an_action_and_aliases_are_left_out() -> None:
    assert not is_installed("readline", sys)
    assert not is_installed("another", sys)
    assert not is_installed("os.path", os.path)  # it is posixpath


def test_what_was_tried_is_not_wanted_again() -> None:
    names = wanted(())
    assert "json" in names
    assert names[-1] == "__main__"
    assert wanted(set(names)) == []
