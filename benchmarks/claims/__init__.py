"""The claims, in the order in which they run."""

from benchmarks.claims import (
    arrays,
    batches,
    crowd,
    dictionaries,
    events,
    ints,
    joinable,
    loaned,
    locks,
    pingpong,
    pipes,
    pools,
    priorities,
    semaphores,
    starting,
    tuples,
    values,
    waiting,
)
from benchmarks.runner import Claim

ALL: list[Claim] = [
    ints.CLAIM,
    crowd.CLAIM,
    tuples.CLAIM,
    batches.CLAIM,
    pingpong.CLAIM,
    pipes.CLAIM,
    arrays.CLAIM,
    loaned.CLAIM,
    locks.CLAIM,
    values.CLAIM,
    events.CLAIM,
    semaphores.CLAIM,
    joinable.CLAIM,
    priorities.CLAIM,
    dictionaries.CLAIM,
    pools.CLAIM,
    starting.CLAIM,
    waiting.CLAIM,
]
