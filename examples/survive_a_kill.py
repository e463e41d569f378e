"""Kill a consumer while it waits in get(): the others go on."""

import os
import signal

import procession as mp


def work(jobs, done):
    while (n := jobs.get()) is not None:
        done.put(n * n)


if __name__ == "__main__":
    jobs, done = mp.Queue(name="jobs"), mp.Queue(name="done")
    team = [mp.Process(target=work, args=(jobs, done), name=f"worker-{i}") for i in range(3)]
    for process in team:
        process.start()
    os.kill(team[0].pid, signal.SIGKILL)  # with multiprocessing, the others may now wait for ever
    jobs.put_many([*range(6), None, None])
    print(sorted(done.get() for _ in range(6)))
    for process in team:
        process.join()
        print(process.name, process.outcome)
