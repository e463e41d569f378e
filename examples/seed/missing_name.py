"""A spawned child does not get a copy of its parent's memory: what the parent defined as the main program is not there.

The child imports this file anew, under another name than `__main__`, so `a` is never assigned. It ends with NameError and
exit code 1. (Started by fork it prints 1.)
"""

import os

from procession import Process


def func():
    print(a, "来自于 %s" % os.getpid())


if __name__ == "__main__":
    print("主进程%s开始" % os.getpid(), flush=True)

    a = 1

    func()

    p = Process(target=func, start_method="spawn")
    p.start()
    p.join()
    print(p.exitcode, repr(p.outcome.exception))
