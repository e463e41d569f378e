"""Leases of a JoinableQueue: taken, acknowledged, delivered again after a death; and join.

The steps are in `_leasing.py` and `_ending.py`. Held against: an item lost; an item there twice, or delivered again though nobody died; a delivery that
is not counted; unfinished derived wrong; somebody who sleeps though he could go on.
"""

from __future__ import annotations

import sys

from tests.models._ending import Ending
from tests.models._engine import Run, main


def case(roles: str, *without: str, kills: int = 1, **settings: object) -> Ending:
    """Roles by their words; "2 consumer" is two of them."""
    words: list[str] = []
    for part in roles.split(", "):
        count, _, word = part.rpartition(" ")
        words += [word] * int(count or 1)
    return Ending(roles=tuple(words), kills=kills, without=set(without), **settings)


RUNS = [
    Run("2 consumers of 1, 2 kills", case("2 consumer, janitor", items=1, kills=2), quick=True),
    Run("2 consumers of 2, 2 janitors, 2 kills", case("2 consumer, 2 janitor", kills=2), quick=True),
    Run("2 consumers of 3, 2 janitors, 3 kills", case("2 consumer, 2 janitor", items=3, kills=3)),
    Run("3 consumers of 2, 2 kills", case("3 consumer, janitor", kills=2)),
    Run("2 consumers that take 2 at once, 2 kills", case("2 consumer, janitor", items=3, batch=2, kills=2), quick=True),
    Run("1 put later, 2 kills", case("2 consumer, producer, 2 janitor", items=1, kills=2)),
    Run("2 joiners, 1 kill", case("consumer, 2 joiner, janitor", items=1), quick=True),
    Run("2 joiners, 1 put later, 1 kill", case("consumer, producer, 2 joiner, janitor", items=1)),
    Run("1 joiner, 2 kills", case("2 consumer, joiner, janitor", kills=2)),
    Run("task_done of others, also before the get, 1 kill", case("2 consumer, acker, janitor"), quick=True),
    Run("the same with a joiner", case("consumer, acker, joiner, janitor", kills=2)),
    Run("twice, 2 kills", case("2 consumer, acker, janitor", todo=2, kills=2)),
    Run("one ends cleanly, 1 kill", case("leaver, consumer, acker, janitor"), quick=True),
    Run("one ends cleanly, and a joiner waits for it", case("leaver, acker, joiner, janitor")),
    Run("dead after 1 delivery, 2 kills", case("2 consumer, joiner, 2 janitor", max_deliveries=1, kills=2)),
    Run("void leases are not ended", case("2 consumer, janitor", "void repair"), quick=True),
    Run("the sweep does not end them", case("2 consumer, janitor", "all repair"), quick=True),
    Run("a lease comes after the take", case("2 consumer, janitor", "lease first"), quick=True),
    Run("deliveries in a second store", case("2 consumer, janitor", "one store", kills=2), quick=True),
    Run("`orphans` is set after the leases", case("2 consumer, 2 janitor", "orphans first", kills=2), quick=True),
    Run("the sweep does not take head_lock", case("3 consumer, janitor", "sweep lock", kills=2)),
    Run("the leader does not sleep on `orphans`", case("2 consumer, janitor", "watch orphans", kills=2), quick=True),
    Run("he does not look at it first", case("2 consumer, janitor", "look at orphans", "watch orphans"), quick=True),
    Run("no list_op_pending in the sweep", case("2 consumer, janitor", "pending in sweep", kills=2), quick=True),
    Run("prepaid is a count", case("2 consumer, acker, janitor", "prepaid_to"), quick=True),
    Run("no list_op_pending in task_done", case("2 consumer, joiner, janitor", "pending in ack"), quick=True),
    Run("a joiner sleeps on one word", case("2 consumer, joiner, janitor", "watch acks"), quick=True),
    Run("the second word changes after the ack", case("2 consumer, joiner, janitor", "acks first"), quick=True),
    Run("task_done ends the oldest lease of all", case("2 consumer, janitor", "own first"), quick=True),
    Run(
        "nobody is woken for a dead letter",
        case("2 consumer, joiner, 2 janitor", "wake for dead letters", max_deliveries=1),
    ),
    Run("a joiner looks without head_lock", case("2 consumer, joiner, janitor", "join lock")),
    Run("a joiner that goes wakes nobody", case("consumer, 2 joiner, janitor", "chain"), quick=True),
    Run("who ended cleanly counts as killed", case("leaver, consumer, janitor", "clean"), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
