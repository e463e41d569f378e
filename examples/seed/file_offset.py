"""A file that was opened before a fork is open in both processes, and they share its offset.

What the child has read the parent does not read again. A spawned child has none of its parent's open files: it opens the file
by its name, with an offset of its own. (Read without Python's buffer: each process would have its own, and read ahead.)
"""

import os
import tempfile

from procession import Process, SimpleQueue


def read_on(fd, answers):
    answers.put(os.read(fd, 5))


def is_open(fd, path):
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def open_and_read(fd, path, answers):
    answers.put(is_open(fd, path))
    with open(path, "rb", buffering=0) as file:
        answers.put(file.read(5))


def run(method, target, *args):
    child = Process(target=target, args=args, start_method=method)
    child.start()
    child.join()


if __name__ == "__main__":
    answers = SimpleQueue()
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        file.write(b"aaaa\nbbbb\ncccc\n")

        file.seek(0)
        print("fork:")
        print("  the parent reads", os.read(file.fileno(), 5))
        run("fork", read_on, file.fileno(), answers)
        print("  the child reads", answers.get())
        print("  the parent reads", os.read(file.fileno(), 5))

        file.seek(0)
        print("spawn:")
        print("  the parent reads", os.read(file.fileno(), 5))
        run("spawn", open_and_read, file.fileno(), file.name, answers)
        print("  the parent's descriptor is open in the child:", answers.get())
        print("  the child opens the file and reads", answers.get())
        print("  the parent reads", os.read(file.fileno(), 5))
