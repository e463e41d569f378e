"""``install()``: an unmodified program that imports ``multiprocessing`` gets ours.

``multiprocessing`` stays the package that it is, so what others keep in it, and what ours take from it, is there once. Its
public names are bound to ours, in it and in its modules, and its contexts are replaced by ours, to which everything
else in it goes. Modules of it that are not imported yet are changed when they are.
"""

import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from procession._base.errors import InstallWarning
from procession._compat import stdlib
from procession._compat.contexts import CONCRETE, default
from procession._process import prologue

__all__ = ["install"]

STANDARD, OURS = "multiprocessing", "procession"
# Modules of multiprocessing, and those of ours whose public names replace theirs of the same name.
MODULES = ("connection", "context", "pool", "queues", "shared_memory", "sharedctypes", "synchronize")
# Who derives from classes of multiprocessing that use private parts, and is to keep them.
BORROWERS = (STANDARD, OURS, "concurrent.futures.process")

_installed = False


def install() -> None:
    """Let ``import multiprocessing`` give procession's names, in this program and its processes.

    Call it before other modules import ``multiprocessing``. What is called later still works, but for classes that a
    module has bound already (``from multiprocessing import Process``): one InstallWarning names these modules.
    Processes of every start method have it too; a program that they run with ``subprocess`` has not.
    A second call does nothing.
    """
    global _installed
    if _installed:
        return
    _installed = True
    late = sorted(_bound_already())
    _replace_contexts()
    _replace_names()
    for name in MODULES:
        module = sys.modules.get(f"{STANDARD}.{name}")
        if module is not None:
            _replace_in(module)
    sys.meta_path.insert(0, _Finder())
    # Our pipes are made of theirs: whoever asked for one first would find them in the middle of their own import.
    importlib.import_module(f"{OURS}.connection")
    prologue.add(f"{__name__}:install")
    if late:
        warnings.warn(
            f"procession.install() came late: {', '.join(late)} had taken classes from multiprocessing before, and "
            f"{'goes' if len(late) == 1 else 'go'} on with those. Call install() before anything else is imported, or run the program by "
            "'python -m procession run --patch'.",
            InstallWarning,
            stacklevel=2,
        )


def _replace_contexts() -> None:
    """Every path to a context of theirs leads to one of ours; the start method chosen so far stays chosen."""
    theirs: Any = stdlib.default_context
    stdlib.concrete_contexts.update(CONCRETE)
    theirs._default_context = CONCRETE[theirs._default_context._name]
    if theirs._actual_context is not None:
        theirs._actual_context = CONCRETE[theirs._actual_context._name]


def _replace_names() -> None:
    package: Any = sys.modules[STANDARD]
    ours = set(package.__all__)
    usual = vars(package).get("__getattr__")
    for name in ours:
        vars(package).pop(name, None)

    def __getattr__(name: str) -> Any:  # noqa: N807 - as PEP 562 has it: each is imported when it is asked for
        if name in ours:
            return vars(package).setdefault(name, getattr(default, name))
        if usual is not None:
            return usual(name)
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")

    package.__getattr__ = __getattr__
    package.__dir__ = lambda: sorted({*vars(package), *ours})


def _replace_in(module: ModuleType) -> None:
    for name, (_, ours) in _replacements(module).items():
        setattr(module, name, ours)


def _replacements(module: ModuleType) -> Mapping[str, tuple[Any, Any]]:
    """Return what is replaced in a module of theirs: name -> (theirs, ours)."""
    mine = importlib.import_module(OURS + module.__name__.removeprefix(STANDARD))
    if mine is module:
        return {}
    names = getattr(mine, "__all__", None) or [name for name in vars(mine) if not name.startswith("_")]
    pairs = {name: (vars(module)[name], getattr(mine, name)) for name in names if name in vars(module)}
    return {name: (theirs, ours) for name, (theirs, ours) in pairs.items() if theirs is not ours}


def _bound_already() -> Iterator[str]:
    """Yield the modules, but for those that shall keep theirs, that hold a class which is about to be replaced."""
    classes: dict[int, Any] = {}
    for name in MODULES:
        module = sys.modules.get(f"{STANDARD}.{name}")
        if module is not None:
            classes.update(
                (id(theirs), theirs) for theirs, _ in _replacements(module).values() if isinstance(theirs, type)
            )
    main = sys.modules.get("__main__")
    for name, module in list(sys.modules.items()):
        if name == "__mp_main__" and module is main:
            continue  # multiprocessing's second name of it
        if any(name == borrower or name.startswith(f"{borrower}.") for borrower in BORROWERS):
            continue
        try:
            values = list(vars(module).values())
        except TypeError:
            continue  # a program may put anything there
        if any(id(value) in classes for value in values):
            yield name


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what others find, and changes modules of theirs once they are loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find it as without us, with a loader that does one thing more."""
        package, _, name = fullname.rpartition(".")
        if package not in {STANDARD, OURS} or name not in MODULES:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)) is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, name)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Loads a module of theirs, or ours of the same name, and lets theirs have our names when both are there."""

    def __init__(self, usual: Any, name: str) -> None:
        self._usual = usual
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)  # its source, its path: whatever else is asked of a loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader does that knows how."""
        module: ModuleType | None = self._usual.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As the loader does that knows how, and then the names."""
        self._usual.exec_module(module)
        theirs, ours = sys.modules.get(f"{STANDARD}.{self._name}"), sys.modules.get(f"{OURS}.{self._name}")
        if theirs is None or (module is theirs and ours is not None and _is_loading(ours)):
            return  # ours needs theirs, and is loaded when it has it
        _replace_in(theirs)


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))
