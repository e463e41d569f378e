"""``python -m procession run``: a program is run as python runs it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SAY = "import sys\nprint(__name__, __file__, sys.argv, sys.path[0], __package__, __spec__ and __spec__.name)\n"


def command(*words: object, cwd: Path | None = None, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *options, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd)


def ours(*words: object, cwd: Path | None = None, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return command("-m", "procession", "run", *words, cwd=cwd, options=options)


def make(folder: Path) -> None:
    (folder / "package" / "inner").mkdir(parents=True)
    for path in ("program.py", "package/__main__.py", "package/module.py", "package/inner/__main__.py"):
        (folder / path).write_text(SAY)
    for path in ("package/__init__.py", "package/inner/__init__.py"):
        (folder / path).write_text("")
    with zipfile.ZipFile(folder / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", SAY)


@pytest.mark.parametrize(
    "words",
    [
        ["program.py"],
        ["program.py", "--patch", "-m", "x", "--", "-c"],
        ["package"],
        ["packed.zip", "a"],
        ["-m", "package", "a"],
        ["-m", "package.module", "-h"],
        ["-m", "package.inner"],
        ["-m", "program", "run"],
        ["-c", "import sys; print(__name__, sys.argv, sys.path[0], __package__, __spec__)", "-x", "y"],
    ],
    ids=" ".join,
)
def test_program_sees_what_python_shows_it(words: list[str], tmp_path: Path) -> None:
    make(tmp_path)
    expected, found = command(*words, cwd=tmp_path), ours("--patch", *words, cwd=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, expected.stdout, expected.stderr)
    assert expected.returncode == 0


def test_safe_path_is_kept(tmp_path: Path) -> None:
    make(tmp_path)
    found = ours(tmp_path / "program.py", options=("-P",))
    assert f"{str(tmp_path)!r} " not in found.stdout
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("end", "code"), [("raise SystemExit(7)", 7), ("raise SystemExit('words')", 1), ("", 0), ("1/0", 1)]
)
def test_exit_code_is_the_programs(end: str, code: int) -> None:
    assert ours("-c", end).returncode == code


@pytest.mark.parametrize("wrong", ["1/0", "def", "raise SystemExit('words')"])
def test_error_looks_as_without_us(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"import multiprocessing\n{wrong}\n")
    assert ours("program.py", cwd=tmp_path).stderr == command("program.py", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.py"], "python -m procession: can't open file 'nothing.py': No such file or directory"),
        (["-m", "no_such_module"], "python -m procession: no module named 'no_such_module'"),
        (["-m", "email"], "python -m procession: no module named 'email.__main__'"),
        ([], "run: which program? Give a file, -m module or -c code"),
        (["--patch"], "run: which program? Give a file, -m module or -c code"),
        (["-m"], "argument -m: expected one argument"),
        (["--bogus", "x.py"], "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_command_line_is_said_and_is_2(words: list[str], said: str) -> None:
    result = ours(*words)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_no_command_is_said_and_is_2() -> None:
    result = command("-m", "procession")
    assert result.returncode == 2
    assert "required: command" in result.stderr


def test_without_patch_multiprocessing_stays_what_it_is() -> None:
    program = "import multiprocessing; print(multiprocessing.Process.__module__)"
    assert ours("-c", program).stdout == "multiprocessing.context\n"
    assert ours("--patch", "-c", program).stdout == "procession\n"


CHILDREN = """
import multiprocessing

def work(queue):
    queue.put((__name__, multiprocessing.Lock.__module__))

if __name__ == "__main__":
    queue = multiprocessing.Queue()
    for method in multiprocessing.get_all_start_methods():
        process = multiprocessing.get_context(method).Process(target=work, args=(queue,))
        process.start()
        print(method, *queue.get())
        process.join()
"""


@pytest.mark.parametrize("how", [["program.py"], ["-m", "program"]], ids=["file", "module"])
def test_children_find_the_program_again(how: list[str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CHILDREN)
    result = ours("--patch", *how, cwd=tmp_path)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "fork __main__ procession",
        "spawn __mp_main__ procession",
        "forkserver __mp_main__ procession",
    ]
