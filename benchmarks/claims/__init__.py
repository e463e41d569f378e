"""The claims, in the order in which they run."""

from benchmarks.claims import batches, crowd, ints, locks, pingpong, starting, tuples
from benchmarks.runner import Claim

ALL: list[Claim] = [
    ints.CLAIM,
    crowd.CLAIM,
    tuples.CLAIM,
    batches.CLAIM,
    pingpong.CLAIM,
    locks.CLAIM,
    starting.CLAIM,
]
