"""What a start by a template cannot do without.

A process forks children that do less than those of a forkserver, and returns their pids. It sends and receives nothing, and
nobody is told of anything. Each step does what the one before does, and more.
"""

import ctypes
import functools
import io
import os
import signal
from collections.abc import Callable
from multiprocessing import context, process, reduction, spawn

__all__ = ["FLOORS"]

STACK_BYTES = 64 << 10


class Empty(process.BaseProcess):
    """A Process of multiprocessing's that needs no start()."""

    _start_method = None


def kernel() -> Callable[[], int]:
    """clone(2) by way of the C library; the child calls _exit at once, without a line of Python or a handler of a fork."""
    libc = ctypes.CDLL(None)
    stack = ctypes.create_string_buffer(STACK_BYTES)
    leave = ctypes.cast(libc._exit, ctypes.c_void_p)

    def make() -> int:
        top = ctypes.c_void_p((ctypes.addressof(stack) + STACK_BYTES) & ~15)
        return int(libc.clone(leave, top, int(signal.SIGCHLD), None))

    return make


def forked(child: Callable[[], int]) -> int:
    """os.fork, with all that Python and its modules do around it, and os._exit."""
    pid = os.fork()
    if pid == 0:
        os._exit(child())
    return pid


def hooks() -> Callable[[], int]:
    """A child that ends at once."""
    return functools.partial(forked, lambda: 0)


def bootstrap() -> Callable[[], int]:
    """A child that is a Process with nothing to do."""
    return lambda: forked(Empty(target=int)._bootstrap)  # type: ignore[attr-defined]


def pickles() -> Callable[[], int]:
    """A child that is told so, and by what it is prepared, in two pickles, as a forkserver's child is."""
    data = io.BytesIO()
    context.set_spawning_popen(data)  # or the authentication key, which is among it, refuses to be pickled
    reduction.dump(spawn.get_preparation_data("Empty-1"), data)
    reduction.dump(Empty(target=int), data)
    context.set_spawning_popen(None)
    told = data.getvalue()

    def child() -> int:
        with io.BytesIO(told) as stream:
            process.current_process()._inheriting = True  # type: ignore[attr-defined]
            spawn.prepare(reduction.pickle.load(stream))  # type: ignore[attr-defined]
            mine = reduction.pickle.load(stream)  # type: ignore[attr-defined]
            del process.current_process()._inheriting  # type: ignore[attr-defined]
        return int(mine._bootstrap())

    return lambda: forked(child)


FLOORS: dict[str, Callable[[], Callable[[], int]]] = {
    "clone, _exit": kernel,
    "os.fork, os._exit": hooks,
    "os.fork, _bootstrap": bootstrap,
    "os.fork, pickles, _bootstrap": pickles,
}
