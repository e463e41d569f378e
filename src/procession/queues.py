"""The classes of queues, as ``multiprocessing.queues`` names them."""

from queue import Empty as Empty
from queue import Full as Full
from typing import TYPE_CHECKING

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

if TYPE_CHECKING:
    from procession._channels.joinable import JoinableQueue as JoinableQueue
    from procession._channels.queue import Queue as Queue
    from procession._channels.queue import SimpleQueue as SimpleQueue
else:
    from multiprocessing import queues as theirs

    from procession._channels import joinable, queue
    from procession._compat.standin import stand_in
    from procession._sync import semaphore

    # Bases for classes that programs derive: theirs, with semaphores that count what is in their pipe. So a death gives no
    # permit back: what a killed process had put is still there, and what it had done is done.

    class _TheirQueue(theirs.Queue):
        def __init__(self, maxsize=0, *, ctx):
            super().__init__(maxsize, ctx=ctx)
            self._sem = semaphore.BoundedSemaphore(self._maxsize, on_death="keep")

    class _TheirJoinableQueue(theirs.JoinableQueue):
        def __init__(self, maxsize=0, *, ctx):
            super().__init__(maxsize, ctx=ctx)
            self._sem = semaphore.BoundedSemaphore(self._maxsize, on_death="keep")
            self._unfinished_tasks = semaphore.Semaphore(0, on_death="keep")

    JoinableQueue = stand_in(joinable.JoinableQueue, theirs.JoinableQueue, base=_TheirJoinableQueue)
    Queue = stand_in(queue.Queue, theirs.Queue, base=_TheirQueue)
    SimpleQueue = stand_in(queue.SimpleQueue, theirs.SimpleQueue, base=theirs.SimpleQueue)
