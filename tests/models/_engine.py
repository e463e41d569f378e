"""The engine of the model checkers: breadth-first over every interleaving, with SIGKILL at every step.

A model is a handful of processes. Each stands at a label, `pc`; the method `at_<label>` of the model is what the C code
does there in one step that nobody can see half done; it changes the world it is given, or returns the worlds that may follow. The engine tries every process at every state, and, as long as kills
are left, the death of every process at every state. `Model.die` is what the kernel does for the dead.

A state has a *fault* when the model says so (two owners, an item twice), or when nobody can move although
somebody still has something to do: then a wake-up has been lost. A sleep also ends by itself after a slice (500 ms); that is
a net and no proof, so it is not counted as a move. Runs `with_net` offer the slice where all sleep; what they prove is
that from every state, whoever is killed on the way, the end can still be reached.

Memory is sequentially consistent here: the orders that the C code asks for are a matter for the sanitizers and step tests.
"""

from __future__ import annotations

import argparse
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar

State: TypeAlias = tuple[Any, ...]
"""A world made hashable: the shared words, then one tuple for each process."""


@dataclass(slots=True)
class Process:
    """One process; a model adds its registers."""

    pc: str


ProcessT = TypeVar("ProcessT", bound=Process)


@dataclass(slots=True)
class World(Generic[ProcessT]):
    """Everything at one instant; a model adds the shared words."""

    processes: list[ProcessT]
    kills: int = 0
    fault: str = ""


WorldT = TypeVar("WorldT", bound=World[Any])
AT_REST = frozenset({"done", "dead"})


class Model(ABC, Generic[WorldT, ProcessT]):
    """What all models have in common."""

    without: AbstractSet[str] = frozenset()  # the safeguards that are taken out
    with_net = False  # slices end sleeps that nothing else ends
    kills = 0

    def __init__(self, **settings: object) -> None:
        for name, value in settings.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no setting {name}")
            setattr(self, name, value)
        names = [name for name in dir(self) if name.startswith("at_")]
        self.table: dict[str, Callable[[WorldT, ProcessT], Iterable[WorldT] | None]] = {
            name[3:]: getattr(self, name) for name in names
        }
        first = self.start()
        self.world_type, self.process_type = type(first), type(first.processes[0])
        self.shared = attrgetter(*(f.name for f in fields(first) if f.name != "processes"))
        self.own = attrgetter(*(f.name for f in fields(first.processes[0])))

    @abstractmethod
    def start(self) -> WorldT:
        """Return the first state."""

    def thaw(self, state: State) -> WorldT:
        """Make a world out of a state."""
        return self.world_type([self.process_type(*own) for own in state[1:]], *state[0])

    def freeze(self, world: WorldT) -> State:
        """Make a state out of a world."""
        return (self.shared(world), *map(self.own, world.processes))

    def canonical(self, world: WorldT) -> None:
        """Put a world into the form that stands for all which differ only in who is who."""

    @abstractmethod
    def die(self, world: WorldT, process: ProcessT) -> None:
        """Do what the kernel does at the death of a process, and set its `pc` to what is left to do."""

    def end_slice(self, world: WorldT, process: ProcessT) -> bool:
        """Let the sleep of a process end by itself; False if it does not sleep."""
        return False

    def check(self, world: WorldT) -> str:
        """Return what is wrong with a state, or nothing."""
        return world.fault

    def check_end(self, world: WorldT) -> str:
        """Return what is wrong with a state in which nobody moves any more, or nothing."""
        asleep = [p.pc for p in world.processes if p.pc not in AT_REST]
        return f"nobody moves, and these wait for ever: {', '.join(asleep)}" if asleep else ""

    def may_die(self, process: ProcessT) -> bool:
        """Return whether a SIGKILL now would make a difference."""
        return process.pc not in AT_REST and not process.pc.startswith("exit")

    def moves(self, state: State) -> Iterator[tuple[str, WorldT]]:
        """Yield every step that some process can make."""
        world = self.thaw(state)
        for i, process in enumerate(world.processes):
            step = self.table.get(process.pc)
            if step is None:
                continue
            now = self.thaw(state)
            label = f"{i}:{process.pc}"
            followers = step(now, now.processes[i])
            for after in (now,) if followers is None else followers:
                yield label, after

    def deaths(self, state: State) -> Iterator[tuple[str, WorldT]]:
        """Yield what follows if a process is killed now."""
        world = self.thaw(state)
        if world.kills == 0:
            return
        for i, process in enumerate(world.processes):
            if self.may_die(process):
                now = self.thaw(state)
                now.kills -= 1
                self.die(now, now.processes[i])
                yield f"{i}:KILLED at {process.pc}", now

    def slices(self, state: State) -> Iterator[tuple[str, WorldT]]:
        """Yield what follows if somebody's slice ends now."""
        world = self.thaw(state)
        for i, process in enumerate(world.processes):
            now = self.thaw(state)
            if self.end_slice(now, now.processes[i]):
                yield f"{i}:slice ends at {process.pc}", now

    def wake_one(
        self, world: WorldT, process: ProcessT, asleep: Callable[[ProcessT], bool], wake: Callable[[ProcessT], None]
    ) -> Iterator[tuple[WorldT, ProcessT, bool]]:
        """FUTEX_WAKE of one: a world for each sleeper that the kernel may choose; (world, the caller, was one woken)."""
        here = next(i for i, p in enumerate(world.processes) if p is process)
        sleepers = [i for i, p in enumerate(world.processes) if asleep(p)]
        if not sleepers:
            yield world, process, False
        frozen = self.freeze(world)
        for i in sleepers:
            now = self.thaw(frozen)
            wake(now.processes[i])
            yield now, now.processes[here], True


