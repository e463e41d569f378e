"""The queue of core/ring.c with segments, the heap of core/heap.c, and the sweep of core/sweep.c.

The robust locks are one step here, as in `_queue.py`, and who finds nothing to do waits without sleeping: this model is about
memory. A segment holds one record and the JUMP after it. A label is a place in the C code; the function it stands in is named at
each group. A block is FREE or not, and has an owner: the index of a process plus 1, or 0.

Safeguards that can be taken out: *owner first* (a taker writes itself as the owner before it takes), *owner before state* (so
does an allocation before its commit), *look at the owner again* (the sweep, after it has seen that no ring names the
block), *table first* (the segment table is written before the commit of a jump), *give back* (a block that another's jump made
needless). *disown* is not among them: it keeps the table tidy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.models._engine import Model
from tests.models._memory import CAPACITY, NONE, SEGMENTS, Block, Memory, Record, Worker


class Blocks(Model[Memory, Worker]):
    """Producers put all they have, consumers take for ever, janitors sweep the dead."""

    producers: tuple[int, ...] = (2,)
    consumers = 1
    janitors = 1
    heap = 4

    def start(self) -> Memory:
        workers = [Worker("put", "put", tuple(range(10 * i, 10 * i + count))) for i, count in enumerate(self.producers)]
        workers += [Worker("get", "get") for _ in range(self.consumers)]
        workers += [Worker("watch", "sweep") for _ in range(self.janitors)]
        blocks = (Block(used=True, owner=1), *[Block()] * (self.heap - 1))
        empty = (Record(),) * (CAPACITY + 1)
        return Memory(
            workers, self.kills, table=(0,) + (NONE,) * (SEGMENTS - 1), cells=(empty,) * self.heap, blocks=blocks
        )

    def me(self, w: Memory, p: Worker) -> int:
        return next(i for i, other in enumerate(w.processes, 1) if other is p)

    # what must hold

    def live(self, w: Memory, first: int) -> list[int]:
        return [w.table[number % SEGMENTS] for number in range(first, w.tail[0] + 1)]

    def check(self, world: Memory) -> str:
        w = world
        named = self.live(w, w.head[0])
        if w.fault:
            return w.fault
        if NONE in named:
            return "the ring is in a segment that is not in the table"
        if len(set(named)) < len(named):
            return "the ring names a block twice"
        for i, block in enumerate(w.blocks):
            if i in named and not block.used:
                return "the ring names a block that is free"
            owner = w.processes[block.owner - 1] if block.owner else None
            if block.used and i not in named and (owner is None or owner.swept):
                return "a block that nobody names and nobody owns"
        return ""

    def check_end(self, world: Memory) -> str:
        w = world
        if any(p.pc == "dead" and not p.swept for p in w.processes):
            return (
                "" if all(p.pc == "dead" for p in w.processes if p.role == "sweep") else "a dead process is not swept"
            )
        named = self.live(w, w.head[0])
        if any(block.used and i not in named for i, block in enumerate(w.blocks)):
            return "a block has leaked"
        alive = {p.role for p in w.processes if p.pc not in {"dead", "done"}}
        if "put" in alive or ("get" in alive and w.head != w.tail):
            return "nobody moves, and there is something to do"
        return ""

    def lock(self, w: Memory, p: Worker, name: str, then: str) -> Iterable[Memory] | None:
        if getattr(w, name):
            return ()
        setattr(w, name, self.me(w, p))
        p.pc = then
        return None

    def set_block(self, w: Memory, block: int, **news: Any) -> None:
        w.blocks = tuple(b._replace(**news) if i == block else b for i, b in enumerate(w.blocks))

    def write(self, w: Memory, block: int, at: int, record: Record) -> None:
        cells = list(w.cells)
        cells[block] = (*cells[block][:at], record, *cells[block][at + 1 :])
        w.cells = tuple(cells)

    # pn_heap_alloc, pn_heap_free

    def at_alloc_enter(self, w: Memory, p: Worker) -> Iterable[Memory] | None:
        return self.lock(w, p, "domain", "alloc_owner")

    def at_alloc_owner(self, w: Memory, p: Worker) -> None:
        free = [i for i, block in enumerate(w.blocks) if not block.used]
        p.block = free[0]
        if "owner before state" in self.without:
            self.set_block(w, p.block, used=True, owner=0)
        else:
            self.set_block(w, p.block, owner=self.me(w, p))
        p.pc = "alloc_commit"

    def at_alloc_commit(self, w: Memory, p: Worker) -> None:
        self.set_block(w, p.block, used=True, owner=self.me(w, p))
        p.pc = "alloc_leave"

    def at_alloc_leave(self, w: Memory, p: Worker) -> None:
        w.domain = 0
        p.pc, p.then = p.then, ""

    def at_free_enter(self, w: Memory, p: Worker) -> Iterable[Memory] | None:
        return self.lock(w, p, "domain", "free_commit")

    def at_free_commit(self, w: Memory, p: Worker) -> None:
        self.release_block(w, p.block)
        p.pc = "free_leave"

    def release_block(self, w: Memory, block: int) -> None:
        if not w.blocks[block].used:
            w.fault = "a block is freed twice"
        self.set_block(w, block, used=False, owner=0)

    def at_free_leave(self, w: Memory, p: Worker) -> None:
        w.domain = 0
        p.block = NONE
        p.pc, p.then = p.then, ""

    # pn_ring_put: attempt, put_locked

    def at_put(self, w: Memory, p: Worker) -> None:
        p.pc = "put_enter" if p.items else "done"

    def at_put_enter(self, w: Memory, p: Worker) -> Iterable[Memory] | None:
        return self.lock(w, p, "tail_lock", "put_write")

    def at_put_write(self, w: Memory, p: Worker) -> None:
        number, at = w.tail
        if at == CAPACITY:
            w.tail_lock = 0
            p.pc, p.then = "alloc_enter", "jump_enter"  # PN_NEED_SEGMENT: grow
            return
        self.write(w, w.table[number % SEGMENTS], at, Record(p.items[0]))
        p.pc = "put_commit"

    def at_put_commit(self, w: Memory, p: Worker) -> None:
        w.tail = (w.tail[0], w.tail[1] + 1)
        p.items = p.items[1:]
        p.pc = "put_leave"

    def at_put_leave(self, w: Memory, p: Worker) -> None:
        w.tail_lock = 0
        p.pc = "put"

    # grow, jump

    def at_jump_enter(self, w: Memory, p: Worker) -> Iterable[Memory] | None:
        return self.lock(w, p, "tail_lock", "jump")

    def at_jump(self, w: Memory, p: Worker) -> None:
        if w.tail[1] < CAPACITY:  # somebody else did it meanwhile
            w.tail_lock = 0
            p.pc, p.then = ("free_enter", "put_enter") if "give back" not in self.without else ("put_enter", "")
            return
        if "table first" not in self.without:
            self.set_table(w, p, w.tail[0] + 1)
        p.pc = "jump_record"

    def set_table(self, w: Memory, p: Worker, number: int) -> None:
        w.table = tuple(p.block if i == number % SEGMENTS else b for i, b in enumerate(w.table))

    def at_jump_record(self, w: Memory, p: Worker) -> None:
        number, at = w.tail
        self.write(w, w.table[number % SEGMENTS], at, Record(jump=number + 1))
        p.pc = "jump_commit"

    def at_jump_commit(self, w: Memory, p: Worker) -> None:
        w.tail = (w.tail[0] + 1, 0)
        p.pc = "jump_leave"

    def at_jump_leave(self, w: Memory, p: Worker) -> None:
        if "table first" in self.without:
            self.set_table(w, p, w.tail[0])
        w.tail_lock = 0
        p.block = NONE
        p.pc = "put_enter"

    # pn_ring_get: get_locked, answer_for

    def at_get(self, w: Memory, p: Worker) -> Iterable[Memory] | None:
        return self.lock(w, p, "head_lock", "get_record") if w.head != w.tail else ()

    def at_get_record(self, w: Memory, p: Worker) -> None:
        if w.head == w.tail:
            w.head_lock = 0
            p.pc = "get"
            return
        number, at = w.head
        segment = w.table[number % SEGMENTS]
        p.record = w.cells[segment][at]
        p.block = segment if p.record.jump != NONE else NONE
        p.pc = "take" if "owner first" in self.without else "own"

    def at_own(self, w: Memory, p: Worker) -> None:
        if p.block != NONE:
            self.set_block(w, p.block, owner=self.me(w, p))
        p.pc = "get_leave" if "owner first" in self.without else "take"

    def at_take(self, w: Memory, p: Worker) -> None:
        w.head = (p.record.jump, 0) if p.record.jump != NONE else (w.head[0], w.head[1] + 1)
        p.pc = "own" if "owner first" in self.without else "get_leave"

    def at_get_leave(self, w: Memory, p: Worker) -> None:
        """Then the old segment is freed."""
        w.head_lock = 0
        p.record = Record()
        p.then = "get"
        p.pc = "get" if p.block == NONE else "free_enter"

    # pn_sweep: sweep_locked, sweep_blocks

    def at_watch(self, w: Memory, p: Worker) -> Iterable[Memory] | None:
        dead = [i for i, other in enumerate(w.processes, 1) if other.pc == "dead" and not other.swept]
        if not dead or w.domain:
            return ()
        p.dead, p.block = dead[0], NONE
        self.next_block(p)
        w.domain = self.me(w, p)
        return None

    def next_block(self, p: Worker) -> None:
        p.block += 1
        p.number = 0
        p.pc = "sweep_owner" if p.block < self.heap else "sweep_end"

    def at_sweep_owner(self, w: Memory, p: Worker) -> None:
        block = w.blocks[p.block]
        if block.used and block.owner == p.dead:
            p.pc = "sweep_head"
        else:
            self.next_block(p)

    def at_sweep_head(self, w: Memory, p: Worker) -> None:
        """pn_ring_names_block reads head and tail without their locks."""
        p.number = w.head[0]
        p.pc = "sweep_live"

    def at_sweep_live(self, w: Memory, p: Worker) -> None:
        p.pc = "sweep_disown" if p.block in self.live(w, p.number) else "sweep_free"

    def at_sweep_disown(self, w: Memory, p: Worker) -> None:
        if w.blocks[p.block].owner == p.dead:
            self.set_block(w, p.block, owner=0)
        self.next_block(p)

    def at_sweep_free(self, w: Memory, p: Worker) -> None:
        """A taker is the owner before it takes: if the owner is still the dead one, nobody has taken the block."""
        if "look at the owner again" in self.without or w.blocks[p.block].owner == p.dead:
            self.release_block(w, p.block)
        self.next_block(p)

    def at_sweep_end(self, w: Memory, p: Worker) -> None:
        w.processes[p.dead - 1].swept = True
        w.domain = p.dead = 0
        p.block = NONE
        p.pc = "watch"

    # the kernel

    def die(self, world: Memory, process: Worker) -> None:
        w, p = world, process
        for name in ("domain", "tail_lock", "head_lock"):
            if getattr(w, name) == self.me(w, p):
                setattr(w, name, 0)
        p.items, p.then, p.record = (), "", Record()
        p.block = NONE
        p.number = p.dead = 0
        p.pc = "dead"
