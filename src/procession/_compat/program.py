"""Run a program in this interpreter as ``python`` would run it: as ``__main__``, with its own ``sys.argv`` and path.

Its processes find it again: what is here called ``__main__`` has the file and the spec that a start method asks for.
"""

import builtins
import importlib.machinery
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Sequence
from pkgutil import get_importer
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

__all__ = ["NoProgram", "Program", "from_code", "from_file", "from_module", "run"]


class NoProgram(Exception):
    """There is no such program, or nothing in it that can be run; the text says which and why."""


class Program:
    """What is to be run: its code, and what its ``__main__`` knows of itself."""

    def __init__(self, code: CodeType, argument: str, path: str | None, **attributes: Any) -> None:
        self.code = code
        self.argument = argument  # sys.argv[0]
        self.path = path  # sys.path[0]; None: as it is
        self.attributes = attributes


def from_code(text: str) -> Program:
    """``python -c``."""
    return Program(compile(text, "<string>", "exec"), "-c", "", __spec__=None)


def from_module(name: str) -> Program:
    """``python -m``: a module, or the ``__main__`` of a package."""
    sys.path[0:1] = [os.getcwd()]
    spec = _find(name)
    if spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
    return _from_spec(spec, os.getcwd())


def from_file(path: str) -> Program:
    """``python program.py``; also a folder or a zip file with a ``__main__.py``."""
    importer: Any = get_importer(os.path.abspath(path)) if os.path.exists(path) else None
    if importer is not None and (spec := importer.find_spec("__main__")) is not None:
        return _from_spec(spec, os.path.abspath(path), argument=path)
    file_path = os.path.abspath(path)
    try:
        with io.open_code(file_path) as file:
            source = file.read()
    except OSError as error:
        raise NoProgram(f"can't open file {path!r}: {error.strerror}") from None
    loader = importlib.machinery.SourceFileLoader("__main__", file_path)
    folder = os.path.dirname(os.path.realpath(path))
    code = compile(source, file_path, "exec")
    return Program(code, path, folder, __file__=file_path, __loader__=loader, __spec__=None)


def _find(name: str) -> importlib.machinery.ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise NoProgram(f"no module named {name!r}: {error}") from None
    if spec is None:
        raise NoProgram(f"no module named {name!r}")
    return spec


def _from_spec(spec: importlib.machinery.ModuleSpec, path: str, argument: str | None = None) -> Program:
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise NoProgram(f"no code object available for {spec.name!r}")
    attributes = {"__file__": spec.origin, "__cached__": spec.cached, "__loader__": loader, "__package__": spec.parent}
    return Program(code, argument or spec.origin or spec.name, path, __spec__=spec, **attributes)


def run(make: Callable[[], Program], arguments: Sequence[str]) -> None:
    """Run it to its end. Raises NoProgram, and what the program raises, SystemExit too."""
    try:
        program = make()
    except SyntaxError as error:
        _end(error, None)
    if program.path is not None and not sys.flags.safe_path:
        sys.path[0:1] = [program.path]
    sys.argv[:] = [program.argument, *arguments]
    main = ModuleType("__main__")
    vars(main).update(__builtins__=builtins, **program.attributes)
    # The module that ran until now goes on being this one's caller, so it is kept.
    vars(main)["__procession_caller__"] = sys.modules["__main__"]
    for name in ("__main__", "__mp_main__"):  # the second is what the first is called in children
        if name in sys.modules:
            sys.modules[name] = main
    try:
        exec(program.code, vars(main))
    except Exception as error:  # noqa: BLE001 - shown as the interpreter shows it, without the lines of ours above it
        _end(error, error.__traceback__.tb_next if error.__traceback__ else None)


def _end(error: Exception, trace: TracebackType | None) -> NoReturn:
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    raise SystemExit(1) from None
