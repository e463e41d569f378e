"""At the end of the main process its daemons are ended, and only then are the other children waited for.

The worker, no daemon, is there until it has seen the daemon end, though the main process had nothing more to do.
"""

import os
import signal
import time

from procession import Process


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def serve():
    signal.pause()


def work(daemon):
    print("worker: the daemon is there:", is_there(daemon), flush=True)
    os.kill(os.getppid(), signal.SIGUSR1)  # the main process may come to its end
    while is_there(daemon):
        time.sleep(0.01)
    print("worker: the daemon was ended, and I am still at work", flush=True)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    daemon = Process(target=serve, daemon=True)
    daemon.start()
    worker = Process(target=work, args=(daemon.pid,))
    worker.start()
    signal.sigwait([signal.SIGUSR1])
    print("main: my last line", flush=True)
