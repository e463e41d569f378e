"""``python -m procession``: what it understands."""

import argparse
from collections.abc import Sequence

from procession._compat.patch import install
from procession._compat.program import NoProgram, from_code, from_file, from_module, run

__all__ = ["main"]

USAGE = "python -m procession run [--patch] (-m module | -c code | program.py) [argument ...]"


def parser() -> argparse.ArgumentParser:
    """Return what reads the words before the program's own."""
    top = argparse.ArgumentParser(prog="python -m procession", description="Processes that are kept in order.")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    command = commands.add_parser(
        "run",
        usage=USAGE,
        help="run a program",
        description="Run a program as python does: a file, a folder or zip file with a __main__.py, -m a module, "
        "-c a piece of code. Its exit code is this command's.",
    )
    command.add_argument("--patch", action="store_true", help="let it have procession where it imports multiprocessing")
    which = command.add_mutually_exclusive_group()
    which.add_argument("-m", metavar="module", dest="module", help="a module, or a package with a __main__")
    which.add_argument("-c", metavar="code", dest="code", help="a program that is given here")
    return top


def main(words: Sequence[str]) -> None:
    """Do what the command line says; raises SystemExit, with the program's exit code if it has one."""
    reader = parser()
    own, program = split(words)
    given = reader.parse_args(own)
    if given.module is None and given.code is None and not program:
        reader.error("run: which program? Give a file, -m module or -c code")
    if given.module is not None:
        make = lambda: from_module(given.module)  # noqa: E731
    elif given.code is not None:
        make = lambda: from_code(given.code)  # noqa: E731
    else:
        file, *program = program
        make = lambda: from_file(file)  # noqa: E731
    if given.patch:
        install()
    try:
        run(make, program)
    except NoProgram as error:
        reader.exit(2, f"python -m procession: {error}\n")


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return our words and the program's: behind `-m x`, `-c x`, or from the first one that is no option on."""
    own: list[str] = []
    rest = list(words)
    while rest:
        word = rest[0]
        if own[:1] == ["run"] and word in {"-m", "-c"}:
            return own + rest[:2], rest[2:]
        if own[:1] == ["run"] and (word == "--" or not word.startswith("-")):
            return own, rest[1:] if word == "--" else rest
        own.append(rest.pop(0))
    return own, []
