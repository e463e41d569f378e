"""Small integers are one object each, and a forked child has them where its parent has them.

The child starts as a copy of its parent's memory, so the addresses, which `id()` shows, are the same in both. It is a copy
all the same: see memory_isolation.py.
"""

import os

from procession import Process


def f(a):
    print(a, os.getpid(), id(a), flush=True)


if __name__ == "__main__":
    a = 50
    print(a, os.getpid(), id(a), flush=True)

    p = Process(target=f, args=(a,), start_method="fork")
    p.start()
    p.join()
