"""Where descriptors run out: an error for who asked, and nobody is taken for dead."""

from __future__ import annotations

from tests.lifecycle.tools import run

# Takes all descriptors that the limit lets it.
FILL = """
import multiprocessing, os, resource, signal, time, procession
def fill():
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
    except OSError:
        pass
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


NO_DESCRIPTOR_FOR_THE_CHILD = (
    FILL
    + """
def nothing(): pass
domain = procession.Queue()._domain
for _ in range(2):  # the second one finds the guardian, and its doorbell is open then
    procession.Process(target=nothing, start_method="fork").start()
    while multiprocessing.active_children() or len(domain.slots()) > 1 or not domain.guardian()[0]:
        time.sleep(0.001)
while len(os.listdir("/proc/self/task")) > 1:  # the janitor, which has a descriptor
    time.sleep(0.001)
fill()
try:
    procession.Process(target=signal.pause, start_method="fork").start()
except OSError as error:
    print(error.strerror)
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError as error:
    print(error.strerror)
print(len(domain.slots()))
"""
)


def test_child_that_cannot_be_watched_is_an_error_and_leaves_nothing() -> None:
    result = run(NO_DESCRIPTOR_FOR_THE_CHILD)
    assert (result.stdout, result.stderr) == ("Too many open files\nNo child processes\n1\n", "")
