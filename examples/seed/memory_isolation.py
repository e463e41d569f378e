"""What a process changes in its memory no other process sees, though both have it at the same address.

An address is one of a process: the same number names other memory in each. The kernel lets a forked child share its
parent's pages until one of the two writes, and then gives the writer a page of its own.
"""

import os

from procession import Process, SimpleQueue

stock = ["full"]


def empty(answers):
    before = id(stock), stock[0]
    stock[0] = "empty"
    answers.put((before, (id(stock), stock[0]), os.getpid()))


def say(who, address, content):
    print(f"{who}: {'the same address' if address == id(stock) else 'another address'}, {content}")


if __name__ == "__main__":
    for method in ("fork", "spawn"):
        answers = SimpleQueue()
        child = Process(target=empty, args=(answers,), start_method=method)
        child.start()
        before, after, pid = answers.get()
        child.join()
        assert pid == child.pid != os.getpid()
        print(f"{method}:")
        if method == "fork":
            say("  the child before its change", *before)
            say("  the child after its change ", *after)
        else:
            print("  the child made its own:", before[1], "->", after[1])
        print("  the parent:", stock[0])
