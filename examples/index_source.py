"""Count the names in the standard library's sources with processes, and kill them meanwhile if you like.

    lister --jobs--> consumers --counts--> merger       three queues; each word is a process
                         |                    |
                         +--"took"-- news --"done"--> this process

The lister names every file. Each consumer takes a file from `jobs`, says in the news that it took it, and puts the
file's names into `counts`. The merger adds them up and says in the news which file is done.

What a kill costs: the file that the consumer had in hand, nothing else. So this process remembers which files are
not done. When no more news comes, it hands out again those that no living consumer took. A file that was handed
out twice does no harm: the merger counts the first result of each file.

    index_source.py [folder] [--kill] [--kills 10] [--seed 1] [--consumers 2]
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

QUIET = 0.2  # seconds without news, after which it looks for files that were lost


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


def list_files(folder, jobs, news):
    files = sources(folder)
    news.put(("listed", "lister", files))
    jobs.put_many(files)


def consume(name, jobs, counts, news):
    for file in iter(jobs.get, None):
        news.put(("took", name, file))
        counts.put((name, file, names_in(file)))


def merge(counts, news):
    total, broken, seen = Counter(), 0, set()
    for name, file, names in iter(counts.get, None):
        if file not in seen:
            seen.add(file)
            total.update(names or {})
            broken += names is None
            news.put(("done", name, file))
    news.put(("total", "merger", (total, broken)))


# ---- this process -----------------------------------------------------------------


class Index:
    """Starts the others, puts new ones in the place of killed ones, and knows which files are not done."""

    def __init__(self, folder, consumers):
        self.folder, self.wanted = folder, consumers
        self.jobs, self.counts, self.news = mp.Queue(name="jobs"), mp.Queue(name="counts"), mp.Queue(name="news")
        self.everybody = []  # (process, start method), the ended ones too
        self.consumers = []  # those that are alive
        self.took = {}  # consumer -> the last file that it took
        self.missing = set()  # files that are not done
        self.items = Counter()  # process -> items that it got done

    def start(self, name, start_method, target, *args):
        process = mp.Process(target=target, args=args, name=name, daemon=True, start_method=start_method)
        # Ctrl-C in a terminal goes to all of them. This one shall hear it, and end the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        process.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.everybody.append((process, start_method))
        return process

    def start_consumer(self):
        number = len(self.everybody) - 1  # the lister and the merger came first
        name, method = f"consumer-{number}", ("spawn", "fork")[number % 2]
        self.consumers.append(self.start(name, method, consume, name, self.jobs, self.counts, self.news))

    def run(self, kills, rng):
        """Return the total of all names, and the number of files that are no Python."""
        self.lister = self.start("lister", "fork", list_files, self.folder, self.jobs, self.news)
        self.merger = self.start("merger", "spawn", merge, self.counts, self.news)
        for _ in range(self.wanted):
            self.start_consumer()
        files = self.hear("listed", self.lister)
        self.missing.update(files)
        self.items["lister"] = self.items["merger"] = len(files)
        kill_at = set(rng.sample(range(1, len(files)), min(kills, len(files) - 1)))
        progress = Progress(len(files))
        while self.missing:
            try:
                what, name, file = self.news.get(timeout=QUIET)
            except queue.Empty:
                self.hand_out_again()
            else:
                if what == "took":
                    self.took[name] = file
                else:
                    self.missing.remove(file)
                    self.items[name] += 1
                    if len(self.missing) in kill_at:
                        rng.choice(self.consumers).kill()
            self.replace_the_killed()
            progress.show(len(files) - len(self.missing))
        progress.end()
        self.jobs.put_many([None] * len(self.consumers))
        for consumer in self.consumers:
            consumer.join()
        self.counts.put(None)
        total = self.hear("total", self.merger)
        for process, _ in self.everybody:
            process.join()
        return total

    def hear(self, wanted, process):
        """Wait for one kind of news, as long as the process lives that is to give it."""
        while True:
            alive = process.is_alive()
            try:
                what, _, value = self.news.get(timeout=QUIET)
            except queue.Empty:
                if not alive:
                    give_up(process)
            else:
                if what == wanted:
                    return value

    def replace_the_killed(self):
        for consumer in [process for process in self.consumers if process.outcome]:
            if consumer.outcome.signal is None:  # not killed: the next one would end in the same way
                give_up(consumer)
            self.consumers.remove(consumer)
            self.start_consumer()

    def hand_out_again(self):
        if not self.merger.is_alive():
            give_up(self.merger)
        if self.jobs.empty() and self.counts.empty():
            in_hand = {self.took.get(consumer.name) for consumer in self.consumers}
            self.jobs.put_many(sorted(self.missing - in_hand))

    def report(self):
        print("process      start  items  running  ready  blocked  ended")
        for process, method in self.everybody:
            end = process.outcome
            running, ready, blocked = (t / end.elapsed for t in (end.run_time, end.ready_time, end.blocked_time))
            shares = f"{running:>7.0%}  {ready:>5.0%}  {blocked:>7.0%}"
            print(f"{process.name:<12} {method:<5}  {self.items[process.name]:>5}  {shares}  {end}")


def give_up(process):
    raise SystemExit(f"cannot go on without {process.name}, which ended: {process.outcome}")


class Progress:
    """A line on a terminal that is written again and again; elsewhere a new line every two seconds."""

    def __init__(self, total):
        self.total, self.start = total, time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.pause = 0.1 if self.terminal else 2.0
        self.next = self.start + self.pause

    def show(self, done):
        now = time.monotonic()
        if now >= self.next:
            self.next = now + self.pause
            line = f"  {done} of {self.total} files, {done / (now - self.start):.0f} per second"
            print(f"\r{line}  " if self.terminal else line, end="" if self.terminal else "\n", flush=True)

    def end(self):
        if self.terminal:
            print("\r" + " " * 60, end="\r")


def serial(folder):
    """The same without any process."""
    files = sources(folder)
    total, broken, progress = Counter(), 0, Progress(len(files))
    for done, file in enumerate(files):
        names = names_in(file)
        total.update(names or {})
        broken += names is None
        progress.show(done)
    progress.end()
    return total, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default=sysconfig.get_path("stdlib"), help="default: Python's own library")
    parser.add_argument("--kill", action="store_true", help="SIGKILL consumers while they work")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how many (default 10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="when, and which (default 1)")
    parser.add_argument("--consumers", type=int, default=max(2, len(os.sched_getaffinity(0))), metavar="N")
    options = parser.parse_args()
    kills = options.kills if options.kill else 0
    print(f"Counting the names in {options.folder}: a lister, {options.consumers} consumers and a merger at work.")
    if kills:
        print(f"Meanwhile {kills} consumers, chosen at random, get a SIGKILL. Each is replaced.")
    start = time.monotonic()
    index = Index(options.folder, options.consumers)
    total, broken = index.run(kills, random.Random(options.seed))
    parallel_time = time.monotonic() - start
    print("The 20 most frequent:")
    for name, count in total.most_common(20):
        print(f"{count:>8}  {name}")
    index.report()

    print("The same once more in this process alone, to compare:")
    start = time.monotonic()
    serial_result = serial(options.folder)
    serial_time = time.monotonic() - start
    print(
        f"{index.items['lister']} files, {broken} of them no Python; {total.total()} names, {len(total)} different ones."
    )
    print(
        f"{parallel_time:.1f} s with processes, {serial_time:.1f} s without: "
        f"{serial_time / parallel_time:.2f} times as fast, with {len(os.sched_getaffinity(0))} CPUs."
    )
    waited = [process.outcome.ready_time / process.outcome.elapsed for process in index.consumers]
    if sum(waited) / len(waited) > 0.2:
        print(
            f"(The consumers waited for a CPU {sum(waited) / len(waited):.0%} of the time: others keep this machine busy.)"
        )
    if serial_result != (total, broken):
        print("The two results DIFFER.")
        return 1
    killed = sum(process.outcome.signal == signal.SIGKILL for process, _ in index.everybody)
    print(f"The two results are equal, {f'in spite of {killed} kills' if kills else 'name by name'}.")
    return 0


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
