"""How many CPUs this process may use: the machine's, less what affinity and control groups take away."""

import os
from collections.abc import Iterator

__all__ = ["cpu_count", "quota"]

GROUPS = "/sys/fs/cgroup"


def cpu_count() -> int:
    """Return the number of CPUs that this process can keep busy, 1 or more.

    ``multiprocessing``'s counts those of the machine. This one leaves out those that the process may not run on
    (sched_getaffinity(2)), and those for which the bandwidth of its control groups, the outer ones too, does not
    suffice (``cpu.max``, cgroups(7)); a part of a CPU counts as a whole one.
    """
    allowed = len(os.sched_getaffinity(0))
    limit = quota()
    return allowed if limit is None else max(1, min(allowed, limit))


def quota(groups: str = GROUPS, of: str = "/proc/self/cgroup") -> int | None:
    """Return the CPUs that the control groups of a process grant it, rounded up; None: no limit.

    `groups`: where the hierarchies are mounted; `of`: the list of the groups that it is in (cgroups(7)).
    """
    limits = [limit for folder in _folders(groups, of) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _folders(groups: str, of: str) -> Iterator[str]:
    """Yield the folder of each group that may bound the process, from the outermost one on."""
    for line in _text(of).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue  # version 1, a hierarchy of something else
        # Inside a container the path may be the host's, and the mount the container's own: then the root is it.
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for root in {
            groups,
            os.path.join(groups, controllers),
            os.path.join(groups, "cpu" if controllers else "unified"),
        }:
            for depth in range(len(parts) + 1):
                yield os.path.join(root, *parts[:depth])


def _limit(folder: str) -> int | None:
    """Return what the group in this folder grants: version 2 says it in one file, version 1 in two."""
    allowance, _, period = _text(os.path.join(folder, "cpu.max")).partition(" ")
    if not period:
        allowance = _text(os.path.join(folder, "cpu.cfs_quota_us"))
        period = _text(os.path.join(folder, "cpu.cfs_period_us"))
    try:
        share, whole = int(allowance), int(period)
    except ValueError:
        return None  # "max", or no such file
    return -(-share // whole) if share > 0 and whole > 0 else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except OSError:
        return ""  # not mounted, not ours to read, or gone meanwhile
