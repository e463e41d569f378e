"""The drop-in for ``multiprocessing.connection``.

``Connection``, ``Pipe`` and ``wait`` are ours; a pipe stays inside one program. ``Listener`` and ``Client`` reach any program, by sockets,
and are the standard library's: their connections are its own.
"""

from multiprocessing.connection import Client as Client
from multiprocessing.connection import Listener as Listener

from procession._channels.pipe import Connection as Connection
from procession._channels.pipe import Pipe as Pipe
from procession._channels.wait import wait as wait

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]
