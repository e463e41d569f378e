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


GUARDIAN_WITHOUT_DESCRIPTORS = (
    FILL
    + """
from procession._process.guardian import Guardian, Line
domain = procession.Queue()._domain
guardian = Guardian(domain, 0)
(row,) = domain.slots()
fill()
print(guardian.meet(Line(row)))
"""
)


def test_guardian_without_descriptors_buries_nobody() -> None:
    result = run(GUARDIAN_WITHOUT_DESCRIPTORS)
    assert (result.stdout, result.stderr) == ("True\n", "")


LIMIT_OF_THE_GUARDIAN = (
    FILL
    + """
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 200))
procession.Process(target=int).start()
domain = procession.Queue()._domain
while not domain.guardian()[0]:
    time.sleep(0.001)
print(resource.prlimit(domain.guardian()[0], resource.RLIMIT_NOFILE))
"""
)


def test_guardian_may_have_more_descriptors_than_the_program() -> None:
    result = run(LIMIT_OF_THE_GUARDIAN)
    assert (result.stdout, result.stderr) == ("(200, 200)\n", "")


FORK_BESIDE_A_FULL_TABLE = """
import gc, os, procession, sys
out, queue = procession.SimpleQueue(), procession.SimpleQueue()
domain = out._domain
try:
    while True:
        domain.reserve_slot("", 8)
except procession.DomainFull as error:
    print(error)
reader, writer = os.pipe()
if os.fork() == 0:
    os.read(reader, 1)
    queue.put("to nobody else")
    out.put(queue.qsize())
    os._exit(0)
del queue
others = [procession.SimpleQueue() for _ in range(100)]
os.write(writer, b"!")
print(out.get(), sum(other.qsize() for other in others))
os.wait()
"""


def test_fork_that_the_process_table_has_no_line_for_keeps_its_objects() -> None:
    result = run(FORK_BESIDE_A_FULL_TABLE)
    full = "the process table is full: 1024 processes use this domain already; end some before '' starts"
    assert (result.stdout, result.stderr) == (f"{full}\n1 0\n", "")
