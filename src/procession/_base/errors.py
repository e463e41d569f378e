"""Every exception of the library.

Each is also what the standard library raises in the same place, so that old
handlers go on working::

    Exception
     +-- RuntimeError
     |    +-- OwnerDied          the last owner of a Mutex died holding it
     |    +-- NotOwner           released by somebody who does not hold it
     |    +-- LayoutMismatch     the other side is another version, or in another pid namespace
     |    +-- NotShared          pickled where no process can receive it
     |    +-- NotRedeliverable   why an item of a JoinableQueue is a dead letter
     |    +-- RemoteError        what a child raised and could not send as it was
     |    +-- concurrent.futures.process.BrokenProcessPool
     |         +-- WorkerDied     the worker that had a task in hand ended before it was done
     +-- ValueError
     |    +-- StaleHandle        the object of a handle has been freed
     +-- MemoryError
     |    +-- DomainFull         a limit of the domain's memory or process table
     +-- LookupError
     |    +-- Ambiguous          several programs or objects have the name that attach() was given
     |    +-- KeyError
     |         +-- NotFound      no program or object has it
     +-- RemoteTraceback         the cause of a child's exception: its traceback, as text
     +-- ShutDown                the queue was ended (is queue.ShutDown from 3.13 on)
    Warning
     +-- RuntimeWarning
          +-- OwnerDiedWarning   as OwnerDied, for a Mutex without on_owner_death
          +-- InstallWarning     install() was called after modules had bound what it replaces
          +-- ForkWarning        a process with several threads starts another one by fork

``queue.Empty`` and ``queue.Full`` are the standard library's own.
"""

import queue
import sys
from typing import TYPE_CHECKING

from procession._base.public import public

if TYPE_CHECKING:
    from procession._base.died import WorkerDied as WorkerDied

__all__ = [
    "Ambiguous",
    "DomainFull",
    "ForkWarning",
    "InstallWarning",
    "LayoutMismatch",
    "NotFound",
    "NotOwner",
    "NotRedeliverable",
    "NotShared",
    "OwnerDied",
    "OwnerDiedWarning",
    "RemoteError",
    "RemoteTraceback",
    "ShutDown",
    "StaleHandle",
    "WorkerDied",
]


class OwnerDied(RuntimeError):
    """The process that held a Mutex died before it released it.

    ``name`` is the Mutex's. What the lock protects may be half changed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the last owner of Mutex '{name}' died holding it; what it protects may be half "
            "changed. Check it, or give the Mutex on_owner_death=repair."
        )
        self.name = name

    def __reduce__(self) -> tuple[type["OwnerDied"], tuple[str], dict[str, object]]:
        return type(self), (self.name,), self.__dict__


class OwnerDiedWarning(RuntimeWarning):
    """As OwnerDied, for a Mutex that was given no ``on_owner_death``."""


class ForkWarning(RuntimeWarning):
    """A process forks while it has other threads, whose locks may stay locked in the child; once in a process."""


class InstallWarning(RuntimeWarning):
    """``install()`` was called when modules had classes of ``multiprocessing`` already; the text names these modules."""


class NotOwner(RuntimeError):
    """A Mutex was released by a thread that does not hold it."""


class LayoutMismatch(RuntimeError):
    """The other side uses another layout version or lives in another pid namespace."""


class NotFound(KeyError):
    """No running program, or no object of it, has the name that ``attach()`` was given; the text names those there are."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would put quotation marks around it


class Ambiguous(LookupError):
    """Several running programs, or several objects of one, have the name that ``attach()`` was given."""


class NotShared(RuntimeError):
    """An object of a domain was pickled where no other process can take it over."""


class NotRedeliverable(RuntimeError):
    """Why an item of a JoinableQueue is not given to another consumer: it can be unpickled once only, or its
    consumers died too often.
    """


class RemoteError(RuntimeError):
    """A child raised an exception that does not pickle; ``type_name`` and the text are what is left of it."""

    def __init__(self, text: str, type_name: str = "Exception") -> None:
        super().__init__(text)
        self.type_name = type_name


class RemoteTraceback(Exception):
    """The ``__cause__`` of a child's exception: the traceback as the child saw it, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def tb(self) -> str:
        """The same, by the name that ``multiprocessing.pool`` has for it."""
        return self.text

    def __str__(self) -> str:
        return f"\n\n{self.text}"


class StaleHandle(ValueError):
    """The object that a handle names has been freed, because nobody held it any more."""


class DomainFull(MemoryError):
    """A limit of the domain was reached; the text names the limit. Nothing was put."""


if TYPE_CHECKING or sys.version_info < (3, 13):

    class ShutDown(Exception):  # the name of the standard library's 3.13
        """The queue was ended with ``shutdown()``."""

else:
    ShutDown = queue.ShutDown


for _name in __all__:
    if _name in globals() and globals()[_name].__module__ == __name__:
        public(globals()[_name])


def __getattr__(name: str) -> object:
    if name == "WorkerDied":  # what it derives from takes longer to import than all the rest
        from procession._base import died  # noqa: PLC0415

        globals()[name] = died.WorkerDied
        return died.WorkerDied
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
