"""What ``multiprocessing.connection`` has: ``wait`` is ours, ``Listener`` and ``Client`` are the standard library's."""

from multiprocessing.connection import Client as Client
from multiprocessing.connection import Connection as Connection
from multiprocessing.connection import Listener as Listener
from multiprocessing.connection import Pipe as Pipe
from multiprocessing.connection import answer_challenge as answer_challenge
from multiprocessing.connection import deliver_challenge as deliver_challenge

from procession._channels.wait import wait as wait

__all__ = ["Client", "Listener", "Pipe", "wait"]