@dataclass
class Result:
    """What a run found."""

    states: int
    seconds: float
    fault: str = ""
    trace: list[str] = field(default_factory=list)
    rescued: int = 0  # states that only a slice ended


def explore(model: Model[Any, Any], limit: int = 3_000_000) -> Result:
    """Visit every state; stop at the first fault, which is one of the nearest."""
    began = time.monotonic()
    start = model.freeze(model.start())
    number = {start: 0}
    came_from = [(0, "")]
    queue = [start]  # in order of discovery: its index is the state's number
    into: list[list[int]] = [[]]  # with a net: the states from which a move, not a death, leads here
    ends: list[int] = []
    rescued = 0

    def result(fault: str, at: int) -> Result:
        trace: list[str] = []
        while at != 0:
            at, label = came_from[at]
            trace.append(label)
        return Result(len(number), time.monotonic() - began, fault, trace[::-1], rescued)

    def visit(world: World[Any], parent: int, label: str, is_move: bool) -> None:
        model.canonical(world)
        state = model.freeze(world)
        at = number.get(state)
        if at is None:
            at = number[state] = len(queue)
            queue.append(state)
            came_from.append((parent, label))
            if model.with_net:
                into.append([])
        if model.with_net and is_move:
            into[at].append(parent)

    for at, state in enumerate(queue):  # the list grows meanwhile
        world = model.thaw(state)
        if fault := model.check(world):
            return result(fault, at)
        moves = list(model.moves(state))
        if not moves and (fault := model.check_end(world)):
            moves = list(model.slices(state)) if model.with_net else []
            if not moves:
                return result(fault, at)
            rescued += 1
        elif not moves:
            ends.append(at)
        for label, after in moves:
            visit(after, at, label, is_move=True)
        for label, after in model.deaths(state):
            visit(after, at, label, is_move=False)
        if len(queue) > limit:
            raise RuntimeError(f"more than {limit} states: choose a smaller run")
    if model.with_net:
        good = set(ends)
        while ends:
            for parent in into[ends.pop()]:
                if parent not in good:
                    good.add(parent)
                    ends.append(parent)
        for at in range(len(queue)):
            if at not in good:
                return result("from here the end is never reached, whatever slices end", at)
    return result("", 0)


@dataclass(frozen=True)
class Run:
    """One run and what it must show: a fault if a safeguard is missing, else none."""

    title: str
    model: Model[Any, Any]
    quick: bool = False  # small enough for `make test`

    @property
    def is_mutant(self) -> bool:
        return bool(self.model.without)


def perform(run: Run, show_trace: bool = False) -> bool:
    """Explore one run, print its line, and return whether it showed what it must."""
    found = explore(run.model)
    as_expected = bool(found.fault) == run.is_mutant
    if run.is_mutant:
        say = f"caught in {len(found.trace)} steps: {found.fault}" if found.fault else "NOT CAUGHT"
    else:
        say = f"FAULT in {len(found.trace)} steps: {found.fault}" if found.fault else "sound"
        if found.rescued:
            say += f"; {found.rescued} states need the slice"
    print(f"{found.states:9,} states {found.seconds:6.1f} s  {run.title}: {say}", flush=True)
    if found.fault and (show_trace or not run.is_mutant):
        print("".join(f"{'':14}{label}\n" for label in found.trace), end="")
    return as_expected


def main(runs: Iterable[Run]) -> int:
    """Run a model as a program; the exit status is 1 if a run did not show what it must."""
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="only the small runs")
    options.add_argument("--trace", action="store_true", help="print the trace of each mutant too")
    options.add_argument("--only", default="", help="only the runs whose title contains this")
    chosen = options.parse_args()
    began = time.monotonic()
    wanted = [run for run in runs if (run.quick or not chosen.quick) and chosen.only in run.title]
    bad = [run.title for run in wanted if not perform(run, chosen.trace)]
    print(
        f"{len(wanted)} runs, {time.monotonic() - began:.1f} s: {'not as expected: ' + '; '.join(bad) if bad else 'all as expected'}"
    )
    return 1 if bad else 0
