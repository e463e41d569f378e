"""The four ways in which a process ends, and how each looks in `Process.outcome`.

By itself; by an error; by a severe error (syntax that is none, an illegal instruction); killed by another process.
"""

import ctypes
import mmap
import os
import platform
import runpy
import signal
import subprocess
import sys

from procession import Process

NO_INSTRUCTION = {"x86_64": b"\x0f\x0b", "aarch64": b"\0\0\0\0"}  # ud2, udf #0


def normal():
    """It comes to its end."""


def chosen():
    """It says itself that something went wrong."""
    sys.exit(2)


def no_file():
    """What `python3 a.py` does where there is no a.py, as a call."""
    runpy.run_path("no-such-folder/a.py")


def syntax():
    exec("def f(:")


def illegal_instruction():
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(NO_INSTRUCTION[platform.machine()])
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def wait():
    signal.pause()


def quiet(target):
    """Run it with no traceback on the terminal: the parent is told anyway."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    target()


def show(title, target, end=None):
    child = Process(target=quiet, args=(target,), start_method="fork")
    child.start()
    if end:
        end(child)
    child.join()
    print(f"{title:<32} {child.outcome.kind:<9}  exitcode {child.exitcode}  {child.outcome}")


if __name__ == "__main__":
    show("normal", normal)
    show("error: sys.exit(2)", chosen)
    show("error: a.py does not exist", no_file)
    show("severe: not Python", syntax)
    if platform.machine() in NO_INSTRUCTION:
        show("severe: illegal instruction", illegal_instruction)
    show("killed: kill -9 PID", wait, lambda child: subprocess.run(["kill", "-9", str(child.pid)], check=True))
    show("killed: Process.kill()", wait, lambda child: child.kill())
