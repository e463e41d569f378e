"""What the kernel and the process table tell of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["GUARDIAN", "CpuTimes", "children_of", "command_of", "cpu_times", "look_at", "state_of", "templates_of"]

GUARDIAN = 4  # flag of its line in the process table


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def state_of(pid: int) -> str:
    """R running or ready, S asleep, T stopped, Z dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


class CpuTimes(NamedTuple):
    """Seconds of a process's main thread."""

    ran: float
    ready: float  # it could have run, and had no CPU


def cpu_times(pid: int) -> CpuTimes:
    """Zeros if it has ended, or the kernel does not count them."""
    try:
        ran, ready, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return CpuTimes(0.0, 0.0)
    return CpuTimes(int(ran) / 1e9, int(ready) / 1e9)


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def look_at(pid: int) -> str:
    """Say what the kernel tells of a process: state, where it sleeps, which call."""
    found = []
    for name in ("wchan", "syscall"):
        try:
            found.append(Path(f"/proc/{pid}/{name}").read_text(errors="replace").strip())
        except OSError as error:
            found.append(str(error))
    return " ".join(found)


def templates_of(domain: Any) -> list[int]:
    """Return the processes that fork children of method forkserver, for us or for one that we started."""
    return [pid for _, _, state, pid, *_, name in domain.slots() if state and pid and name == "template"]
