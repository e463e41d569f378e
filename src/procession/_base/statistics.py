"""What stateful objects tell about themselves: named tuples."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BarrierStatistics",
    "ConditionStatistics",
    "ConnectionStatistics",
    "DictStatistics",
    "EventStatistics",
    "Holder",
    "Left",
    "LockStatistics",
    "QueueStatistics",
    "SemaphoreStatistics",
]


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
    # of a JoinableQueue
    unfinished: int = 0  # put, and not done: join() waits for them
    leased: int = 0  # of these: taken and not done, `left` included
    left: tuple[Left, ...] = ()  # of these: their consumer ended with exit code 0
    dead_letters: int = 0  # not unfinished any more


class Left(NamedTuple):
    """An item whose consumer ended cleanly and never called ``task_done()``: it stays unfinished."""

    id: int  # the ordinal of its put: 0, 1, 2 ...
    deliveries: int
    process: str  # the name of its last consumer, if it was given one
    pid: int


class EventStatistics(NamedTuple):
    """An event at one instant."""

    name: str
    is_set: bool
    sets: int  # how often it became set, modulo 2**32
    waiting: int  # threads asleep in wait


class ConditionStatistics(NamedTuple):
    """A condition at one instant. Of its lock: ``LockStatistics``."""

    name: str
    waiting: int  # threads in wait that nobody has notified
    notified: int  # threads in wait that were notified and do not have the lock yet


class BarrierStatistics(NamedTuple):
    """A barrier at one instant."""

    name: str
    parties: int
    waiting: int  # how many of them are there; 0 if it is broken
    broken: bool
    rounds: int  # how many have ended, passed or reset, modulo 2**32
    reason: str | None  # why it is broken, and by whom


class ConnectionStatistics(NamedTuple):
    """One end of a pipe at one instant."""

    name: str
    incoming: int  # messages that wait to be received here
    incoming_bytes: int  # of these, as stored
    outgoing: int  # messages sent from here that were not received yet
    outgoing_bytes: int
    max_bytes: int  # in each direction
    waiting: int  # threads asleep at either end
    peer_ended: bool  # nobody is left at the other end


class DictStatistics(NamedTuple):
    """A SharedDict at one instant."""

    name: str
    items: int
    bytes: int  # that the items take in the table; large values stand beside it
    table_bytes: int  # of the table, in which there is room for more
    rebuilds: int  # how often it got another table: grown, shrunk or cleared of what was overwritten
    waiting: int  # threads asleep for its lock
    recoveries: int  # how often somebody died inside of a call
    busy_pid: int | None  # who is inside of one call for long: it is stopped, or the machine is busy


class SemaphoreStatistics(NamedTuple):
    """A semaphore at one instant."""

    name: str
    value: int  # permits that are free
    permits: int  # free or taken: the most that were ever free at once
    holders: tuple[Holder, ...]  # who took what nobody gave back
    left: int  # taken, and nobody's: left by processes that ended with exit code 0, or whose death returns none
    waiters: int  # threads asleep in acquire
    recoveries: int  # how often a process died while it changed the semaphore
    on_death: str  # "release" or "keep"


class Holder(NamedTuple):
    """A process that has permits of a semaphore."""

    pid: int
    name: str  # if it was given one
    permits: int
