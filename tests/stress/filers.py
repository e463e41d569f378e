"""Those who share a dictionary: they count in it, write pages into it and read them, and take tokens out of it.

Each counts for itself and with all others, and tells its line before and after: so the sums in the dictionary can be judged.
A page tells its own number at both ends, and its text follows from it. A token is made once, and may be taken once.
"""

from __future__ import annotations

import os
import random
from typing import Any

import procession
from tests.stress.arrays import Broken, expected
from tests.stress.ledger import ITEMS, Ledger
from tests.stress.pace import NICENESS, nap

__all__ = ["file", "judge_files", "make_files"]

PAGES = 40
SLOTS = 10
LENGTHS = (8, 100, 1000, 15_000, 40_000)


def make_files() -> Any:
    """A dictionary with another one in it, which is in itself."""
    files = procession.SharedDict[Any, Any]()
    scratch = procession.SharedDict[Any, Any]()
    scratch["me"] = scratch
    files["scratch"] = scratch
    return files


def make_page(rng: random.Random, number: int) -> tuple[Any, ...]:
    text = expected(number, rng.choice(LENGTHS))
    things: list[Any] = [None, 1.5, procession.Lock(), [procession.Lock()] * 2] if rng.random() < 0.1 else [None]
    return number, text, rng.choice(things), number


def check_page(number: int, page: Any) -> None:
    """Broken if this is not one of the pages that were written there, whole."""
    first, text, thing, last = page
    if (first, last) != (number, number) or text != expected(number, len(text)):
        raise Broken(f"torn: page {number} begins {first}, ends {last}, and has {len(text)} bytes {text[:16].hex()}")
    if isinstance(thing, procession.Lock) and not thing.acquire(timeout=10):
        raise Broken(f"torn: the lock {thing!r} of page {number} is not one of this page")
    if isinstance(thing, procession.Lock):
        thing.release()


def scribble(rng: random.Random, scratch: Any) -> None:
    """Whatever else a dict can do."""
    key = rng.randrange(200)
    how = rng.randrange(8)
    if how < 3:
        scratch[key] = [key, "x" * rng.randrange(300), scratch][: rng.randrange(1, 4)]
    elif how == 3:
        scratch.pop(key, None)
    elif how == 4:
        keys = list(scratch)
        if len(set(keys)) != len(keys):
            raise Broken(f"doubled: {scratch!r} gave a key twice: {keys}")
    elif how == 5 and rng.random() < 0.2:
        scratch.clear()
        scratch["me"] = scratch
    elif how == 6:
        for key, value in scratch.items():
            if key != "me" and value[0] != key:
                raise Broken(f"torn: {scratch!r} has {value!r:.50} for {key}")
    else:
        scratch.compare_and_set(key, [key], [key, "seen"])


def file(ledger: Ledger, number: int, files: Any, seed: int) -> None:
    """Use it until it is told to finish."""
    rng = random.Random(seed)
    line = ledger.line(number)
    scratch = files["scratch"]
    done = made = 0
    os.nice(NICENESS)
    line.began = 1
    while not ledger.finishing:
        line.beats += 1
        how = rng.random()
        page = rng.randrange(PAGES)
        if how < 0.4:
            line.attempting = done + 1
            files.add(("of", number), 1)
            files.add("all", rng.choice((1, 1.0)))
            done += 1
            line.committed = done
        elif how < 0.55:
            files["page", page] = make_page(rng, page)
        elif how < 0.7:
            if (found := files.get(("page", page))) is not None:
                check_page(page, found)
        elif how < 0.75:
            files.pop(("page", page), None)
        elif how < 0.85:
            slot = ("slot", rng.randrange(SLOTS))
            if rng.random() < 0.5 and made < ITEMS:
                files.setdefault(slot, number * ITEMS + made)
                made += 1
            elif (token := files.pop(slot, None)) is not None:
                ledger.deliver(token)
                line.received += 1
        else:
            scribble(rng, scratch)
        nap(rng, 0.1)


def judge_files(ledger: Ledger, files: Any, lines: list[int]) -> None:
    """When all of them are gone: Broken if a count is missing or was made up, a token came twice, or a page is torn."""
    least = most = 0
    for number in lines:
        line = ledger.line(number)
        least += line.committed
        most += max(line.attempting, line.committed)
        counted = files.get(("of", number), 0)
        if not line.committed <= counted <= max(line.attempting, line.committed):
            raise Broken(f"lost: line {number} counted to {line.committed} of {line.attempting}, the dict to {counted}")
        if twice := ledger.delivered_twice(number):
            raise Broken(f"doubled: {twice} tokens of line {number} were taken twice")
    if not least <= files.get("all", 0) <= most:
        raise Broken(f"lost: all counted to {least} of {most}, the dict to {files['all']}")
    items = files.copy()
    for key, value in items.items():
        if key[0] == "page":
            check_page(key[1], value)
    if not len(files) == len(items) == len(list(files)) == files.statistics().items:
        raise Broken(f"doubled: {files!r} has {len(items)} items")
