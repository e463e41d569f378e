"""What stateful objects tell about themselves: named tuples."""

from typing import NamedTuple

__all__ = ["LockStatistics", "QueueStatistics"]


class LockStatistics(NamedTuple):
    """A lock at one instant."""

    name: str
    owner_pid: int | None  # None: free
    owner_name: str | None  # of the process, if it was given one
    waiters: int  # threads asleep on it
    recoveries: int  # how often an owner died holding it
    depth: int  # times that the owner holds it (an RLock counts above 1)


class QueueStatistics(NamedTuple):
    """A queue at one instant."""

    name: str
    items: int
    bytes: int  # of waiting items, as stored
    maxsize: int  # 0: unbounded
    max_bytes: int  # 0: unbounded
    waiting: int  # threads asleep in put or get
    shut_down: bool
    closed: bool  # by this process
