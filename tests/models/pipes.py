"""The pipe of core/pipe.c: who uses which end, when an end is over, who is told, and what becomes of it if he who ended it is killed.

One direction: the writers use end 1, the readers end 0, and the ring between them has room for `room` messages. That putting and taking are one
store is shown by `ring.py`, and how its segments come and go; here a send and a receipt are one step, the mark of the sleeper and its wake
others. Heirs have an end and do not use it. A carrier uses end 1 and passes it on in an item of another queue, from which a heir-to-be
takes it. A starter has made the pipe and keeps end 1, gives it to a child that it starts, and closes it; a hoarder keeps it and never closes it. A leaver
is a writer that ends without closing, with the exit code 0. Buriers, as sweeps do, come after the dead; the last one is not killed.

Whether an end is over is read word by word, each a step, the bit of each user too, as these lie in different words. `saw` is a ghost of whoever reads
so: at one instant since he began the end was over in truth, used once, by nobody now, and not on its way.

Held against: an end that is said to be over, and never was meanwhile; the end of file beside a message; who sleeps though
the other end is over, a message is there or there is room; who waits for one that merely keeps an end, though the last that used it was killed; a dead
one whose bit stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from tests.models._engine import Model, Process, Run, World, main

NONE = -1
READ, WRITE = 0, 1  # the ends


@dataclass(slots=True)
class Actor(Process):
    """role: reader, writer, leaver, heir, idler (it uses the end, and does nothing), carrier, taker, starter, child, hoarder, burier; does: messages that it
    is still to send or receive."""

    role: str
    end: int = NONE
    does: int = 0
    leads: bool = False
    over: bool = False
    then: str = ""  # where it goes on when it knows whether an end is over
    asks: int = NONE  # of which end
    at: int = 0
    moves: int = 0
    saw: bool = False
    seen: int = 0  # the counter that it watches, before its mark
    pending: int = NONE  # the mark that the kernel finds if it dies
    tells: int = NONE  # those at the other side of this end
    after: str = ""
    whom: int = NONE
    clean: bool = False  # it has ended by itself
    buried: bool = False


@dataclass(slots=True)
class Pipe(World[Actor]):
    """The cell; users and holders are sets of indices. marks: not_empty, not_full."""

    head: int = 0
    tail: int = 0
    marks: tuple[bool, bool] = (False, False)
    leaders: tuple[int, int] = (0, 0)
    used: tuple[bool, bool] = (False, False)
    gone: tuple[bool, bool] = (False, False)
    keeper: int = 0  # of end 1: who made it, from 1 on; end 0 has none
    in_vain: bool = False  # a ghost: the last living user of end 1 was killed, and no other came
    users: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
    holders: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
    moves: int = 0
    puts: int = 0  # of end 1; end 0 is never passed on
    takes: int = 0
    items: int = 0  # in the other queue, that carry end 1


def both(old: tuple[bool, bool], end: int, word: bool) -> tuple[bool, bool]:
    return (word, old[1]) if end == 0 else (old[0], word)


class Pipes(Model[Pipe, Actor]):
    """Safeguards: *pending*, *wake*, *always*, *over first*, *users*, *moves*, *counted first*, *bit first*, *watched*, *leader*,
    *kept*, *in vain*, *keeper first*, *living*, *dropped*."""

    roles: tuple[str, ...] = ("reader", "writer", "burier")
    sends = 1
    reads = 9  # until the end of file
    room = 1

    def start(self) -> Pipe:
        actors = []
        keeper = 0
        users: tuple[set[int], set[int]] = (set(), set())
        holders: tuple[set[int], set[int]] = (set(), set())
        for i, role in enumerate(self.roles):
            if role in {"burier", "last"}:
                actors.append(Actor("watch", role))
            elif role == "taker":
                actors.append(Actor("take", role, WRITE, self.sends))
            elif role == "child":
                actors.append(Actor("unborn", role, WRITE, self.sends))
            elif role in {"starter", "hoarder"}:
                actors.append(Actor("give" if role == "starter" else "done", role, WRITE))
                holders[WRITE].add(i)
                keeper = i + 1
            else:
                end = READ if role == "reader" else WRITE
                does = {"reader": self.reads, "writer": self.sends, "leaver": self.sends}.get(role, 0)
                actors.append(
                    Actor({"heir": "done", "idler": "done", "carrier": "count"}.get(role, "ask"), role, end, does)
                )
                holders[end].add(i)
                if role != "heir":
                    users[end].add(i)
        return Pipe(
            actors,
            self.kills,
            used=(True, True),
            keeper=keeper,
            users=(frozenset(users[0]), frozenset(users[1])),
            holders=(frozenset(holders[0]), frozenset(holders[1])),
        )

    # helpers

    def me(self, w: Pipe, p: Actor) -> int:
        return next(i for i, other in enumerate(w.processes) if other is p)

    def side(self, p: Actor) -> int:
        """Which mark and leadership: 0 is the readers'."""
        return 0 if p.role == "reader" else 1

    def is_over(self, w: Pipe, end: int) -> bool:
        taken = any(q.role == "taker" and q.pc in {"arrive", "carried", "taken"} for q in w.processes)
        on_its_way = end == WRITE and (w.puts != w.takes or w.items != 0 or taken)
        is_kept = end == WRITE and w.keeper != 0
        return w.gone[end] or (w.used[end] and not w.users[end] and not is_kept and not on_its_way)

    def is_used(self, w: Pipe) -> bool:
        """By one who does nothing: who waits may wait."""
        return any(q.role == "idler" and q.pc != "dead" for q in w.processes)

    def canonical(self, world: Pipe) -> None:
        """The ghost: whoever is just reading whether an end is over."""
        for p in world.processes:
            if p.asks != NONE and not p.saw:
                p.saw = self.is_over(world, p.asks)

    def set_users(self, w: Pipe, end: int, users: frozenset[int]) -> None:
        if end == WRITE and users - w.users[WRITE]:
            w.in_vain = False
        w.users = (users, w.users[1]) if end == 0 else (w.users[0], users)

    def may_go(self, w: Pipe, p: Actor) -> bool:
        return w.head != w.tail if p.role == "reader" else w.tail - w.head < self.room

    # is_over, word by word

    def look(self, p: Actor, end: int, then: str) -> None:
        p.asks, p.then, p.pc, p.saw = end, then, "gone", False

    def answer(self, w: Pipe, p: Actor, over: bool) -> None:
        if over and not p.saw:
            w.fault = "an end is said to be over, and somebody used it all the time"
        p.over, p.pc = over, p.then
        p.asks, p.then, p.at, p.moves, p.saw = NONE, "", 0, 0, False

    def at_gone(self, w: Pipe, p: Actor) -> None:
        if w.gone[p.asks]:
            self.answer(w, p, True)
        else:
            p.pc = "moves"

    def at_moves(self, w: Pipe, p: Actor) -> None:
        p.moves, p.pc = w.moves, "kept"

    def at_kept(self, w: Pipe, p: Actor) -> None:
        if p.asks == WRITE and w.keeper != 0 and "kept" not in self.without:
            self.answer(w, p, False)
        else:
            p.at, p.pc = 0, "bits"

    def at_bits(self, w: Pipe, p: Actor) -> None:
        """A word with one process in it."""
        if p.at in (w.holders if "users" in self.without else w.users)[p.asks] and self.roles[p.at] not in {
            "burier",
            "last",
        }:
            self.answer(w, p, False)
            return
        p.at += 1
        while p.at < len(self.roles) and self.roles[p.at] in {"burier", "last"}:
            p.at += 1
        if p.at == len(self.roles):
            p.at = 0
            p.pc = "sum_takes" if p.asks == WRITE else "again"

    def at_sum_takes(self, w: Pipe, p: Actor) -> None:
        p.at = w.takes
        p.pc = "sum_puts"

    def at_sum_puts(self, w: Pipe, p: Actor) -> None:
        p.at = int(w.puts != p.at)
        p.pc = "again"

    def at_again(self, w: Pipe, p: Actor) -> None:
        if not w.gone[p.asks] and (w.moves == p.moves or "moves" in self.without):
            self.answer(w, p, p.at == 0)
        else:
            p.at, p.moves, p.pc = 0, 0, "gone"

    # an attempt: over? then the ring

    def at_ask(self, w: Pipe, p: Actor) -> None:
        if p.does == 0:
            p.pc = "unlead" if p.leads else "close"
        elif "over first" in self.without and p.role == "reader":
            p.pc = "commit" if w.head != w.tail else "gone"
            if w.head == w.tail:
                self.look(p, 1 - p.end, "attempt")
        else:
            self.look(p, 1 - p.end, "attempt")

    def at_attempt(self, w: Pipe, p: Actor) -> None:
        if p.role == "reader":
            if w.head != w.tail and "over first" not in self.without:
                p.pending, p.pc = self.named(1), "commit"
            elif p.over:
                if w.head != w.tail:
                    w.fault = "the end of file, and a message is there"
                p.does, p.pc = 0, "unlead" if p.leads else "close"
            else:
                p.pc = "mark" if p.leads else "follow"
        elif p.over:
            p.does, p.pc = 0, "unlead" if p.leads else "close"
        elif w.tail - w.head < self.room:
            p.pending, p.pc = self.named(0), "commit"
        else:
            p.pc = "mark" if p.leads else "follow"
        p.over = False

    def named(self, mark: int) -> int:
        return NONE if "pending" in self.without else mark

    def at_commit(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        """Beside each other they come one after the other: that is the end's lock."""
        if not self.may_go(w, p):
            p.pending, p.pc = NONE, "ask"
            return (w,)
        if p.role == "reader":
            w.head += 1
        else:
            w.tail += 1
        p.does -= 1
        p.pc = "wake"
        return (w,)

    def at_wake(self, w: Pipe, p: Actor) -> None:
        mark = 1 - self.side(p)
        p.pc = "wake_futex" if w.marks[mark] else "clear"
        w.marks = both(w.marks, mark, False)

    def wake(self, w: Pipe, p: Actor, mark: int, then: str) -> Iterable[Pipe]:
        for now, me, _ in self.wake_one(w, p, lambda q: q.pc == "asleep" and self.side(q) == mark, self.wake_up):
            me.pc = then
            yield now

    def wake_up(self, p: Actor) -> None:
        p.pc = "ask"

    def at_wake_futex(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        yield from self.wake(w, p, 1 - self.side(p), "clear")

    def at_clear(self, w: Pipe, p: Actor) -> None:
        p.pending = NONE
        p.pc = "unlead" if p.leads else "ask"

    # sleeping

    def at_follow(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        side = self.side(p)
        if w.leaders[side] and "leader" not in self.without:
            return ()
        here = self.me(w, p) + 1
        w.leaders = (here, w.leaders[1]) if side == 0 else (w.leaders[0], here)
        p.leads, p.pc = True, "ask"
        return (w,)

    def at_unlead(self, w: Pipe, p: Actor) -> None:
        w.leaders = (0, w.leaders[1]) if self.side(p) == 0 else (w.leaders[0], 0)
        p.leads, p.pc = False, "ask"

    def at_mark(self, w: Pipe, p: Actor) -> None:
        p.seen = w.tail if p.role == "reader" else w.head
        p.pc = "mark_set"

    def at_mark_set(self, w: Pipe, p: Actor) -> None:
        w.marks = both(w.marks, self.side(p), True)
        if "look again" in self.without:
            p.pc = "futex"
        else:
            self.look(p, 1 - p.end, "look_again")

    def at_look_again(self, w: Pipe, p: Actor) -> None:
        go = p.over or self.may_go(w, p)
        p.over, p.pc = False, "ask" if go else "futex"
        p.seen = 0 if go else p.seen

    def at_futex(self, w: Pipe, p: Actor) -> None:
        moved = p.seen != (w.tail if p.role == "reader" else w.head) and "watched" not in self.without
        p.pc = "asleep" if w.marks[self.side(p)] and not moved else "ask"
        p.seen = 0

    # closing: pn_end_given_up, then the last holder's pn_end_discard

    def at_close(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        if p.role == "leaver":
            p.clean, p.does, p.pc = True, 0, "dead"
        elif w.keeper == self.me(w, p) + 1 and "dropped" not in self.without:
            w.keeper, p.pc = 0, "close_bit"
        else:
            self.at_close_bit(w, p)
        return (w,)

    def at_close_bit(self, w: Pipe, p: Actor) -> None:
        self.set_users(w, p.end, w.users[p.end] - {self.me(w, p)})
        if "wake" in self.without:
            p.pc = "let_go"
        else:
            self.tell(p, p.end, "let_go")

    def at_let_go(self, w: Pipe, p: Actor) -> None:
        holders = w.holders[p.end] - {self.me(w, p)}
        self.set_holders(w, p.end, holders)
        p.pc = "done" if holders or (p.end == WRITE and w.puts != w.takes) else "discard"

    def at_discard(self, w: Pipe, p: Actor) -> None:
        w.gone = both(w.gone, p.end, True)
        self.tell(p, p.end, "done")

    def set_holders(self, w: Pipe, end: int, holders: frozenset[int]) -> None:
        w.holders = (holders, w.holders[1]) if end == 0 else (w.holders[0], holders)

    # wake_peers: of end 1 those who wait for messages, mark 0; of end 0 those who wait for room, mark 1

    def tell(self, p: Actor, end: int, after: str) -> None:
        p.tells, p.after = end, after
        self.look(p, end, "tell")

    def at_tell(self, w: Pipe, p: Actor) -> None:
        if p.over:
            p.pending, p.pc = self.named(1 - p.tells), "tell_mark"
        else:
            p.pc = "told"
        p.over = False

    def at_tell_mark(self, w: Pipe, p: Actor) -> None:
        mark = 1 - p.tells
        p.pc = "tell_futex" if w.marks[mark] else "told"
        w.marks = both(w.marks, mark, False)

    def at_tell_futex(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        yield from self.wake(w, p, 1 - p.tells, "told")

    def at_told(self, w: Pipe, p: Actor) -> None:
        p.pending = NONE
        p.pc, p.tells, p.after = p.after, NONE, ""

    # burying: pn_pipe_bury, then the holders' bits, then what nobody has and no record names

    def unnamed(self, w: Pipe) -> list[int]:
        """Ends that nobody has: where the sums say nothing, the records are looked at."""
        return [
            end for end in (READ, WRITE) if not w.gone[end] and not w.holders[end] and not (end == WRITE and w.items)
        ]

    def at_watch(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        """One at a time: the domain's lock."""
        busy = any(q.role in {"burier", "last"} and q.pc not in {"watch", "dead"} for q in w.processes)
        dead = [i for i, q in enumerate(w.processes) if q.pc == "dead" and not q.buried]
        if busy or not (dead or self.unnamed(w)):
            return ()
        p.whom = dead[0] if dead else NONE
        p.pc = "bury" if dead else "collect"
        return (w,)

    def at_bury(self, w: Pipe, p: Actor) -> None:
        """End 0, which nobody keeps, and what it kept itself."""
        self.set_users(w, READ, w.users[READ] - {p.whom})
        p.pc = "bury_keeper"

    def at_bury_keeper(self, w: Pipe, p: Actor) -> None:
        if w.keeper == p.whom + 1:
            w.keeper = 0
        p.pc = "bury_bit" if "keeper first" in self.without else "bury_look"
        p.at = int(p.whom in w.users[WRITE])  # for what buries in the wrong order

    def at_bury_look(self, w: Pipe, p: Actor) -> None:
        others = w.users[WRITE] - {p.whom}
        if "living" not in self.without:
            others = frozenset(q for q in others if w.processes[q].pc != "dead")
        was_user = p.whom in w.users[WRITE] or ("keeper first" in self.without and p.at)
        is_last = was_user and not others and not w.processes[p.whom].clean
        then = "bury_told" if "keeper first" in self.without else "bury_bit"
        p.pc = "bury_in_vain" if is_last and w.keeper and "in vain" not in self.without else then

    def at_bury_in_vain(self, w: Pipe, p: Actor) -> None:
        w.keeper = 0
        p.pc = "bury_told" if "keeper first" in self.without else "bury_bit"

    def at_bury_bit(self, w: Pipe, p: Actor) -> None:
        had = p.whom in w.users[WRITE]
        self.set_users(w, WRITE, w.users[WRITE] - {p.whom})
        p.pc = "bury_look" if "keeper first" in self.without else "bury_told"
        if "always" in self.without and not had:
            p.at, p.pc = 0, "bury_holders"

    def at_bury_told(self, w: Pipe, p: Actor) -> None:
        p.at, p.pc = 0, "bury_tell"

    def at_bury_tell(self, w: Pipe, p: Actor) -> None:
        self.tell(p, READ, "bury_tell_other")

    def at_bury_tell_other(self, w: Pipe, p: Actor) -> None:
        self.tell(p, WRITE, "bury_holders")

    def at_bury_holders(self, w: Pipe, p: Actor) -> None:
        self.set_holders(w, READ, w.holders[READ] - {p.whom})
        self.set_holders(w, WRITE, w.holders[WRITE] - {p.whom})
        p.pc = "collect"

    def at_collect(self, w: Pipe, p: Actor) -> None:
        ends = self.unnamed(w)
        if ends:
            w.gone = both(w.gone, ends[0], True)
            self.tell(p, ends[0], "collect")
        else:
            p.pc = "buried"

    def at_buried(self, w: Pipe, p: Actor) -> None:
        if p.whom != NONE:
            w.processes[p.whom].buried = True
        p.whom, p.pc = NONE, "watch"

    # a child is started: it has its bit before it begins

    def at_give(self, w: Pipe, p: Actor) -> None:
        self.set_users(w, WRITE, w.users[WRITE] | {self.roles.index("child")})
        p.pc = "gave"

    def at_gave(self, w: Pipe, p: Actor) -> None:
        child = self.roles.index("child")
        w.moves += 1
        w.processes[child].pc = "ask"
        w.holders = (w.holders[0], w.holders[1] | {child})
        p.pc = "close"

    # passing end 1 on

    def at_count(self, w: Pipe, p: Actor) -> None:
        if "counted first" not in self.without:
            w.puts += 1
        p.pc = "carry"

    def at_carry(self, w: Pipe, p: Actor) -> None:
        w.items += 1
        p.pc = "close"

    def at_take(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        if w.items == 0:
            return ()
        p.pc = "carried" if "bit first" in self.without else "arrive"
        return (w,)

    def at_arrive(self, w: Pipe, p: Actor) -> None:
        w.holders = (w.holders[0], w.holders[1] | {self.me(w, p)})
        self.set_users(w, WRITE, w.users[WRITE] | {self.me(w, p)})
        p.pc = "arrived"

    def at_arrived(self, w: Pipe, p: Actor) -> None:
        w.moves += 1
        p.pc = "ask" if "bit first" in self.without else "carried"

    def at_carried(self, w: Pipe, p: Actor) -> None:
        w.items -= 1
        p.pc = "taken"

    def at_taken(self, w: Pipe, p: Actor) -> None:
        w.takes += 1
        p.pc = "arrive" if "bit first" in self.without else "ask"

    # the kernel

    def may_die(self, process: Actor) -> bool:
        return process.role != "last" and process.pc != "unborn" and super().may_die(process)

    def die(self, world: Pipe, process: Actor) -> None:
        w, p = world, process
        here = self.me(w, p) + 1
        if p.pc == "gave":
            w.processes[self.roles.index("child")].pc = "dead"  # a line that nobody begins
        living = {q for q in w.users[WRITE] if w.processes[q].pc != "dead"}
        if living and living <= {here - 1, *(self.roles.index(r) for r in ("child",) if p.pc == "gave")}:
            w.in_vain = True
        w.leaders = (w.leaders[0] * (w.leaders[0] != here), w.leaders[1] * (w.leaders[1] != here))
        p.pc = "exit_wake" if p.pending != NONE else "dead"
        p.does, p.leads, p.over, p.then, p.asks, p.at, p.moves, p.saw, p.seen = (
            0,
            False,
            False,
            "",
            NONE,
            0,
            0,
            False,
            0,
        )
        p.tells, p.after, p.whom = NONE, "", NONE

    def at_exit_wake(self, w: Pipe, p: Actor) -> Iterable[Pipe]:
        mark, p.pending = p.pending, NONE
        yield from self.wake(w, p, mark, "dead")

    # what must hold

    def check_end(self, world: Pipe) -> str:
        w = world
        for i, p in enumerate(w.processes):
            if p.pc == "asleep" and (self.is_over(w, 1 - p.end) or self.may_go(w, p)):
                return f"one sleeps for ever: {p.role}"
            if p.pc not in {"asleep", "follow", "watch", "take", "unborn", "done", "dead"}:
                return f"nobody moves, and one waits for ever: {p.role} at {p.pc}"
            if p.pc == "follow" and not w.leaders[self.side(p)]:
                return "nobody leads"
            if p.pc == "dead" and "last" in self.roles and any(i in users for users in w.users):
                return "the bit of a dead one stays"
        if w.keeper - 1 in w.holders[WRITE] and not w.in_vain:
            return ""  # another writer may be started
        lively = any(p.pc == "asleep" and p.role == "reader" for p in w.processes)
        working = any(
            p.pc not in {"done", "dead"} for p in w.processes if p.role in {"writer", "leaver", "carrier", "taker"}
        )
        if lively and not working and w.puts == w.takes and not self.is_used(w):
            return "one waits for a message, and all who could send one have ended"
        return ""


PAIR = ("reader", "writer", "last")
IDLE = ("reader", "writer", "idler", "last")
HEIRS = ("reader", "writer", "heir", "last")
PASSED = ("reader", "carrier", "taker", "last")
STARTED = ("reader", "starter", "child", "last")
KEPT = ("reader", "writer", "hoarder", "last")
LEFT = ("reader", "writer", "leaver", "hoarder", "last")

RUNS = [
    Run("a reader, a writer, an heir, 1 kill", Pipes(roles=HEIRS, kills=1), quick=True),
    Run("the same, 2 messages, 2 kills", Pipes(roles=HEIRS, sends=2, kills=2)),
    Run("one who uses it and does nothing, 1 kill", Pipes(roles=IDLE, kills=1), quick=True),
    Run("2 writers", Pipes(roles=("reader", "writer", "writer", "last"))),
    Run("2 readers, 1 kill", Pipes(roles=("reader", *PAIR), reads=1, kills=1)),
    Run("the reader ends first, 2 kills", Pipes(roles=HEIRS, sends=3, reads=1, kills=2)),
    Run("a burier is killed, too, 3 kills", Pipes(roles=("reader", "writer", "heir", "burier", "last"), kills=3)),
    Run("passed on, 1 kill", Pipes(roles=PASSED, sends=0, kills=1)),
    Run("kept, and never closed, 1 kill", Pipes(roles=KEPT, kills=1), quick=True),
    Run(
        "kept: a burier is killed, too, 3 kills",
        Pipes(roles=("reader", "writer", "hoarder", "burier", "last"), kills=3),
    ),
    Run("kept: one is killed, one leaves, 1 kill", Pipes(roles=LEFT, kills=1)),
    Run("kept for a child, 1 kill", Pipes(roles=STARTED, kills=1)),
    Run(
        "who keeps it passes it on, 1 kill",
        Pipes(roles=("reader", "carrier", "taker", "hoarder", "last"), sends=0, kills=1),
    ),
    Run("without the kernel's wake", Pipes(roles=HEIRS, kills=1, without={"pending"}), quick=True),
    Run("who closes wakes nobody", Pipes(roles=HEIRS, without={"wake"}), quick=True),
    Run("a burial wakes only where a bit was", Pipes(roles=HEIRS, kills=1, without={"always"}), quick=True),
    Run("over is asked after the messages", Pipes(roles=PAIR, without={"over first"}), quick=True),
    Run("who has an end counts", Pipes(roles=HEIRS, without={"users"}), quick=True),
    Run("who comes meanwhile is not seen", Pipes(roles=PASSED, without={"moves"}), quick=True),
    Run("passed on and not counted", Pipes(roles=PASSED, without={"counted first"}), quick=True),
    Run("taken before it is used", Pipes(roles=PASSED, without={"bit first"}), quick=True),
    Run("no look between the mark and the sleep", Pipes(roles=HEIRS, without={"look again"}), quick=True),
    Run("the counters are not watched", Pipes(roles=IDLE, kills=1, without={"watched"}), quick=True),
    Run("who keeps it does not count", Pipes(roles=STARTED, without={"kept"}), quick=True),
    Run("who keeps it counts for ever", Pipes(roles=KEPT, kills=1, without={"in vain"}), quick=True),
    Run(
        "a bit goes before its keeper",
        Pipes(roles=(*KEPT[:3], "burier", "last"), kills=2, without={"keeper first"}),
        quick=True,
    ),
    Run("dead users count as users", Pipes(roles=LEFT, kills=1, without={"living"})),
    Run("who closes goes on keeping", Pipes(roles=(*STARTED, "heir"), without={"dropped"}), quick=True),
    Run("without a leader", Pipes(roles=("reader", *IDLE), reads=1, kills=1, without={"leader"})),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
