"""The private corners of ``multiprocessing`` that processes touch, each with its reason.

Our Process *is* a ``multiprocessing.process.BaseProcess``, so that ``current_process()``,
``active_children()``, ``logging`` and the clean-up at exit know it, and what that class calls is what
stands here. Pickling's corners are in ``_base/stdlib.py``.
"""

import atexit
import os
import sys
from multiprocessing import context, process, spawn, util

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

__all__ = [
    "BaseProcess",
    "RunAtExit",
    "at_exit",
    "environment",
    "flush_streams",
    "interpreter",
    "interpreter_flags",
    "is_frozen",
    "preload_names",
    "preparation_data",
    "prepare_template",
    "run_received",
    "run_spawned",
    "set_spawning_popen",
    "start_method",
    "template_data",
    "tracker_descriptor",
    "use_tracker",
    "variables",
]

BaseProcess = process.BaseProcess

# Buffered output would be written twice after a fork.
flush_streams: "Callable[[], None]" = util._flush_std_streams  # type: ignore[attr-defined]

# Objects of everybody ask it, while they are pickled, for whom.
set_spawning_popen: "Callable[[Any], None]" = context.set_spawning_popen

# sys.path, argv, working directory, main module: what makes a new interpreter a child.
preparation_data: "Callable[[str], dict[str, Any]]" = spawn.get_preparation_data
# The child's half: takes that data and the Process from a pipe, and runs it.
run_spawned: "Callable[[int, int], int]" = spawn._main
# -W, -X, -O and the like: a child runs under the same.
interpreter_flags: "Callable[[], list[str]]" = util._args_from_interpreter_flags  # type: ignore[attr-defined]


def run_received(stream: "IO[bytes]", sentinel: int) -> int:
    """Do the same with data that has come by another way than a pipe of its own."""
    process.current_process()._inheriting = True  # type: ignore[attr-defined]
    try:
        spawn.prepare(spawn.reduction.pickle.load(stream))  # type: ignore[attr-defined]
        mine = spawn.reduction.pickle.load(stream)  # type: ignore[attr-defined]
    finally:
        del process.current_process()._inheriting  # type: ignore[attr-defined]
    return int(mine._bootstrap(sentinel))


# What a template is brought to once. The rest belongs to single children, the working directory as well: another one may
# have its name by now.
TEMPLATE_KEYS = ("sys_path", "sys_argv", "dir", "orig_dir", "start_method", "authkey")
OF_EACH_CHILD = ("dir",)
MAIN_KEYS = ("init_main_from_name", "init_main_from_path")


def template_data() -> "dict[str, Any]":
    """Return that of the preparation data which concerns a template."""
    data = plain_preparation_data("")
    return {key: data[key] for key in TEMPLATE_KEYS + MAIN_KEYS if key in data}


def plain_preparation_data(name: str) -> "dict[str, Any]":
    """Return the same as `preparation_data`, but that any pickler takes it, and that what is in it stays as it is."""
    data = preparation_data(name)
    return data | {"authkey": bytes(data["authkey"]), "sys_argv": data["sys_argv"][:]}


def has_by_then(data: "dict[str, Any]", *, main: bool) -> "dict[str, Any]":
    """Return what of `data` every child of a template has, if the template was prepared by it."""
    keys = (*TEMPLATE_KEYS, *MAIN_KEYS) if main else TEMPLATE_KEYS
    return {"log_to_stderr": False} | {key: data[key] for key in keys if key in data and key not in OF_EACH_CHILD}


def prepare_template(data: "dict[str, Any]", *, main: bool) -> None:
    """Take over the owner's paths, or run its main module as ``__mp_main__``, which may start no process then."""
    process.current_process()._inheriting = True  # type: ignore[attr-defined]
    try:
        spawn.prepare({key: data[key] for key in (MAIN_KEYS if main else TEMPLATE_KEYS) if key in data})
    finally:
        del process.current_process()._inheriting  # type: ignore[attr-defined]


def preload_names() -> list[str]:
    """Return what ``multiprocessing.set_forkserver_preload`` named; the main module if it was never called."""
    forkserver = sys.modules.get("multiprocessing.forkserver")
    return list(forkserver._forkserver._preload_modules) if forkserver else ["__main__"]


def environment() -> dict[bytes, bytes]:
    """Return a copy of this process's environment. By way of ``os.environb`` it takes ten times as long."""
    return dict(os.environ._data)  # type: ignore[attr-defined]


def variables() -> "dict[bytes, bytes] | None":
    """Return the dict in which ``os.environ`` keeps this process's; None if a program has put something else in its place."""
    data = getattr(os.environ, "_data", None)
    return data if type(data) is dict else None


def interpreter() -> str:
    """Return the interpreter that children run, which ``set_executable`` may have chosen; "": there is none."""
    return os.fsdecode(spawn.get_executable() or "")


def is_frozen() -> bool:
    """Is the program packed with its interpreter, so that running that runs the program?"""
    return bool(getattr(sys, "frozen", False))


def start_method() -> str:
    """Return the start method that the program has chosen, or the default."""
    chosen = context._default_context.get_start_method(allow_none=False)
    return str(chosen)


def tracker_descriptor() -> int | None:
    """Return the resource tracker's descriptor, if this program may have tracked resources.

    Nothing of ours needs it; a segment of ``multiprocessing.shared_memory`` that a child makes must
    outlive that child, and does so if both share one tracker.
    """
    from multiprocessing import resource_tracker  # noqa: PLC0415 - most children need it not

    tracker = resource_tracker._resource_tracker
    if "multiprocessing.shared_memory" in sys.modules:
        tracker.ensure_running()
    return tracker._fd  # type: ignore[attr-defined, no-any-return]


def use_tracker(fd: int) -> None:
    """In a child: use the parent's resource tracker."""
    from multiprocessing import resource_tracker  # noqa: PLC0415 - the same

    resource_tracker._resource_tracker._fd = fd  # type: ignore[attr-defined]


class RunAtExit:
    """Functions at the end of a forked child: none before 3.13, then those that it registered."""

    honoured = sys.version_info >= (3, 13)

    def begin(self) -> None:
        """Forget the parent's; keep the clean-up of ``multiprocessing``."""
        if self.honoured:
            atexit._clear()
            atexit.register(util._exit_function)  # type: ignore[attr-defined]

    def end(self) -> None:
        """Run what the child registered."""
        if self.honoured:
            atexit._run_exitfuncs()


def at_exit(function: "Callable[[], object]") -> "Callable[[], object]":
    """Call it before this process ends its daemonic children; return what takes that back. A fork does not inherit it."""
    return util.Finalize(None, function, exitpriority=15).cancel
