"""What a template was brought to is not told again to its children; what has changed since is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import multiprocessing, os, sys, time
import procession
from procession._process.templates import templates

def tell(out):
    current = multiprocessing.current_process()
    out.put({
        "path": sys.path, "argv": sys.argv, "directory": os.stat(".").st_ino, "origin": multiprocessing.process.ORIGINAL_DIR,
        "key": bytes(current.authkey), "method": multiprocessing.get_start_method(), "name": current.name,
        "logs": multiprocessing.util._log_to_stderr,
    })

class Unpickled:
    def __reduce__(self):
        return look, ()

def look():
    # before the Process is there, its name and key are the current process's
    current = multiprocessing.current_process()
    return current.name, bytes(current.authkey)

def tell_early(out, seen):
    out.put(seen)

def told(target=tell, *args):
    process = procession.Process(target=target, args=(out, *args), name="one", start_method="forkserver")
    process.start()
    value = out.get()
    process.join()
    return value

def settle():
    told()
    while templates.tend():
        time.sleep(0.01)

def mine():
    return {
        "path": sys.path, "argv": sys.argv, "directory": os.stat(".").st_ino, "origin": multiprocessing.process.ORIGINAL_DIR,
        "key": bytes(multiprocessing.current_process().authkey), "method": multiprocessing.get_start_method(), "name": "one",
        "logs": multiprocessing.util._log_to_stderr,
    }

if __name__ == "__main__":
    out = procession.SimpleQueue()
    multiprocessing.get_start_method()
    settle()
    assert told() == mine()
    lacks = templates.serving.lacks
    asked = []
    templates.serving.lacks = lambda preparation: (asked.append(lacks(preparation)), asked[-1])[1]
    CHANGE
    assert told() == mine(), (told(), mine())
    print(sorted(asked[-1]))
    MORE
"""
CHANGES = {
    "nothing": ("pass", "[]"),
    "sys.path": ("sys.path.append('/nowhere')", "['sys_path']"),
    "sys.argv": ("sys.argv[1:] = ['more']", "['sys_argv']"),
    "directory": ("os.chdir('/')", "[]"),
    "another directory of that name": (
        "os.rename(os.getcwd(), 'old'); here = sys.argv[1]; os.mkdir(here); os.chdir(here)".replace(
            "'old'", "sys.argv[1] + '.old'"
        ),
        "[]",
    ),
    "key": ("multiprocessing.current_process().authkey = b'secret'", "['authkey']"),
    "start method": ("multiprocessing.set_start_method('spawn', force=True)", "['start_method']"),
    "log": ("multiprocessing.util._log_to_stderr = True", "['log_to_stderr']"),
}


def run(tmp_path: Path, change: str, more: str = "", **environment: str) -> Any:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.replace("CHANGE", change).replace("MORE", more))
    folder = tmp_path / "folder"
    folder.mkdir()
    command = [sys.executable, str(path), str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, check=False, env=os.environ | environment
    )


@pytest.mark.parametrize("what", CHANGES)
def test_child_has_what_its_owner_has(tmp_path: Path, what: str) -> None:
    change, differs = CHANGES[what]
    result = run(tmp_path, change)
    assert result.returncode == 0, result.stderr
    assert sorted({*eval(differs), "dir", "name"}) == eval(result.stdout.strip().splitlines()[-1])


def test_name_and_key_are_there_while_arguments_are_unpickled(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        "multiprocessing.current_process().authkey = b'secret'",
        more="assert told(tell_early, Unpickled()) == ('one', b'secret')",
    )
    assert result.returncode == 0, result.stderr


def test_module_that_changes_the_paths_when_it_is_imported_changes_them_once(tmp_path: Path) -> None:
    (tmp_path / "adds.py").write_text(
        "import sys, os\nsys.path.append('/added')\nsys.argv.append('more')\nos.chdir('/')\n"
    )
    result = run(
        tmp_path, "multiprocessing.set_forkserver_preload(['adds', '__main__'])\n    settle()", PYTHONPATH=str(tmp_path)
    )
    assert result.returncode == 0, result.stderr
