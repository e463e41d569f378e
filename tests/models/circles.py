"""The sweep's walk of core/collect.c: containers that name each other, and whoever takes things out of them meanwhile.

Objects are cells, each with holders, `moves`, `puts` and `takes`, a lock and records that name other cells; a cell that was freed may be given
out again, and is another object then. Holders work through a script; a sweeper suspects, walks and frees, and may be
killed anywhere; a last one comes when all have ended. A drop that frees by the sums alone is one step, with its domain lock.

Held against: who holds an object, or can reach it from what he holds, never finds it freed or another one; at the end nothing
is left that nobody can reach.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.models._engine import Model, Process, Run, World, main

Name = tuple[int, int]  # cell, generation
UNKNOWN, SUSPECT, NAMED, WALKED = range(4)


class Cell(NamedTuple):
    used: bool = True
    generation: int = 0
    holders: tuple[int, ...] = ()
    moves: int = 0
    puts: int = 0
    takes: int = 0
    lock: int = -1
    records: tuple[Name, ...] = ()


@dataclass(slots=True)
class Worker(Process):
    """A holder and its script, or a sweeper."""

    script: tuple[str, ...] = ()
    has: tuple[Name, ...] = ()
    thing: Name = (0, 0)
    at: int = 0
    again: bool = False
    states: tuple[int, ...] = ()
    moves: tuple[int, ...] = ()
    spared: bool = False


@dataclass(slots=True)
class Shared(World[Worker]):
    cells: tuple[Cell, ...] = ()
    domain: int = -1


class Circles(Model[Shared, Worker]):
    """Safeguards: *moved*, *named are walked*, *roots only*, *emptied first*, *held before taken*."""

    cells: tuple[tuple[int, ...], ...] = ()  # what each names at first
    scripts: tuple[tuple[str, ...], ...] = ()
    held: tuple[tuple[int, ...], ...] = ()  # by each holder at first
    sweepers = 1

    def start(self) -> Shared:
        workers = [
            Worker("begin", script, tuple((cell, 0) for cell in held))
            for script, held in zip(self.scripts, self.held, strict=True)
        ]
        sweepers = [Worker("enter") for _ in range(self.sweepers)]
        named = [cell for names in self.cells for cell in names]
        cells = tuple(
            Cell(
                holders=tuple(i for i, held in enumerate(self.held) if cell in held),
                puts=named.count(cell),
                records=tuple((name, 0) for name in names),
            )
            for cell, names in enumerate(self.cells)
        )
        return Shared([*workers, *sweepers, Worker("last", spared=True)], self.kills, cells=cells)

    def me(self, w: Shared, p: Worker) -> int:
        return next(i for i, other in enumerate(w.processes) if other is p)

    def change(self, w: Shared, at: int, **words: Any) -> None:
        w.cells = (*w.cells[:at], w.cells[at]._replace(**words), *w.cells[at + 1 :])

    # -- holders: "0>1" takes 1 out of 0, "1>>0" puts it in, "-1" drops it, "+" makes a new one

    def at_begin(self, w: Shared, p: Worker) -> None:
        p.pc = "done"
        if p.script:
            word = p.script[0]
            p.pc = "drop" if word[0] == "-" else "make" if word == "+" else "put" if ">>" in word else "take"

    def next(self, p: Worker) -> None:
        p.script, p.thing = p.script[1:], (0, 0)
        p.pc = "begin"

    def find(self, p: Worker, cell: str) -> Name | None:
        return next((name for name in p.has if name[0] == int(cell)), None)

    def at_take(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        """Under the container's lock: hold what the record names."""
        container, wanted = p.script[0].split(">")
        source = self.find(p, container)
        if source is None or not any(name[0] == int(wanted) for name in w.cells[source[0]].records):
            self.next(p)
            return (w,)
        if w.cells[source[0]].lock >= 0:
            return ()
        self.change(w, source[0], lock=self.me(w, p))
        p.thing = next(name for name in w.cells[source[0]].records if name[0] == int(wanted))
        p.pc = "commit_take" if "held before taken" in self.without else "hold"
        return (w,)

    def at_hold(self, w: Shared, p: Worker) -> None:
        cell = w.cells[p.thing[0]]
        self.change(w, p.thing[0], holders=tuple(sorted({*cell.holders, self.me(w, p)})))
        p.pc = "move"

    def at_move(self, w: Shared, p: Worker) -> None:
        self.change(w, p.thing[0], moves=w.cells[p.thing[0]].moves + 1)
        p.has = tuple(sorted({*p.has, p.thing}))
        p.pc = "count_take" if "held before taken" in self.without else "commit_take"

    def at_commit_take(self, w: Shared, p: Worker) -> None:
        container = int(p.script[0].split(">")[0])
        records = list(w.cells[container].records)
        records.remove(p.thing)
        self.change(w, container, records=tuple(records))
        p.pc = "unlock"

    def at_unlock(self, w: Shared, p: Worker) -> None:
        self.change(w, int(p.script[0].split(">")[0]), lock=-1)
        p.pc = "hold" if "held before taken" in self.without else "count_take"

    def at_count_take(self, w: Shared, p: Worker) -> None:
        self.change(w, p.thing[0], takes=w.cells[p.thing[0]].takes + 1)
        self.next(p)

    def at_put(self, w: Shared, p: Worker) -> None:
        what, container = p.script[0].split(">>")
        thing, target = self.find(p, what), self.find(p, container)
        if thing is None or target is None:
            self.next(p)
            return
        p.thing = thing
        self.change(w, thing[0], puts=w.cells[thing[0]].puts + 1)
        p.pc = "commit_put"

    def at_commit_put(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        container = int(p.script[0].split(">>")[1])
        if w.cells[container].lock >= 0:
            return ()
        self.change(w, container, records=(*w.cells[container].records, p.thing))
        self.next(p)
        return (w,)

    def at_drop(self, w: Shared, p: Worker) -> None:
        thing = self.find(p, p.script[0][1:])
        if thing is None:
            self.next(p)
            return
        p.thing = thing
        p.has = tuple(name for name in p.has if name != thing)
        holders = w.cells[thing[0]].holders
        self.change(w, thing[0], holders=tuple(i for i in holders if i != self.me(w, p)))
        p.pc = "look"

    def at_look(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if w.domain >= 0:
            return ()
        self.free_by_sums(w, [p.thing[0]])
        self.next(p)
        return (w,)

    def at_make(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if w.domain >= 0:
            return ()
        free = next((i for i, cell in enumerate(w.cells) if not cell.used), -1)
        if free >= 0:
            made = w.cells[free].generation + 1
            self.change(w, free, used=True, generation=made, holders=(self.me(w, p),), puts=0, takes=0, records=())
            p.has = (*p.has, (free, made))
            p.script = (p.script[0], f"{free}>>0", f"-{free}", *p.script[1:])
        self.next(p)
        return (w,)

    # -- what the sums say

    def empty(self, w: Shared, at: int) -> list[int]:
        """`discard`: its records are gone, and then counted as taken, in whatever stands there."""
        records = w.cells[at].records
        self.change(w, at, records=())
        for cell, _ in records:
            self.change(w, cell, takes=w.cells[cell].takes + 1)
        return [cell for cell, _ in records]

    def free_by_sums(self, w: Shared, cells: list[int]) -> None:
        while cells:
            cell = w.cells[at := cells.pop()]
            if cell.used and not cell.holders and cell.puts == cell.takes:
                cells += self.empty(w, at)
                self.change(w, at, used=False)

    # -- the sweep

    def at_last(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if any(other.pc not in {"done", "dead"} for other in w.processes[:-1]):
            return ()
        p.pc = "enter"
        return (w,)

    def at_enter(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if w.domain >= 0:
            return ()
        w.domain = self.me(w, p)
        p.states, p.moves, p.at = (), (), 0
        p.pc = "suspect"
        return (w,)

    def at_suspect(self, w: Shared, p: Worker) -> None:
        cell = w.cells[p.at]
        if cell.used and not cell.holders and cell.puts == cell.takes:
            self.free_by_sums(w, [p.at])
        is_suspect = cell.used and not cell.holders and cell.puts != cell.takes
        p.states += (SUSPECT if is_suspect else UNKNOWN,)
        p.moves += (cell.moves,)
        p.at += 1
        if p.at == len(w.cells):
            p.at = 0
            p.pc = "roots"

    def set_state(self, p: Worker, at: int, state: int) -> None:
        p.states = (*p.states[:at], state, *p.states[at + 1 :])

    def walk(self, w: Shared, p: Worker, at: int) -> None:
        for cell, _ in w.cells[at].records:
            if p.states[cell] == SUSPECT:
                self.set_state(p, cell, NAMED)

    def at_roots(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        cell = w.cells[p.at]
        if cell.used and (p.states[p.at] == UNKNOWN or "roots only" in self.without):
            if cell.lock >= 0:
                p.pc = "leave"  # somebody who may be stopped has it: not this time
                return (w,)
            self.walk(w, p, p.at)
        p.at += 1
        if p.at == len(w.cells):
            p.at = 0
            p.pc = "check_moved" if "named are walked" in self.without else "named"
        return (w,)

    def at_named(self, w: Shared, p: Worker) -> tuple[Shared, ...]:
        if p.states[p.at] == NAMED:
            if w.cells[p.at].lock >= 0:
                p.pc = "leave"
                return (w,)
            self.set_state(p, p.at, WALKED)
            self.walk(w, p, p.at)
            p.again = True
        p.at += 1
        if p.at == len(w.cells):
            p.at = 0
            p.pc = "named" if p.again else "check_moved"
            p.again = False
        return (w,)

    def is_unmoved(self, w: Shared, p: Worker, at: int) -> bool:
        cell = w.cells[at]
        return cell.used and not cell.holders and cell.moves == p.moves[at]

    def at_check_moved(self, w: Shared, p: Worker) -> None:
        was_suspect = p.states[p.at] != UNKNOWN and w.cells[p.at].used
        if was_suspect and not self.is_unmoved(w, p, p.at) and "moved" not in self.without:
            p.pc = "leave"
            return
        p.at += 1
        if p.at == len(w.cells):
            p.at = 0
            p.pc = "free" if "emptied first" in self.without else "empty"

    def at_empty(self, w: Shared, p: Worker) -> None:
        if p.states[p.at] == SUSPECT and self.is_unmoved(w, p, p.at):
            self.empty(w, p.at)
        elif p.states[p.at] == SUSPECT:
            self.set_state(p, p.at, WALKED)
        p.at += 1
        if p.at == len(w.cells):
            p.at = 0
            p.pc = "free"

    def at_free(self, w: Shared, p: Worker) -> None:
        if p.states[p.at] == SUSPECT and self.is_unmoved(w, p, p.at):
            self.empty(w, p.at)
            self.change(w, p.at, used=False)
        p.at += 1
        if p.at == len(w.cells):
            p.at = 0
            p.pc = "leave"

    def at_leave(self, w: Shared, p: Worker) -> None:
        w.domain = -1
        p.states, p.moves, p.at, p.again = (), (), 0, False
        p.pc = "done"

    # -- deaths: of sweepers; a holder's is what holders.py is about

    def may_die(self, process: Worker) -> bool:
        return not process.spared and process.pc not in {"done", "dead", "enter"} and bool(process.states)

    def die(self, world: Shared, process: Worker) -> None:
        world.domain = -1
        process.states, process.moves, process.at, process.again = (), (), 0, False
        process.pc = "dead"

    # -- the verdict

    def reachable(self, w: Shared) -> set[Name]:
        found: set[Name] = set()
        new = [name for p in w.processes for name in p.has]
        while new:
            name = new.pop()
            if name not in found:
                found.add(name)
                new += w.cells[name[0]].records if w.cells[name[0]].generation == name[1] else ()
        return found

    def check(self, world: Shared) -> str:
        for cell, generation in self.reachable(world):
            if not world.cells[cell].used or world.cells[cell].generation != generation:
                return f"cell {cell} was freed, and somebody can reach it"
        return world.fault

    def check_end(self, world: Shared) -> str:
        waiting = [p.pc for p in world.processes if p.pc not in {"done", "dead"}]
        if waiting:
            return f"nobody moves, and these wait for ever: {', '.join(waiting)}"
        reachable = {cell for cell, _ in self.reachable(world)}
        left = [i for i, cell in enumerate(world.cells) if cell.used and i not in reachable]
        return f"cells {left} are left, and nobody can reach them" if left else ""


# 0 is held by the first; 1 and 2 name each other.
CIRCLE = {"cells": ((1,), (2,), (1,))}
HANGING = {"cells": ((1,), (2,), (1, 3), ())}

RUNS = [
    Run(
        "a circle is taken out, looked into and dropped",
        Circles(**CIRCLE, scripts=(("0>1", "1>2", "-1", "-2"),), held=((0,),)),
        quick=True,
    ),
    Run(
        "one of it is put elsewhere, while others take it apart",
        Circles(**CIRCLE, scripts=(("0>1", "1>>0", "-1"), ("0>1", "1>2", "-2", "-1")), held=((0,), (0,))),
    ),
    Run(
        "what hangs on it is moved out, 1 kill of a sweeper",
        Circles(**HANGING, scripts=(("0>1", "1>2", "-1", "2>3", "3>>0", "-2", "-3"),), held=((0,),), kills=1),
    ),
    Run(
        "a sweeper is killed, and cells are given out again, 1 kill",
        Circles(**CIRCLE, scripts=(("0>1", "-1"), ("+", "+")), held=((0,), (0,)), kills=1),
        quick=True,
    ),
    Run(
        "two sweepers, 2 kills, and cells are given out again",
        Circles(**CIRCLE, scripts=(("0>1", "-1", "+"),), held=((0,),), kills=2, sweepers=2),
    ),
    Run(
        "a container has moved, and its own go",
        Circles(**HANGING, scripts=(("0>1", "1>2", "-1", "2>3"),), held=((0,),), without={"moved"}),
        quick=True,
    ),
    Run(
        "what was named is not walked",
        Circles(**CIRCLE, scripts=((),), held=((0,),), without={"named are walked"}),
        quick=True,
    ),
    Run(
        "all are walked, held or not",
        Circles(**CIRCLE, scripts=(("0>1", "-1"),), held=((0,),), without={"roots only"}),
        quick=True,
    ),
    Run(
        "each is freed before the next is emptied",
        Circles(**CIRCLE, scripts=(("0>1", "-1"), ("+", "+")), held=((0,), (0,)), kills=1, without={"emptied first"}),
        quick=True,
    ),
    Run(
        "taken before it is held",
        Circles(**CIRCLE, scripts=(("0>1", "1>2"),), held=((0,),), without={"held before taken"}),
        quick=True,
    ),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
