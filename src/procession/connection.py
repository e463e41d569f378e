"""The drop-in for ``multiprocessing.connection``.

``Connection`` and ``Pipe`` are ours, and stay inside one program. ``Listener`` and ``Client`` reach any program, by sockets,
and are the standard library's: their connections are its own.
"""

from multiprocessing.connection import Client as Client
from multiprocessing.connection import Listener as Listener
from multiprocessing.connection import wait as wait

from procession._channels.pipe import Connection as Connection
from procession._channels.pipe import Pipe as Pipe

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]
