"""Fifty processes take from a stock of ten, and all of them succeed: each has a `d` of its own.

The Lock does not help, though each process has one: it orders who may use the stock, and there are fifty stocks. (There are
fifty Locks as well: each is made by its own process object.) `python stock.py fork` shows that a forked child, whose `d`
stands at the same address as its parent's, has its own as well. What to do instead is in media.py.
"""

import sys

from procession import Lock, Process, set_start_method

d = {"count": 10}  # below "if __name__ == '__main__'" a spawned child would not have it: see missing_name.py


class StockProcess(Process):
    filename = "stock"

    def __init__(self):
        super().__init__()
        self.mutex = Lock()

    def run(self):
        self.last_count()
        with self.mutex:
            print(self.pid, d, id(d))  # another one in each process
            self.get_stock()

    def last_count(self):
        print(d)
        print("%s surplus of stock" % d["count"])
        return d["count"]

    def get_stock(self):
        if d["count"] > 0:
            d["count"] -= 1
            print("%s get stock successful" % self.pid)


if __name__ == "__main__":
    set_start_method(sys.argv[1] if len(sys.argv) > 1 else "spawn")
    for i in range(50):
        s = StockProcess()
        s.start()
