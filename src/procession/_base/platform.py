"""What this machine offers, what is missing, and what that costs."""

import os
from typing import NamedTuple

from procession import _core

__all__ = ["Missing", "Report", "doctor"]

_COSTS = {
    "robust_list": (
        "the kernel does not tell who died holding a lock (get_robust_list refused)",
        "a lock of a killed owner comes back after up to 50 ms instead of at once",
    ),
    "waitv": (
        "no sleep on two words (futex_waitv refused: Linux before 5.16, or a seccomp filter)",
        "after an ill-timed kill a sleeper may notice up to 50 ms late",
    ),
    "pending_wake": (
        "the kernel does not wake for a thread that dies between a change and its wake",
        "after such a kill a sleeper may notice up to 50 ms late",
    ),
    "siblings": (
        "no process can make children for another one (clone with CLONE_PARENT, and glibc's place for a thread's id)",
        "start_method='forkserver' starts a new interpreter each time, as 'spawn' does",
    ),
}


class Missing(NamedTuple):
    """One optional ability that this system lacks."""

    feature: str
    what: str
    cost: str


class Report(NamedTuple):
    """What :func:`doctor` found."""

    kernel: str
    cpus: int  # that this process may use
    missing: tuple[Missing, ...]

    def __str__(self) -> str:
        head = f"procession on Linux {self.kernel}, {self.cpus} CPU{'s' if self.cpus > 1 else ''}: "
        if not self.missing:
            return head + "all there."
        lines = [head + f"{len(self.missing)} of {len(_COSTS)} optional abilities missing."]
        for item in self.missing:
            lines.append(f"  {item.feature}: {item.what}")
            lines.append(f"    cost: {item.cost}; nothing is lost or left hanging")
        return "\n".join(lines)


def check_disabled() -> None:
    """Raise ValueError if ``PROCESSION_DISABLE`` names what the core would not understand, and so not switch off."""
    for name in filter(None, os.environ.get("PROCESSION_DISABLE", "").split(",")):
        if name not in _COSTS:
            raise ValueError(f"PROCESSION_DISABLE names {name!r}; known are {', '.join(_COSTS)}")


def doctor() -> Report:
    """Say which optional abilities of the kernel are missing here, and what each costs.

    >>> import procession
    >>> report = procession.doctor()
    >>> print(report)  # doctest: +SKIP
    procession on Linux 6.18.44, 2 CPUs: all there.
    """
    check_disabled()
    found = _core.features()
    missing = tuple(Missing(name, *_COSTS[name]) for name in _COSTS if not found[name])  # type: ignore[literal-required]
    return Report(os.uname().release, found["cpus"], missing)
