"""Segments: jump, free, sweep. The steps are in `_blocks.py`.

Held against the second rule of core/README.md: at every instant a ring names a block, or a process owns it, or both; in the end,
when the dead have been swept, no block is left over, and none was freed twice or while it was named.
"""

from __future__ import annotations

import sys

from tests.models._blocks import Blocks
from tests.models._engine import Run, main


def mutant(*without: str, kills: int = 1, **settings: object) -> Blocks:
    return Blocks(kills=kills, without=set(without), **settings)


RUNS = [
    Run("1 producer of 2, 1 consumer, 1 kill", Blocks(kills=1), quick=True),
    Run("1 producer of 3, 1 consumer, 1 kill", Blocks(producers=(3,), kills=1), quick=True),
    Run("1 producer of 2, 1 consumer, 2 janitors, 2 kills", Blocks(janitors=2, kills=2)),
    Run("1 producer of 2, 2 consumers, 1 kill", Blocks(consumers=2, kills=1)),
    Run("2 producers of 1, 1 consumer, 1 kill", Blocks(producers=(1, 1), kills=1)),
    Run("2 producers of 1, 1 consumer, 2 janitors, 2 kills", Blocks(producers=(1, 1), janitors=2, kills=2)),
    Run("the taker of a jump owns the segment afterwards", mutant("owner first"), quick=True),
    Run("an allocation is committed before it has an owner", mutant("owner before state"), quick=True),
    Run("the sweep frees without a second look", mutant("look at the owner again"), quick=True),
    Run("the segment table is written after the jump", mutant("table first"), quick=True),
    Run("the slower of two keeps his block", mutant("give back", producers=(2, 1), kills=0)),
]

if __name__ == "__main__":
    sys.exit(main(RUNS))
