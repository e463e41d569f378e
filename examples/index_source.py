"""Count the names in the standard library's sources with processes, and kill them meanwhile if you like.

    lister --jobs--> consumers --counts--> merger --news, result--> this process

The lister names every file. Each consumer takes a file from `jobs`, puts the file's names into `counts`, and only then
says `jobs.task_done()`. The merger adds them up.

What a kill costs: nothing. `jobs` is a JoinableQueue: the file that a killed consumer had in hand is handed out again,
to whoever asks next. So a file may be counted twice, if the kill came between the two steps; the merger takes the
first result of each file. This process only puts a new consumer in the place of a killed one; `jobs.join()` returns
when no file is unfinished.
"""

import argparse
import keyword
import os
import queue
import random
import signal
import sys
import sysconfig
import time
import tokenize
from collections import Counter
from pathlib import Path

import procession as mp

LOOK = 0.2  # seconds without news, after which it looks at the others all the same
CPUS = len(os.sched_getaffinity(0))


def sources(folder):
    """Every .py file of a folder, sorted, without what was installed into it later."""
    later = {"site-packages", "dist-packages"}
    return [str(path) for path in sorted(Path(folder).rglob("*.py")) if not later & set(path.parts)]


def names_in(file):
    """How often each name stands in a file; None if it is no Python (some files of Python's own tests are not)."""
    try:
        with open(file, "rb") as source:
            names = [token.string for token in tokenize.tokenize(source.readline) if token.type == tokenize.NAME]
    except (OSError, SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return None
    return Counter(name for name in names if not keyword.iskeyword(name))


# ---- the other processes ----------------------------------------------------------


def list_files(folder, jobs, listed):
    files = sources(folder)
    jobs.put_many(files)
    listed.put(len(files))


def consume(name, jobs, counts):
    while (job := jobs.get_item()).item is not None:
        counts.put((name, job.item, job.deliveries, names_in(job.item)))
        jobs.task_done()


def merge(counts, news, result):
    total, broken, seen, again = Counter(), 0, set(), 0
    for name, file, deliveries, names in iter(counts.get, None):
        if file not in seen:
            seen.add(file)
            total.update(names or {})
            broken += names is None
            again += deliveries > 1
            news.put(name)
    result.put((total, broken, again))


# ---- this process -----------------------------------------------------------------


class Index:
    """Starts the others, and puts new ones in the place of killed consumers."""

    def __init__(self, folder, kills, seed):
        self.kills, self.random = kills, random.Random(seed)
        self.jobs = mp.JoinableQueue(name="jobs")
        self.counts, self.listed, self.news, self.result = (
            mp.Queue(name=n) for n in ("counts", "listed", "news", "result")
        )
        self.items = Counter()  # process -> how many items it got done
        self.methods = {}  # every process that was started -> how
        self.consumers = []  # those that are alive
        self.lister = self.start("lister", "fork", list_files, folder, self.jobs, self.listed)
        self.merger = self.start("merger", "spawn", merge, self.counts, self.news, self.result)
        for _ in range(max(2, CPUS)):
            self.start_consumer()

    def start(self, name, method, target, *args):
        process = mp.Process(target=target, args=args, name=name, start_method=method, daemon=True)
        # Ctrl-C in a terminal goes to all of them. This one shall hear it, and end the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.methods[process] = method
        return process

    def start_consumer(self):
        name = f"consumer-{len(self.methods) - 1}"  # the lister and the merger came first
        self.consumers.append(self.start(name, "forkserver", consume, name, self.jobs, self.counts))

    def run(self):
        """Return the total of all names, the number of files that are no Python, and that of files counted."""
        self.lister.join()
        if self.lister.exitcode != 0:
            give_up(self.lister)
        files = self.listed.get()
        if not files:
            raise SystemExit("there is no .py file in that folder")
        kill_at = self.random.sample(range(1, files), min(self.kills, files - 1))
        progress, done = Progress(), 0
        while done < files:
            try:
                self.items[self.news.get(timeout=LOOK)] += 1
            except queue.Empty:
                pass
            else:
                done += 1
                if done in kill_at:
                    self.kill_one()
            self.replace_the_killed()
            killed = len(self.methods) - 2 - len(self.consumers)
            progress.show(done, files, f", {killed} killed" if killed else "")
        while not self.jobs.join(timeout=LOOK):
            self.replace_the_killed()  # one may have been killed between its last two steps
        self.jobs.put_many([None] * len(self.consumers))
        for consumer in self.consumers:
            consumer.join()
        self.counts.put(None)
        self.merger.join()  # what it put is in shared memory already: no need to get it first
        if self.merger.exitcode != 0:
            give_up(self.merger)
        total, broken, self.again = self.result.get()
        self.items["lister"] = self.items["merger"] = files
        return total, broken, files

    def kill_one(self):
        victim = self.random.choice(self.consumers)
        victim.kill()
        victim.join()  # dead, so that the next one to be chosen is another

    def replace_the_killed(self):
        if self.merger.exitcode:
            give_up(self.merger)
        for consumer in [consumer for consumer in self.consumers if consumer.outcome]:
            if consumer.outcome.signal is None:  # not killed: the next one would end in the same way
                give_up(consumer)
            self.consumers.remove(consumer)
            self.start_consumer()


def give_up(process):
    raise SystemExit(f"cannot go on without {process.name}, which ended: {process.outcome}")


class Progress:
    """One line, written again and again, on a terminal; elsewhere a new line every three seconds."""

    def __init__(self):
        self.terminal = sys.stdout.isatty()
        self.start = self.last = time.monotonic()

    def show(self, done, total, note=""):
        now = time.monotonic()
        if total and (now - self.last > (0.1 if self.terminal else 3.0) or done == total):
            self.last = now
            text = f"  {done:,} of {total:,} files, {done / (now - self.start):.0f} per second{note}"
            ends = "" if self.terminal and done < total else "\n"
            print(f"\r{text}  " if self.terminal else text, end=ends, flush=True)


def serial(folder):
    """The same without other processes."""
    total, broken, files, progress = Counter(), 0, sources(folder), Progress()
    for done, file in enumerate(files, 1):
        names = names_in(file)
        total.update(names or {})
        broken += names is None
        progress.show(done, len(files))
    return total, broken


def report(index):
    print("process      start       items  running  ready  blocked  ended")
    for process, method in index.methods.items():
        process.join()
        end = process.outcome
        running, ready, blocked = (part / end.elapsed for part in (end.run_time, end.ready_time, end.blocked_time))
        shares = f"{running:>7.0%}  {ready:>5.0%}  {blocked:>7.0%}"
        print(f"{process.name:<12} {method:<10}  {index.items[process.name]:>5}  {shares}  {end}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default=sysconfig.get_path("stdlib"), help="default: Python's own library")
    parser.add_argument("--kill", action="store_true", help="SIGKILL consumers while they work")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how many (default 10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="chooses when and whom (default 1)")
    options = parser.parse_args()

    print(f"Counting the names in {options.folder}")
    print("A lister names the files, consumers take one after the other and count, a merger adds up.")
    if options.kill:
        print(f"{options.kills} times a consumer, chosen at random, gets SIGKILL, and another takes its place.")
    start, start_cpu = time.monotonic(), time.process_time()
    index = Index(options.folder, options.kills if options.kill else 0, options.seed)
    total, broken, files = index.run()
    parallel_time, parallel_cpu = time.monotonic() - start, time.process_time() - start_cpu
    print("\nThe 20 most frequent names:")
    for name, count in total.most_common(20):
        print(f"{count:>9,}  {name}")
    print("\nWhat each did with its time: running on a CPU, ready but without one, blocked until something comes")
    report(index)

    ends = [process.outcome for process in index.methods]
    parallel_cpu += sum(end.user_time + end.system_time for end in ends)
    killed = sum(end.signal == signal.SIGKILL for end in ends)

    print("\nThe same once more, in this process alone, to compare:")
    start, start_cpu = time.monotonic(), time.process_time()
    expected = serial(options.folder)
    serial_time, serial_cpu = time.monotonic() - start, time.process_time() - start_cpu
    print(f"\n{files:,} files ({broken} are no Python), {total.total():,} names, {len(total):,} different")
    print(f"{parallel_time:.1f} s with many processes ({parallel_cpu:.1f} s of CPU), ", end="")
    print(f"{serial_time:.1f} s in one ({serial_cpu:.1f} s of CPU): ", end="")
    print(f"{serial_time / parallel_time:.2f} times as fast, on {CPUS} CPU{'s' * (CPUS > 1)}")
    waited = [consumer.outcome.ready_time / consumer.outcome.elapsed for consumer in index.consumers]
    if max(waited) > 0.2:
        print(
            f"(a consumer was ready, but without a CPU, {max(waited):.0%} of its time: the machine is busy otherwise)"
        )
    equal = (total, broken) == expected
    again = f"{index.again} files were handed out again" if index.again != 1 else "1 file was handed out again"
    print(f"{killed} processes were killed, {again}; " if killed else "", end="")
    print(f"the two results are {'equal, name by name' if equal else 'DIFFERENT'}")
    return 0 if equal else 1


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
        print("\ninterrupted", file=sys.stderr)
    except BrokenPipeError:  # whoever read our output has gone
        code = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
