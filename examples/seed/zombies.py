"""A zombie is a process that has ended and that its parent has not asked about: its line in the kernel's table is left.

In multiprocessing a child that has ended stays one until somebody joins it or looks. Ours has a thread that asks at once
and keeps the answer. A process whose parent ends first is another thing, an orphan: it lives on as somebody else's child.
One of ours is ended then, unless it was started with `orphan="keep"`.
"""

import multiprocessing
import os
import signal
import time

import procession


def state(pid):
    """The letter that `ps` shows; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def has_ended(pid):
    return state(pid) in {"Z", None}


def until(condition, *args):
    while not condition(*args):
        time.sleep(0.01)


def nothing():
    pass


def parent(answers):
    child = procession.Process(target=signal.pause, start_method="fork")
    child.start()
    answers.put(child.pid)
    signal.pause()


if __name__ == "__main__":
    theirs = multiprocessing.get_context("fork").Process(target=nothing)
    theirs.start()
    until(has_ended, theirs.pid)
    time.sleep(0.2)
    print("a child of multiprocessing that has ended, not joined:", state(theirs.pid))
    theirs.join()
    print("joined:", state(theirs.pid))

    ours = procession.Process(target=nothing, start_method="fork")
    ours.start()
    until(lambda: state(ours.pid) is None)
    print("a child of procession that has ended, not joined:", state(ours.pid))
    print("its parent knows all the same:", ours.outcome)

    answers = procession.SimpleQueue()
    middle = procession.Process(target=parent, args=(answers,), start_method="fork")
    middle.start()
    orphan = answers.get()
    os.kill(middle.pid, signal.SIGKILL)
    middle.join()
    until(has_ended, orphan)
    print("a child whose parent was killed: ended too")
