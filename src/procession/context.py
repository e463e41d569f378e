"""Contexts, as ``multiprocessing.context`` names them, and its exceptions."""

from multiprocessing.context import AuthenticationError as AuthenticationError
from multiprocessing.context import BaseContext as BaseContext
from multiprocessing.context import BufferTooShort as BufferTooShort
from multiprocessing.context import ProcessError as ProcessError
from multiprocessing.context import TimeoutError as TimeoutError  # noqa: A004 - its name there
from multiprocessing.context import assert_spawning as assert_spawning
from multiprocessing.context import get_spawning_popen as get_spawning_popen
from multiprocessing.context import set_spawning_popen as set_spawning_popen

from procession._compat.contexts import Context as Context
from procession._compat.contexts import DefaultContext as DefaultContext
from procession._compat.contexts import ForkContext as ForkContext
from procession._compat.contexts import ForkServerContext as ForkServerContext
from procession._compat.contexts import SpawnContext as SpawnContext
from procession._compat.processes import ForkProcess as ForkProcess
from procession._compat.processes import ForkServerProcess as ForkServerProcess
from procession._compat.processes import SpawnProcess as SpawnProcess
from procession._process.process import Process as Process
