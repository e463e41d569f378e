"""The dictionary of core/dict_table.c, step by step: set, remove, clear, the rebuild and the sweep of what it leaves.

Processes work through a script of calls, any of them killed anywhere; a sweeper clears up after the dead. The lock is one word here
(`lock.py` holds what happens in it): free, held, or free and marked. Beside the shared words stands `truth`, what the
dictionary must have: it changes in the step that commits, and in no other.

Held against: whenever the lock is free, rows and index say what `truth` says, in its order, with no value torn; the sum of the
items is right unless the lock is marked; no block is freed that is in use, or twice; at the end none is left over.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.models._engine import Model, Process, Run, World, main

ROWS = 3
LOG = 3
INDEX = 4  # one more than rows and stale slots may fill
HOME = {"a": 0, "b": 0, "c": 1}  # of a key in the index: a and b collide

Call = tuple[str, str, int]  # what, key, value


class Entry(NamedTuple):
    """In the log; a value is written in two steps."""

    key: str = ""
    first: int = 0
    second: int = 0


class Table(NamedTuple):
    """What stands in a block."""

    floor: int = 0
    rows: tuple[int, ...] = (0,) * ROWS  # place in the log + 1
    rows_used: int = 0
    log: tuple[Entry, ...] = (Entry(),) * LOG
    log_used: int = 0
    slots: tuple[int, ...] = (0,) * INDEX  # the index: row + 1
    items: int = 0

    def live(self) -> list[tuple[int, Entry]]:
        """The rows that count, and their entries."""
        rows = range(self.floor, self.rows_used)
        return [(row, self.log[self.rows[row] - 1]) for row in rows if self.rows[row]]


class Block(NamedTuple):
    used: bool = False
    owner: int = 0  # process + 1


@dataclass(slots=True)
class Worker(Process):
    """A process and its registers; the sweeper too."""

    script: tuple[Call, ...] = ()
    found: bool = False
    row: int = 0
    slot: int = 0
    place: int = 0
    spare: int = -1
    seen_owner: int = 0  # the sweeper's
    seen_named: bool = False


@dataclass(slots=True)
class Shared(World[Worker]):
    owner: int = 0  # of the lock: process + 1
    marked: bool = False
    domain: int = 0  # who has the domain's lock
    current: int = 0  # the cell's word: which block is the table
    blocks: tuple[Block, ...] = ()
    tables: tuple[Table, ...] = ()
    truth: tuple[tuple[str, int], ...] = ()


def replaced(words: tuple[int, ...], at: int, word: int) -> tuple[int, ...]:
    return (*words[:at], word, *words[at + 1 :])


class Dictionary(Model[Shared, Worker]):
    """Safeguards: *log first*, *row first*, *entry first*, *key compared*, *find again*, *repair*, *floor*, *old one owned*, *look twice*."""

    scripts: tuple[tuple[Call, ...], ...] = ()
    sweeper = True

    def start(self) -> Shared:
        workers = [Worker("begin", script) for script in self.scripts]
        count = len(workers) + 1
        return Shared(
            [*workers, Worker("sweep_idle")],
            self.kills,
            blocks=(Block(used=True), *(Block(),) * (count - 1)),
            tables=(Table(),) * count,
        )

    # -- helpers

    def me(self, w: Shared, p: Worker) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    def edit(self, w: Shared, table: Table, at: int | None = None) -> None:
        at = w.current if at is None else at
        w.tables = (*w.tables[:at], table, *w.tables[at + 1 :])

    def set_block(self, w: Shared, at: int, block: Block) -> None:
        w.blocks = (*w.blocks[:at], block, *w.blocks[at + 1 :])

    def free(self, w: Shared, at: int) -> None:
        if not w.blocks[at].used:
            w.fault = "a block is freed twice"
        if at == w.current:
            w.fault = "the table in use is freed"
        self.set_block(w, at, Block())

    def find(self, table: Table, key: str) -> tuple[bool, int, int]:
        """As pn_dict_find: (found, row, slot)."""
        slot = -1
        for step in range(INDEX):
            at = (HOME[key] + step) % INDEX
            if table.slots[at] == 0:
                return False, 0, at if slot < 0 else slot
            row = table.slots[at] - 1
            word = table.rows[row] if row >= table.floor else 0
            if word == 0:
                slot = at if slot < 0 else slot
            elif table.log[word - 1].key == key or "key compared" in self.without:
                return True, row, at
        return False, 0, slot

    # -- a call

    def at_begin(self, w: Shared, p: Worker) -> None:
        p.pc = "lock" if p.script else "done"

    def at_lock(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if w.owner:
            return ()
        w.owner = self.me(w, p)
        p.pc = "repair" if w.marked and "repair" not in self.without else "find"
        w.marked = False
        return (w,)

    def at_repair(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(items=len(table.live())))
        p.pc = "find"

    def at_find(self, w: Shared, p: Worker) -> None:
        what, key, _ = p.script[0]
        table = w.tables[w.current]
        p.found, p.row, p.slot = self.find(table, key)
        if what == "set":
            has_room = table.log_used < LOG and (p.found or (table.rows_used < ROWS and p.slot >= 0))
            p.pc = "reserve" if has_room else "copy" if p.spare >= 0 else "unlock_for_more"
        elif what == "remove":
            p.pc = "commit_remove" if p.found else "unlock"
        else:
            p.pc = "commit_clear"

    def at_unlock(self, w: Shared, p: Worker) -> None:
        w.owner = 0
        p.pc = "give_back"

    def at_give_back(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if p.spare >= 0:
            if w.domain:
                return ()
            self.free(w, p.spare)
            p.spare = -1
        p.script = p.script[1:]
        p.found, p.row, p.slot, p.place = False, 0, 0, 0
        p.pc = "begin"
        return (w,)

    # -- more room

    def at_unlock_for_more(self, w: Shared, p: Worker) -> None:
        w.owner = 0
        p.pc = "allocate"

    def at_allocate(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if w.domain:
            return ()
        free = next((i for i, block in enumerate(w.blocks) if not block.used), -1)
        if free < 0:
            p.pc = "give_back"  # DomainFull
            return (w,)
        self.set_block(w, free, Block(True, self.me(w, p)))
        p.spare = free
        p.pc = "lock"
        return (w,)

    def at_copy(self, w: Shared, p: Worker) -> None:
        """Nobody else sees it: one step."""
        new = Table()
        for row, (_, entry) in enumerate(w.tables[w.current].live()):
            _, _, slot = self.find(new, entry.key)
            new = Table(
                0,
                replaced(new.rows, row, row + 1),
                row + 1,
                (*new.log[:row], entry, *new.log[row + 1 :]),
                row + 1,
                replaced(new.slots, slot, row + 1),
                row + 1,
            )
        self.edit(w, new, p.spare)
        p.pc = "swap" if "old one owned" in self.without else "own_old"

    def at_own_old(self, w: Shared, p: Worker) -> None:
        self.set_block(w, w.current, Block(True, self.me(w, p)))
        p.pc = "swap"

    def at_swap(self, w: Shared, p: Worker) -> None:
        """COMMIT of the rebuild."""
        w.current, p.spare = p.spare, w.current
        table = w.tables[w.current]
        # A table of this size may be full of items: then the call gives up, as with a full domain.
        p.pc = "find" if table.log_used < LOG else "unlock"
        if p.pc == "find" and "find again" in self.without:
            p.pc = "reserve"

    # -- set

    def at_reserve(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        p.place = table.log_used
        if "log first" not in self.without:
            self.edit(w, table._replace(log_used=table.log_used + 1))
        if not p.found:
            p.row = table.rows_used
        early = "entry first" in self.without
        p.pc = ("commit_set" if p.found else "note") if early else "write_first"

    def write(self, w: Shared, p: Worker, entry: Entry) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(log=(*table.log[: p.place], entry, *table.log[p.place + 1 :])))

    def at_write_first(self, w: Shared, p: Worker) -> None:
        _, key, value = p.script[0]
        self.write(w, p, Entry(key, value, w.tables[w.current].log[p.place].second))
        p.pc = "write_second"

    def at_write_second(self, w: Shared, p: Worker) -> None:
        _, key, value = p.script[0]
        self.write(w, p, Entry(key, value, value))
        if "entry first" in self.without:
            p.pc = "sum_set"
        else:
            p.pc = "commit_set" if p.found else "note"

    def at_note(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(slots=replaced(table.slots, p.slot, p.row + 1)))
        p.pc = "commit_set" if "row first" in self.without else "use_row"

    def at_use_row(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(rows_used=p.row + 1))
        p.pc = "unlock" if "row first" in self.without else "commit_set"

    def at_commit_set(self, w: Shared, p: Worker) -> None:
        _, key, value = p.script[0]
        table = w.tables[w.current]
        self.edit(w, table._replace(rows=replaced(table.rows, p.row, p.place + 1)))  # COMMIT
        if p.found:
            w.truth = tuple((k, value if k == key else v) for k, v in w.truth)
        else:
            w.truth = (*w.truth, (key, value))
        p.pc = "write_first" if "entry first" in self.without else "sum_set"

    def at_sum_set(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        used = table.log_used + ("log first" in self.without)
        self.edit(w, table._replace(items=table.items + (not p.found), log_used=used))
        p.pc = "use_row" if "row first" in self.without and not p.found else "unlock"

    # -- remove

    def at_commit_remove(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(rows=replaced(table.rows, p.row, 0)))  # COMMIT
        w.truth = tuple(pair for pair in w.truth if pair[0] != p.script[0][1])
        p.pc = "sum_remove"

    def at_sum_remove(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(items=table.items - 1))
        p.pc = "trim"

    def at_trim(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        if table.rows_used > table.floor and table.rows[table.rows_used - 1] == 0:
            self.edit(w, table._replace(rows_used=table.rows_used - 1))
        else:
            p.pc = "empty_log"

    def at_empty_log(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        if table.items == 0:
            self.edit(w, table._replace(log_used=0))
        p.pc = "unlock"

    # -- clear

    def at_commit_clear(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        if "floor" not in self.without:
            self.edit(w, table._replace(floor=table.rows_used))  # COMMIT
        w.truth = ()
        p.pc = "sum_clear"

    def at_sum_clear(self, w: Shared, p: Worker) -> None:
        self.edit(w, w.tables[w.current]._replace(items=0))
        p.row = 0
        p.pc = "zero_row"

    def at_zero_row(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        if p.row < table.rows_used:
            self.edit(w, table._replace(rows=replaced(table.rows, p.row, 0)))
            p.row += 1
        else:
            p.pc = "lower_floor"

    def at_lower_floor(self, w: Shared, p: Worker) -> None:
        self.edit(w, w.tables[w.current]._replace(floor=0))
        p.pc = "lower_rows"

    def at_lower_rows(self, w: Shared, p: Worker) -> None:
        self.edit(w, w.tables[w.current]._replace(rows_used=0))
        p.row = 0
        p.pc = "zero_index"

    def at_zero_index(self, w: Shared, p: Worker) -> None:
        table = w.tables[w.current]
        self.edit(w, table._replace(slots=replaced(table.slots, p.row, 0)))
        p.row += 1
        p.pc = "zero_index" if p.row < INDEX else "empty_log"

    # -- the sweep: sweep_blocks, under the domain's lock

    def is_dead(self, w: Shared, owner: int) -> bool:
        return owner > 0 and w.processes[owner - 1].pc == "dead"

    def at_sweep_idle(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if not any(block.used and self.is_dead(w, block.owner) for block in w.blocks):
            return ()
        w.domain = self.me(w, p)
        p.place = -1
        p.pc = "sweep_next"
        return (w,)

    def at_sweep_next(self, w: Shared, p: Worker) -> None:
        p.place += 1
        p.seen_owner, p.seen_named = 0, False
        if p.place == len(w.blocks):
            w.domain = p.place = 0
            p.pc = "sweep_idle"
            return
        block = w.blocks[p.place]
        if block.used and self.is_dead(w, block.owner):
            p.seen_owner = block.owner
            p.pc = "sweep_look"

    def at_sweep_look(self, w: Shared, p: Worker) -> None:
        p.seen_named = w.current == p.place
        p.pc = "sweep_decide" if "look twice" in self.without else "sweep_again"

    def at_sweep_again(self, w: Shared, p: Worker) -> None:
        same = w.blocks[p.place].owner == p.seen_owner
        p.pc = "sweep_decide" if same else "sweep_next"

    def at_sweep_decide(self, w: Shared, p: Worker) -> None:
        block = w.blocks[p.place]
        if not p.seen_named:
            self.free(w, p.place)
        elif block.owner == p.seen_owner:
            self.set_block(w, p.place, block._replace(owner=0))
        p.pc = "sweep_next"

    # -- the end

    def may_die(self, process: Worker) -> bool:
        return super().may_die(process) and not process.pc.startswith("sweep")

    def die(self, world: Shared, process: Worker) -> None:
        if world.owner == self.me(world, process):
            world.owner, world.marked = 0, True
        process.script, process.spare = (), -1
        process.found, process.row, process.slot, process.place = False, 0, 0, 0
        process.pc = "dead"

    def differs(self, w: Shared) -> str:
        table = w.tables[w.current]
        live = table.live()
        if any(entry.first != entry.second for _, entry in live):
            return "a value is torn"
        if tuple((entry.key, entry.first) for _, entry in live) != w.truth:
            return f"there is {[(e.key, e.first) for _, e in live]}, and must be {list(w.truth)}"
        if any(self.find(table, entry.key)[:2] != (True, row) for row, entry in live):
            return "a key is not found"
        if any(self.find(table, key)[0] for key in HOME if key not in dict(w.truth)):
            return "a key is found that is not there"
        return ""

    def check(self, world: Shared) -> str:
        if world.fault or world.owner:
            return world.fault
        table = world.tables[world.current]
        if not world.marked and table.items != len(world.truth):
            return f"the sum says {table.items} items of {len(world.truth)}"
        return self.differs(world)

    def check_end(self, world: Shared) -> str:
        waiting = [p.pc for p in world.processes[:-1] if p.pc not in {"done", "dead"}]
        if waiting:
            return f"nobody moves, and these wait for ever: {', '.join(waiting)}"
        if [block.used for block in world.blocks].count(True) != 1:
            return "a block is left over"
        return ""


def calls(text: str) -> tuple[Call, ...]:
    """``"a1 a2 -a !"``: set a to 1, then to 2, remove a, clear."""

    def parse() -> Iterator[Call]:
        for word in text.split():
            if word == "!":
                yield "clear", "a", 0
            elif word[0] == "-":
                yield "remove", word[1], 0
            else:
                yield "set", word[0], int(word[1:])

    return tuple(parse())


def scripts(*texts: str) -> tuple[tuple[Call, ...], ...]:
    return tuple(map(calls, texts))


TWO = scripts("a1 b2 -a", "b3 a4 !")
FULL = scripts("a1 a2 a3", "b5 -b")
FULLER = scripts("a1 a2 a3 a4", "b5 -b b6")

RUNS = [
    Run("set and remove beside each other, 1 kill", Dictionary(scripts=TWO, kills=1), quick=True),
    Run("set and remove beside each other, 2 kills", Dictionary(scripts=TWO, kills=2)),
    Run("rebuilds, 1 kill", Dictionary(scripts=FULL, kills=1), quick=True),
    Run("rebuilds, 2 kills", Dictionary(scripts=FULLER, kills=2)),
    Run("clear and rebuild, 2 kills", Dictionary(scripts=scripts("a1 ! c2 a3", "b4 a5 -b !"), kills=2)),
    Run("three processes, 2 kills", Dictionary(scripts=scripts("a1", "b3", "c5 -a"), kills=2)),
    Run("the log grows after the commit", Dictionary(scripts=TWO, kills=1, without={"log first"}), quick=True),
    Run("the row is used after the commit", Dictionary(scripts=TWO, kills=1, without={"row first"}), quick=True),
    Run("the entry is written after the commit", Dictionary(scripts=TWO, kills=1, without={"entry first"}), quick=True),
    Run("what the index says is believed", Dictionary(scripts=TWO, kills=1, without={"key compared"}), quick=True),
    Run(
        "not looked for again after a rebuild",
        Dictionary(scripts=scripts("b1 a2 -b a3 a4"), without={"find again"}),
        quick=True,
    ),
    Run("sums are not repaired", Dictionary(scripts=TWO, kills=1, without={"repair"}), quick=True),
    Run("clear row by row", Dictionary(scripts=TWO, kills=1, without={"floor"}), quick=True),
    Run("the old table is nobody's", Dictionary(scripts=FULL, kills=1, without={"old one owned"}), quick=True),
    Run(
        "the sweep looks once",
        Dictionary(scripts=scripts("a1 a2 a3 a4", "b1 b2 b3 b4"), kills=1, without={"look twice"}),
    ),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
