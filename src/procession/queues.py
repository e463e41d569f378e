"""The classes of queues, as ``multiprocessing.queues`` names them."""

from queue import Empty as Empty
from queue import Full as Full
from typing import TYPE_CHECKING, Any

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

if TYPE_CHECKING:
    from procession._channels.joinable import JoinableQueue as JoinableQueue
    from procession._channels.queue import Queue as Queue
    from procession._channels.queue import SimpleQueue as SimpleQueue
else:
    from multiprocessing import queues as theirs

    from procession._channels import joinable, queue
    from procession._compat.standin import stand_in

    JoinableQueue = stand_in(joinable.JoinableQueue, theirs.JoinableQueue, base=theirs.JoinableQueue)
    Queue = stand_in(queue.Queue, theirs.Queue, base=theirs.Queue)
    SimpleQueue = stand_in(queue.SimpleQueue, theirs.SimpleQueue, base=theirs.SimpleQueue)


def their_simple_queue(context: Any) -> Any:
    """Return a simple queue of the standard library, with locks of ours: what its Pool needs."""
    kind: Any = SimpleQueue
    return kind._theirs(ctx=context)
