"""Where descriptors run out: an error for who asked, and nobody is taken for dead."""

from __future__ import annotations

from tests.lifecycle.tools import run

# Fills the table of descriptors up to the limit, but for `spare`.
FILL = """
import os, resource, signal, sys, time, procession
def fill(spare=0):
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        for fd in taken[len(taken) - spare:]:
            os.close(fd)
"""

HELD_BY_ONE_THAT_LIVES = (
    FILL
    + """
def hold(lock, held):
    lock.acquire()
    held.put(1)
    signal.pause()
lock, held = procession.Lock(), procession.SimpleQueue()
holder = procession.Process(target=hold, args=(lock, held), name="holder", start_method="fork")
holder.start()
held.get()
fill()
lock._domain.sweep()
print(lock.acquire(timeout=0.7), [line[2] for line in lock._domain.slots() if line[8] == "holder"])
holder.kill()
holder.join()
"""
)


def test_nobody_is_dead_because_it_cannot_be_looked_at() -> None:
    result = run(HELD_BY_ONE_THAT_LIVES)
    assert (result.stdout, result.stderr) == ("False [2]\n", "")
