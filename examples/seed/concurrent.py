"""Producer and consumer at the same time: one puts into a queue, the other takes out of it.

The consumer is a daemon, and that is what lets this program end. It takes for ever: when the producer is done nothing more
comes, and it sleeps in `get()`. A main process waits at its end for each child that is no daemon, so without `daemon=True`
it would wait for a consumer that waits for an item that nobody will put: for ever, with no error. As a daemon the consumer
is ended with the main process. Nothing is lost by that, since the producer has waited in `q.join()` until each item was done.
"""

from procession import JoinableQueue, Process


def producer(q):
    for i in range(10):
        q.put(i)
    q.join()


def customer(q):
    while True:
        res = q.get()
        print(res, flush=True)  # it is ended by a signal, which flushes nothing
        q.task_done()


if __name__ == "__main__":
    q = JoinableQueue(10)
    p = Process(target=producer, args=(q,))
    c = Process(target=customer, args=(q,), daemon=True)
    p.start()
    c.start()
    p.join()
    print("这是主进程")
