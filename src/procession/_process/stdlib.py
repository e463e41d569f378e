"""The private corners of ``multiprocessing`` that processes touch, each with its reason.

Our Process *is* a ``multiprocessing.process.BaseProcess``, so that ``current_process()``,
``active_children()``, ``logging`` and the clean-up at exit know it, and what that class calls is what
stands here. Pickling's corners are in ``_base/stdlib.py``.
"""

import atexit
import os
import sys
from collections.abc import Callable
from multiprocessing import context, process, resource_tracker, spawn, util
from typing import Any

__all__ = [
    "BaseProcess",
    "RunAtExit",
    "flush_streams",
    "interpreter",
    "interpreter_flags",
    "is_frozen",
    "preparation_data",
    "run_spawned",
    "set_spawning_popen",
    "start_method",
    "tracker_descriptor",
    "use_tracker",
]

BaseProcess = process.BaseProcess

# Buffered output would be written twice after a fork.
flush_streams: Callable[[], None] = util._flush_std_streams  # type: ignore[attr-defined]

# Objects of everybody ask it, while they are pickled, for whom.
set_spawning_popen: Callable[[Any], None] = context.set_spawning_popen

# sys.path, argv, working directory, main module: what makes a new interpreter a child.
preparation_data: Callable[[str], dict[str, Any]] = spawn.get_preparation_data
# The child's half: takes that data and the Process from a pipe, and runs it.
run_spawned: Callable[[int, int], int] = spawn._main
# -W, -X, -O and the like: a child runs under the same.
interpreter_flags: Callable[[], list[str]] = util._args_from_interpreter_flags  # type: ignore[attr-defined]


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
    tracker = resource_tracker._resource_tracker
    if "multiprocessing.shared_memory" in sys.modules:
        tracker.ensure_running()
    return tracker._fd  # type: ignore[attr-defined, no-any-return]


def use_tracker(fd: int) -> None:
    """In a child: use the parent's resource tracker."""
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
