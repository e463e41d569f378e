"""Making and freeing a buffer, core/buffer.c: a cell in a slab and the heap block that it names.

Two cells, three blocks. Makers make a buffer and drop it; what a maker shares, another drops. All is done under the domain's lock; a death
frees the lock in the middle. Held against: a holder whose block is free or another's; a block freed twice or left over; a cell left over.

Safeguards that can be taken out: *queue* (collect frees the block only if its entry names this cell), *block first* (it frees the block before the cell),
*owner first* (an allocation has its owner before its commit), *cell names it* (the sweep asks whether the cell that the entry names also names the block).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.models._engine import Model, Process, Run, World, main

NONE = -1


class Block(NamedTuple):
    """An entry of the block table."""

    used: bool = False
    owner: int = NONE
    cell: int = NONE  # entry.queue


class Cell(NamedTuple):
    """A buffer."""

    used: bool = False  # the bit of the slab
    block: int = NONE
    holders: frozenset[int] = frozenset()


@dataclass(slots=True)
class Maker(Process):
    """rounds: buffers to make; cell, block: in hand; has: the cell of which it holds a whole buffer."""

    rounds: int = 0
    cell: int = NONE
    block: int = NONE
    has: int = NONE
    dead: int = NONE
    swept: bool = False


@dataclass(slots=True)
class Heap(World[Maker]):
    """The domain."""

    domain: int = NONE
    cells: tuple[Cell, ...] = ()
    blocks: tuple[Block, ...] = ()


class Cells(Model[Heap, Maker]):
    """The first maker shares what it makes with the process after it, which only drops."""

    makers = 2
    rounds = 1
    shares = False
    janitors = 1

    def start(self) -> Heap:
        makers = [Maker("make", rounds=self.rounds) for _ in range(self.makers)]
        makers += [Maker("await")] * self.shares + [Maker("watch") for _ in range(self.janitors)]
        return Heap(makers, self.kills, cells=(Cell(),) * 2, blocks=(Block(),) * 3)

    # what must hold

    def check(self, world: Heap) -> str:
        w = world
        for i, p in enumerate(w.processes):
            if p.has == NONE:
                continue
            cell = w.cells[p.has]
            if not cell.used or i not in cell.holders:
                return "a cell is free, and somebody holds it"
            if not w.blocks[cell.block].used or w.blocks[cell.block].cell != p.has:
                return "the block of a buffer is free or another's"
        return w.fault

    def check_end(self, world: Heap) -> str:
        w = world
        if any(p.pc == "dead" and not p.swept for p in w.processes):
            return "a dead process is not swept" if any(p.pc == "watch" for p in w.processes) else ""
        if any(p.pc not in {"await", "watch", "done", "dead"} for p in w.processes):
            return "nobody moves"
        if any(cell.used for cell in w.cells):
            return "a cell is left over"
        return "a block is left over" if any(block.used for block in w.blocks) else ""

    def me(self, w: Heap, p: Maker) -> int:
        return next(i for i, other in enumerate(w.processes) if other is p)

    def set_cell(self, w: Heap, at: int, **news: Any) -> None:
        w.cells = tuple(cell._replace(**news) if i == at else cell for i, cell in enumerate(w.cells))

    def set_block(self, w: Heap, at: int, **news: Any) -> None:
        w.blocks = tuple(block._replace(**news) if i == at else block for i, block in enumerate(w.blocks))

    def lock(self, w: Heap, p: Maker, then: str) -> Iterable[Heap] | None:
        if w.domain != NONE:
            return ()
        w.domain = self.me(w, p)
        p.pc = then
        return None

    # pn_buffer_new: new_locked, pn_heap_alloc_locked

    def at_make(self, w: Heap, p: Maker) -> Iterable[Heap] | None:
        return self.lock(w, p, "make_cell")

    def at_make_cell(self, w: Heap, p: Maker) -> None:
        """Its words, with the bit of this process; the cell is free until the slab says otherwise."""
        p.cell = next(i for i, cell in enumerate(w.cells) if not cell.used)
        self.set_cell(w, p.cell, holders=frozenset({self.me(w, p)}))
        self.set_cell(w, p.cell, block=NONE)
        p.pc = "make_cell_commit"

    def at_make_cell_commit(self, w: Heap, p: Maker) -> None:
        self.set_cell(w, p.cell, used=True)
        p.pc = "make_block"

    def at_make_block(self, w: Heap, p: Maker) -> None:
        p.block = next(i for i, block in enumerate(w.blocks) if not block.used)
        self.set_block(w, p.block, cell=p.cell)
        if "owner first" not in self.without:
            self.set_block(w, p.block, owner=self.me(w, p))
        p.pc = "make_block_commit"

    def at_make_block_commit(self, w: Heap, p: Maker) -> None:
        self.set_block(w, p.block, used=True)
        p.pc = "make_named"

    def at_make_named(self, w: Heap, p: Maker) -> None:
        self.set_block(w, p.block, owner=self.me(w, p))
        self.set_cell(w, p.cell, block=p.block)
        p.has, p.cell, p.block = p.cell, NONE, NONE
        p.rounds -= 1
        if self.shares and self.me(w, p) == 0:
            other = w.processes[self.makers]
            if other.pc == "await":
                other.has, other.pc = p.has, "drop"
                self.set_cell(w, p.has, holders=w.cells[p.has].holders | {self.makers})
        p.pc = "make_leave"

    def at_make_leave(self, w: Heap, p: Maker) -> None:
        w.domain = NONE
        p.pc = "drop"

    # pn_object_drop, pn_object_collect

    def at_drop(self, w: Heap, p: Maker) -> None:
        self.set_cell(w, p.has, holders=w.cells[p.has].holders - {self.me(w, p)})
        p.cell, p.has = p.has, NONE
        p.pc = "drop_enter"

    def at_drop_enter(self, w: Heap, p: Maker) -> Iterable[Heap] | None:
        return self.lock(w, p, "collect")

    def at_collect(self, w: Heap, p: Maker) -> None:
        cell = w.cells[p.cell]
        if not cell.used or cell.holders:
            self.collected(w, p)
        else:
            p.pc = "free_block" if "block first" not in self.without else "free_cell"

    def at_free_block(self, w: Heap, p: Maker) -> None:
        at = w.cells[p.cell].block
        if at != NONE and w.blocks[at].used and ("queue" in self.without or w.blocks[at].cell == p.cell):
            self.release(w, at)
        if "block first" not in self.without:
            p.pc = "free_cell"
        else:
            self.collected(w, p)

    def release(self, w: Heap, at: int) -> None:
        self.set_block(w, at, used=False, owner=NONE)

    def at_free_cell(self, w: Heap, p: Maker) -> None:
        self.set_cell(w, p.cell, used=False)
        if "block first" not in self.without:
            self.collected(w, p)
        else:
            p.pc = "free_block"

    def collected(self, w: Heap, p: Maker) -> None:
        if p.dead == NONE:
            w.domain, p.cell = NONE, NONE
            p.pc = "make" if p.rounds else "done"
        else:
            p.cell += 1
            p.pc = "sweep_cell"

    # pn_sweep: sweep_objects, sweep_blocks

    def at_watch(self, w: Heap, p: Maker) -> Iterable[Heap] | None:
        for i, other in enumerate(w.processes):
            if other.pc == "dead" and not other.swept and w.domain == NONE:
                p.dead, p.cell = i, 0
                return self.lock(w, p, "sweep_cell")
        return ()

    def at_sweep_cell(self, w: Heap, p: Maker) -> None:
        if p.cell == len(w.cells):
            p.cell, p.block, p.pc = NONE, 0, "sweep_block"
            return
        self.set_cell(w, p.cell, holders=w.cells[p.cell].holders - {p.dead})
        p.pc = "collect"

    def at_sweep_block(self, w: Heap, p: Maker) -> None:
        if p.block == len(w.blocks):
            p.pc = "sweep_end"
            return
        block = w.blocks[p.block]
        if block.used and block.owner == p.dead:
            cell = w.cells[block.cell]
            if cell.used and ("cell names it" in self.without or cell.block == p.block):
                self.set_block(w, p.block, owner=NONE)
            else:
                self.release(w, p.block)
        p.block += 1

    def at_sweep_end(self, w: Heap, p: Maker) -> None:
        w.processes[p.dead].swept = True
        w.domain, p.dead, p.block = NONE, NONE, NONE
        p.pc = "watch"

    # the kernel

    def die(self, world: Heap, process: Maker) -> None:
        w, p = world, process
        if w.domain == self.me(w, p):
            w.domain = NONE
        p.rounds = 0
        p.cell = p.block = p.has = p.dead = NONE
        p.pc = "dead"


def case(*without: str, kills: int = 1, **settings: object) -> Cells:
    return Cells(kills=kills, janitors=kills, without=set(without), **settings)


RUNS = [
    Run("2 makers of 2, 2 kills", case(rounds=2, kills=2)),
    Run("2 makers of 1, 2 kills", case(kills=2), quick=True),
    Run("a maker that shares, another of 1, 2 kills", case(shares=True, kills=2), quick=True),
    Run("collect does not look at the entry", case("queue", rounds=2), quick=True),
    Run("the cell is freed before the block", case("block first", shares=True), quick=True),
    Run("the owner of an allocation comes after its commit", case("owner first"), quick=True),
    Run("the sweep does not ask the cell", case("cell names it", kills=2, rounds=2), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
