"""Whose code the suite runs: a name that is borrowed from the standard library counts as not tested.

``watch()`` looks at each call of a Python function, in the suite and in its children, and writes down which top-level
names of the package ``multiprocessing`` ran, and whether anything of ours did. It writes into the journal, a file that all
append to: ``test NAME`` when a test begins, and then ``name NAME`` once in each process. What C code does leaves no line.
"""

import importlib.util
import inspect
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

__all__ = ["JOURNAL", "LOOK", "MAY_BE", "MAY_NOT_BE", "Borrowed", "begin", "last_test", "read", "standing", "watch"]

JOURNAL = "PROCESSION_CONFORMANCE_JOURNAL"  # the variable that names the file
LOOK = "PROCESSION_CONFORMANCE_LOOK"  # the variable that is set if children are to be watched, too
STANDARD = os.path.dirname(multiprocessing.__file__) + os.sep
_ours = importlib.util.find_spec("procession")
OURS = os.path.dirname(str(_ours.origin)) + os.sep if _ours else os.sep + os.devnull
NAMES_ONLY = {OURS + os.path.join("_compat", name) for name in ("standin.py", "lazy.py")}  # not a deed

# What may be borrowed: a manager's side, and the internals of authenticated connections. A module, or a name in it.
MAY_BE = {
    "managers": "Manager",
    "connection.Listener": "authenticated connections",
    "connection.Client": "authenticated connections",
    "connection.SocketListener": "authenticated connections",
    "connection.SocketClient": "authenticated connections",
    "connection.answer_challenge": "authenticated connections",
    "connection.deliver_challenge": "authenticated connections",
    "connection._create_response": "authenticated connections",
    "connection._verify_challenge": "authenticated connections",
    "connection._get_digest_name_and_payload": "authenticated connections",
    "connection.address_type": "authenticated connections",
    "connection.arbitrary_address": "authenticated connections",
    "connection._validate_family": "authenticated connections",
    "connection._ConnectionBase": "what a Listener and a Client give",
    "connection.Connection": "what a Listener and a Client give",
    "connection.ConnectionWrapper": "Manager's serializer='xmlrpclib'",
    "connection.XmlClient": "Manager's serializer='xmlrpclib'",
    "connection.XmlListener": "Manager's serializer='xmlrpclib'",
    "connection._xml_dumps": "Manager's serializer='xmlrpclib'",
    "connection._xml_loads": "Manager's serializer='xmlrpclib'",
    "process.AuthenticationString": "authenticated connections: the key that children inherit",
}

# What is borrowed all the same, and why. The run fails for a name that is on neither list.
MAY_NOT_BE = {
    "dummy": "the very module: threads under the names of processes",
    "process": "the very module: BaseProcess is the base of ours, and both libraries have one list of children",
    "util": "the very module: finalizers, what runs after a fork, the logger, the temporary folder",
    "context": "BaseContext is the base of our contexts, and the default is written down there for both libraries",
    "reduction": "the very module: one register of picklers for both libraries; the suite sends descriptors by it",
    "spawn": "what a new interpreter is told of its parent, and which interpreter that is",
    "forkserver": "set_forkserver_preload keeps its list there; util._cleanup_tests stops its server, which does not run",
    "heap": "the suite calls it itself; nothing of ours uses it",
    "resource_tracker": "the suite calls it itself, and so do the heap and util._cleanup_tests",
    "resource_sharer": "the suite calls it itself, to send a socket",
    "connection": "how a Connection of the standard library is sent",
    "queues": "what a class that derives from a queue of multiprocessing's is made of",
    "sharedctypes": "the properties of ctypes, made when the module is imported",
}


class Borrowed(NamedTuple):
    """What a run borrowed."""

    names: dict[str, set[str]]  # name -> tests in which it ran
    nothing_of_ours: list[str]  # tests in which no Python function of ours ran, in no process


def standing(name: str) -> tuple[bool | None, str]:
    """Return whether a name may be borrowed, and why it is; None if nobody has said so."""
    module = name.partition(".")[0]
    for allowed, table in ((True, MAY_BE), (False, MAY_NOT_BE)):
        for key in (name, module):
            if key in table:
                return allowed, table[key]
    return None, "on no list"


def read(journal: Path, tests: Iterable[str]) -> Borrowed:
    """Return what the journal says of these tests."""
    names: dict[str, set[str]] = {}
    ours: set[str] = set()
    test = ""
    for line in journal.read_text().splitlines():
        kind, _, name = line.partition(" ")
        if kind == "test":
            test = name
        elif name == "ours":
            ours.add(test)
        elif test:
            names.setdefault(name, set()).add(test)
    return Borrowed(dict(sorted(names.items())), sorted(set(tests) - ours))


def last_test(journal: Path) -> str:
    """Return the test that runs, or behind which the suite stands."""
    begun = ["", "", *(line.partition(" ")[2] for line in journal.read_text().splitlines() if line.startswith("test "))]
    return begun[-1] or f"(behind {begun[-2] or 'nothing'})"


_sides: dict[str, str | None] = {}  # file -> "pool." of the standard library, "" of ours, None of all others
_seen: set[tuple[str, str]] = set()
# The suite's own process writes when a test has ended: to write in the middle lets another thread run, and one test of the
# suite (of ThreadPool.terminate) then waits for five minutes. Its children write at once: many are killed.
_holder = 0
_held: list[str] = []


def begin(test: str) -> None:
    """Say that a test begins; "": that one has ended, and what is between them belongs to none."""
    global _holder
    _holder = os.getpid()
    _write("".join(_held) + f"test {test}\n")
    _held.clear()
    _seen.clear()


def watch() -> None:
    """Watch this process from now on, and what is forked from it."""
    threading.settrace(_call)
    sys.settrace(_call)


def _call(frame: FrameType, event: str, argument: Any) -> None:
    """For each call of a function: returns None, so nothing is traced inside of it."""
    code = frame.f_code
    try:
        side = _sides[code.co_filename]
    except KeyError:
        side = _sides[code.co_filename] = _side(code)
    if side is None or not code.co_flags & inspect.CO_OPTIMIZED:
        return  # the latter is the body of a class, or of a module
    name = code.co_qualname.partition(".")[0] if side else ""
    if (side, name) in _seen or name.startswith("<"):
        return
    _seen.add((side, name))
    line = f"name {side + name or 'ours'}\n"
    if os.getpid() == _holder:
        _held.append(line)
    else:
        _write(line)


def _side(code: CodeType) -> str | None:
    file = code.co_filename
    if file.startswith(STANDARD):
        module = file.removeprefix(STANDARD).removesuffix(".py").replace(os.sep, ".").removesuffix(".__init__")
        return f"{module}."
    return "" if file.startswith(OURS) and file not in NAMES_ONLY else None


def _write(lines: str) -> None:
    # Opened each time: some tests count descriptors, others close them all.
    fd = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, lines.encode())
    finally:
        os.close(fd)
