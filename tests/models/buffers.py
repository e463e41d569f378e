"""The life of a buffer that is counted by `puts` and `takes`: sent, taken, leased, acknowledged, dropped, swept.

The steps are in `_counted.py` and `_collecting.py`. Held against: the object freed while a record, a lease or a holder names it; and left over when nothing does,
after the sweep of the dead.
"""

from __future__ import annotations

import sys

from tests.models._counted import Counted
from tests.models._engine import Run, main

# Word 0 of the bits holds the even processes, word 1 the odd ones.
SENT = (("put", "drop"), ("take", "drop"))
BESIDE = (*SENT, ("drop",))
# Taken from one ring and put into the other, against the direction of the walk.
SENT_ON = (("put plain", "drop"), ("take plain", "put", "drop"), ("take", "drop"))
SENT_TWICE = (("put", "put", "drop"), ("take", "drop"), ("take", "drop"))
LEASED = (("put", "drop"), ("lease", "drop"), ("ack",))
REDELIVERED = (("put", "drop"), ("lease", "drop", "ack"), ("redeliver", "drop", "ack"))
FAILED = (("fail", "put", "drop"), ("take", "drop"))
DISCARDED = (("put plain", "drop", "discard"), ("drop",))


def case(scripts: tuple[tuple[str, ...], ...], *without: str, kills: int = 1, **settings: object) -> Counted:
    """Two kills go with two janitors, as a janitor may be the second one killed."""
    return Counted(scripts=scripts, kills=kills, janitors=kills, without=set(without), **settings)


def beside(*without: str, kills: int = 1, **settings: object) -> Counted:
    """A third process has it as well."""
    return case(BESIDE, *without, kills=kills, held=(0, 2), **settings)


def discarded(*without: str, kills: int = 1) -> Counted:
    return case(DISCARDED, *without, kills=kills, held=(0, 1))


RUNS = [
    Run("sent, another holder, 2 kills", beside(kills=2)),
    Run("the same, no look without the lock", beside(kills=2, peeks=False)),
    Run("sent on through a second ring, 1 kill", case(SENT_ON), quick=True),
    Run("the same, no look without the lock, 2 kills", case(SENT_ON, kills=2, peeks=False)),
    Run("sent twice, 1 kill", case(SENT_TWICE)),
    Run("leased, acknowledged by another, 2 kills", case(LEASED, kills=2)),
    Run("redelivered, 2 kills", case(REDELIVERED, kills=2)),
    Run("a put that failed, 2 kills", case(FAILED, kills=2), quick=True),
    Run("in a queue that is discarded, 2 kills", discarded(kills=2), quick=True),
    Run("`puts` grows after the commit", case(SENT, "puts first"), quick=True),
    Run("`takes` grows before the take", case(SENT, "takes last"), quick=True),
    Run("`takes` grows before the ack", case(LEASED, "ack first"), quick=True),
    Run("an ack counts its takes after the lock", case(LEASED, "ack under lock"), quick=True),
    Run("the sums are read before the holders", beside("holders first"), quick=True),
    Run("a sweep reads `puts` before `takes`", case(SENT_TWICE, "takes before puts"), quick=True),
    Run("no look at `moves`", case(SENT_ON, "moves"), quick=True),
    Run("the sender's drop does not look", case(SENT, "look"), quick=True),
    Run("the acker does not look", case(LEASED, "ack looks"), quick=True),
    Run("no sweep marks the object", case(SENT, "scan"), quick=True),
    Run("a sweep marks it after it has looked at the bits", beside("scan first"), quick=True),
    Run("a sweep marks only what the dead one held", case(LEASED, "scan all"), quick=True),
    Run("the walk does not see leases", case(LEASED, "walk leases"), quick=True),
    Run("a put that failed counts no take", case(FAILED, "failed put counts"), quick=True),
    Run("a discarded queue counts no takes", discarded("discard counts"), quick=True),
    Run("it counts them before it is empty", discarded("discard first"), quick=True),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
