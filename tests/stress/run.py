"""A run of the torture: rounds, trees that are felled, and a look at what is left behind."""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import procession
from procession._memory.domain import domains
from tests.leaks import Snapshot, snapshot, templates
from tests.stress import broken
from tests.stress.looks import command_of
from tests.stress.mix import choose, parse_mix, show_mix
from tests.stress.rounds import END, Round
from tests.stress.tally import Tally, table
from tests.stress.trees import fell_a_tree, is_guardian

__all__ = ["main", "parse", "torture", "warm_up"]

ROUND = 60  # kills
REPORT_EVERY = 5.0

# ---- a run ---------------------------------------------------------------------------------


def left_behind(before: Snapshot) -> list[str]:
    """Say what the run has left."""
    start_one()  # the descriptor of a guardian that was killed as the last child ended goes at the next start
    end = time.monotonic() + END / 6
    while True:
        gc.collect()
        domain = domains.current()
        domain.sweep()
        used = domain.used()
        left = snapshot().added_since(before)
        left += [f"{used[kind]} bytes of {kind}" for kind in ("payloads", "segments", "reports") if used[kind]]
        helpers = templates()
        left += [f"line {row}" for row in domain.slots() if row[2] and row[0] != domain.slot and row[3] not in helpers]
        left += [f"process {pid} {command_of(pid)}" for pid in strangers()]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def strangers() -> Iterator[int]:
    """Yield the processes that carry this program's mark, or have its memory mapped, but for this one and its helpers."""
    mark = f"PROCESSION_TREE={domains.current().uuid.hex()}:".encode()
    mine = os.stat(domains.current().fd).st_ino
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if pid == os.getpid() or is_guardian(command_of(pid)) or pid in templates():
            continue
        try:
            maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        mapped = any("memfd:procession" in line and line.split()[4] == str(mine) for line in maps.splitlines())
        if mapped or mark in environ:
            yield pid


def nothing() -> None:
    """A child that ends at once."""


def warm_up() -> None:
    """Let there be what a program has once: the domain, the guardian and the pipe to it. Templates are told by name."""
    deadline = time.monotonic() + END
    while not domains.current().guardian()[0] and time.monotonic() < deadline:
        start_one()
        time.sleep(0.02)
    start_one()  # rings the guardian's bell


def start_one() -> None:
    """Start a child, and let it go."""
    process = procession.Process(target=nothing, start_method="fork")
    process.start()
    process.join()
    process.close()


def torture(options: argparse.Namespace) -> Tally:
    """Do a whole run."""
    tally = Tally()
    rng = random.Random(options.seed)
    warm_up()
    before = snapshot()
    started = reported = time.monotonic()
    while (done := tally.kills.total()) < options.kills and not (tally.faults and not options.keep_going):
        Round(options, tally, rng, min(ROUND, options.kills - done)).run()
        if options.trees and not tally.faults:
            fall = fell_a_tree(rng, choose(rng, options.start_methods))
            tally.falls.append(fall)
            tally.kills["root"] += 1
            if fall.left:
                tally.left += len(fall.left)
                tally.fault(f"{fall.killed} were killed, and after {fall.seconds:.1f} s there are {fall.left}")
        if left := left_behind(before):
            tally.left += len(left)
            tally.fault("left behind: " + "; ".join(left))
        if time.monotonic() - reported > REPORT_EVERY:
            reported = time.monotonic()
            print(
                f"{reported - started:6.0f} s  {tally.kills.total()} kills, {tally.items} items, {tally.entries} entries, "
                f"worst gap {tally.gap * 1000:.0f} ms, {tally.in_hand} in hand, {len(tally.faults)} faults",
                flush=True,
            )
    return tally


def parse(text: str | None, arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None, help="random if not given; printed")
    parser.add_argument(
        "--start-methods",
        type=parse_mix,
        default=parse_mix("fork,spawn,forkserver"),
        help="such as fork,spawn=0.5: methods, with their share of the starts",
    )
    parser.add_argument("--stop", action="store_true", help="mix SIGSTOP and SIGCONT in")
    parser.add_argument("--spare-consumers", action="store_true", help="so that nothing at all may be missing")
    parser.add_argument("--no-trees", dest="trees", action="store_false", help="do not kill whole programs")
    parser.add_argument(
        "--queue", choices=["procession", *broken.QUEUES], default="procession", help="one that must fail"
    )
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first fault")
    parser.add_argument("--hold", action="store_true", help="leave everything as it is when stuck, for a debugger")
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 30)
    return options


def main(text: str | None) -> int:
    """Read the command line, of which `text` is the help, and do as it says."""
    options = parse(text)
    words = ["--kills", options.kills, "--seed", options.seed, "--start-methods", show_mix(options.start_methods)]
    words += ["--stop"] * options.stop + ["--no-trees"] * (not options.trees)
    words += ["--spare-consumers"] * options.spare_consumers
    words += ["--queue", options.queue] if options.queue != "procession" else []
    command = f"{sys.executable} tests/stress/torture.py {' '.join(map(str, words))}"
    print(command, flush=True)
    started = time.monotonic()
    tally = torture(options)
    print(table(tally, time.monotonic() - started))
    if tally.faults:
        print(f"\n{len(tally.faults)} fault(s), the first: {tally.faults[0].splitlines()[0]}\nagain: {command}")
        return 1
    print("nothing lost, nothing doubled, nothing stuck, nothing left behind")
    return 0
