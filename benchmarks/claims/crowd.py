"""A crowd on few CPUs must not collapse: ourselves beside ourselves."""

from benchmarks.flow import one_by_one, throughput
from benchmarks.peers import OURS
from benchmarks.runner import Case, Claim, Ratio

PAIR = "1 producer, 1 consumer"
CROWD = "8 producers, 8 consumers"

CLAIM = Claim(
    "crowd",
    "small integers, many processes on the CPUs that there are",
    [
        Case(
            OURS,
            "items/s",
            {
                CROWD: throughput(OURS, 8, 8, one_by_one(range)),
                PAIR: throughput(OURS, 1, 1, one_by_one(range)),
            },
            [Ratio(CROWD, PAIR, 0.4)],
        )
    ],
)
