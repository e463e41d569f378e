# The public names, for type checkers. When the program runs, __init__.py imports each when it is first asked for.
from multiprocessing.context import AuthenticationError as AuthenticationError
from multiprocessing.context import BufferTooShort as BufferTooShort
from multiprocessing.context import ProcessError as ProcessError
from multiprocessing.context import TimeoutError as TimeoutError  # noqa: A004 - its name there
from multiprocessing.process import active_children as active_children
from multiprocessing.process import current_process as current_process
from multiprocessing.process import parent_process as parent_process
from multiprocessing.util import SUBDEBUG as SUBDEBUG
from multiprocessing.util import SUBWARNING as SUBWARNING

from procession._base import errors as errors
from procession._base.errors import Ambiguous as Ambiguous
from procession._base.errors import DomainFull as DomainFull
from procession._base.errors import ForkWarning as ForkWarning
from procession._base.errors import InstallWarning as InstallWarning
from procession._base.errors import LayoutMismatch as LayoutMismatch
from procession._base.errors import NotFound as NotFound
from procession._base.errors import NotOwner as NotOwner
from procession._base.errors import NotRedeliverable as NotRedeliverable
from procession._base.errors import NotShared as NotShared
from procession._base.errors import OwnerDied as OwnerDied
from procession._base.errors import OwnerDiedWarning as OwnerDiedWarning
from procession._base.errors import RemoteError as RemoteError
from procession._base.errors import RemoteTraceback as RemoteTraceback
from procession._base.errors import ShutDown as ShutDown
from procession._base.errors import StaleHandle as StaleHandle
from procession._base.errors import WorkerDied as WorkerDied
from procession._base.platform import doctor as doctor
from procession._channels.joinable import JoinableQueue as JoinableQueue
from procession._channels.pipe import Pipe as Pipe
from procession._channels.priority import PriorityQueue as PriorityQueue
from procession._channels.queue import Queue as Queue
from procession._channels.queue import SimpleQueue as SimpleQueue
from procession._channels.wait import wait as wait
from procession._compat.names import Manager as Manager
from procession._compat.names import Pool as Pool
from procession._compat.names import allow_connection_pickling as allow_connection_pickling
from procession._compat.names import cpu_count as cpu_count
from procession._compat.names import freeze_support as freeze_support
from procession._compat.names import get_all_start_methods as get_all_start_methods
from procession._compat.names import get_context as get_context
from procession._compat.names import get_logger as get_logger
from procession._compat.names import get_start_method as get_start_method
from procession._compat.names import log_to_stderr as log_to_stderr
from procession._compat.names import reducer as reducer
from procession._compat.names import set_executable as set_executable
from procession._compat.names import set_forkserver_preload as set_forkserver_preload
from procession._compat.names import set_start_method as set_start_method
from procession._compat.patch import install as install
from procession._process.attach import attach as attach
from procession._process.outcome import Outcome as Outcome
from procession._process.programs import publish as publish
from procession._process.start import Process as Process
from procession._shared.array import shared_array as shared_array
from procession._shared.atomic import Atomic as Atomic
from procession._shared.broadcast import Broadcast as Broadcast
from procession._shared.broadcast import broadcast as broadcast
from procession._shared.mapping import SharedDict as SharedDict
from procession._shared.value import Array as Array
from procession._shared.value import RawArray as RawArray
from procession._shared.value import RawValue as RawValue
from procession._shared.value import Value as Value
from procession._sync.barrier import Barrier as Barrier
from procession._sync.condition import Condition as Condition
from procession._sync.doorbell import Doorbell as Doorbell
from procession._sync.event import Event as Event
from procession._sync.filelock import FileLock as FileLock
from procession._sync.locks import Lock as Lock
from procession._sync.locks import Mutex as Mutex
from procession._sync.locks import RLock as RLock
from procession._sync.semaphore import BoundedSemaphore as BoundedSemaphore
from procession._sync.semaphore import Semaphore as Semaphore

__version__: str

__all__ = [
    "Ambiguous",
    "Array",
    "Atomic",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "Broadcast",
    "BufferTooShort",
    "Condition",
    "DomainFull",
    "Doorbell",
    "Event",
    "FileLock",
    "ForkWarning",
    "InstallWarning",
    "JoinableQueue",
    "LayoutMismatch",
    "Lock",
    "Manager",
    "Mutex",
    "NotFound",
    "NotOwner",
    "NotRedeliverable",
    "NotShared",
    "Outcome",
    "OwnerDied",
    "OwnerDiedWarning",
    "Pipe",
    "Pool",
    "PriorityQueue",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "RemoteError",
    "RemoteTraceback",
    "SUBDEBUG",
    "SUBWARNING",
    "Semaphore",
    "SharedDict",
    "ShutDown",
    "SimpleQueue",
    "StaleHandle",
    "TimeoutError",
    "Value",
    "WorkerDied",
    "active_children",
    "allow_connection_pickling",
    "attach",
    "broadcast",
    "cpu_count",
    "current_process",
    "doctor",
    "errors",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "install",
    "log_to_stderr",
    "parent_process",
    "publish",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "shared_array",
    "wait",
]
