"""Processes, locks and queues that survive the death of anyone who uses them."""

import sys as _sys

if _sys.platform != "linux":
    import platform as _platform

    raise ImportError(
        f"procession needs Linux (this is {_platform.system()}). To run there with what the "
        "standard library gives:\n"
        "    try: import procession as mp\n"
        "    except ImportError: import multiprocessing as mp"
    )

__version__ = "0.1.0"

# Where the public names live; __init__.pyi has them one by one. Each is imported when it is first asked for: a child that
# spawn starts needs few of them, and importing all of them would take it as long as starting its interpreter.
_HOMES = {
    "multiprocessing.context": (
        "AuthenticationError",
        "BufferTooShort",
        "ProcessError",
        "TimeoutError",
    ),
    "multiprocessing.process": (
        "active_children",
        "current_process",
        "parent_process",
    ),
    "multiprocessing.util": (
        "SUBDEBUG",
        "SUBWARNING",
    ),
    "procession._base.errors": (
        "Ambiguous",
        "DomainFull",
        "ForkWarning",
        "InstallWarning",
        "LayoutMismatch",
        "NotFound",
        "NotOwner",
        "NotRedeliverable",
        "NotShared",
        "OwnerDied",
        "OwnerDiedWarning",
        "RemoteError",
        "RemoteTraceback",
        "ShutDown",
        "StaleHandle",
        "WorkerDied",
    ),
    "procession._base.platform": ("doctor",),
    "procession._channels.joinable": ("JoinableQueue",),
    "procession._channels.pipe": ("Pipe",),
    "procession._channels.priority": ("PriorityQueue",),
    "procession._channels.queue": (
        "Queue",
        "SimpleQueue",
    ),
    "procession._channels.wait": ("wait",),
    "procession._compat.names": (
        "Manager",
        "Pool",
        "allow_connection_pickling",
        "cpu_count",
        "freeze_support",
        "get_all_start_methods",
        "get_context",
        "get_logger",
        "get_start_method",
        "log_to_stderr",
        "reducer",
        "set_executable",
        "set_forkserver_preload",
        "set_start_method",
    ),
    "procession._compat.patch": ("install",),
    "procession._process.attach": ("attach",),
    "procession._process.outcome": ("Outcome",),
    "procession._process.programs": ("publish",),
    "procession._process.start": ("Process",),
    "procession._shared.array": ("shared_array",),
    "procession._shared.atomic": ("Atomic",),
    "procession._shared.broadcast": (
        "Broadcast",
        "broadcast",
    ),
    "procession._shared.mapping": ("SharedDict",),
    "procession._shared.value": (
        "Array",
        "RawArray",
        "RawValue",
        "Value",
    ),
    "procession._sync.barrier": ("Barrier",),
    "procession._sync.condition": ("Condition",),
    "procession._sync.doorbell": ("Doorbell",),
    "procession._sync.event": ("Event",),
    "procession._sync.filelock": ("FileLock",),
    "procession._sync.locks": (
        "Lock",
        "Mutex",
        "RLock",
    ),
    "procession._sync.semaphore": (
        "BoundedSemaphore",
        "Semaphore",
    ),
}
# Public modules; but for aio, named as those of multiprocessing are: the names that they share with it are ours or listed as
# borrowed.
_MODULES = (
    "aio",
    "connection",
    "context",
    "dummy",
    "managers",
    "pool",
    "process",
    "queues",
    "reduction",
    "shared_memory",
    "sharedctypes",
    "synchronize",
    "util",
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "errors"])  # noqa: PLE0605 - it is a list


def __getattr__(name: str) -> object:
    import importlib  # noqa: PLC0415 - it would be a name of the package

    if name == "errors":
        value: object = importlib.import_module("procession._base.errors")
    elif name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
