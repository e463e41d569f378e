"""Measures claims: rounds in which everybody has one turn, then medians and ratios."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Sample(NamedTuple):
    seconds: float  # what the timed part took
    value: float  # in the unit of the case


Measure = Callable[[int], Sample]  # of so many items


class Ratio(NamedTuple):
    """How many times better `ours` is claimed to be than `peer`, at least."""

    ours: str
    peer: str
    claimed: float


@dataclass(frozen=True)
class Case:
    title: str
    unit: str
    contestants: dict[str, Measure]
    ratios: list[Ratio]
    more_is_better: bool = True
    parts_of: str = ""  # whoever has no ratio of its own: what part it is of that one's time


@dataclass(frozen=True)
class Claim:
    name: str
    title: str
    cases: list[Case]


class Pace(NamedTuple):
    rounds: int
    seconds: float  # what the timed part of one turn should take


FULL = Pace(rounds=7, seconds=0.4)
QUICK = Pace(rounds=3, seconds=0.08)


@dataclass
class Result:
    """The rounds' values of one case, in the order of the rounds."""

    claim: Claim
    case: Case
    values: dict[str, list[float]] = field(default_factory=dict)

    def ratios_of_rounds(self, ratio: Ratio) -> list[float]:
        better, worse = self.values[ratio.ours], self.values[ratio.peer]
        if not self.case.more_is_better:
            better, worse = worse, better
        return [one / other for one, other in zip(better, worse, strict=True)]

    def parts_of_rounds(self, name: str) -> list[float]:
        return [one / whole for one, whole in zip(self.values[name], self.values[self.case.parts_of], strict=True)]

    def ratio(self, ratio: Ratio) -> float:
        return statistics.median(self.ratios_of_rounds(ratio))


def fitting_count(measure: Measure, seconds: float) -> int:
    """So many items that a turn takes about that long. Finding out is the warm-up of code and machine."""
    count, before = 1, measure(1).seconds
    while True:
        count *= 8
        took = measure(count).seconds
        if took >= seconds / 3:
            took = min(took, measure(count).seconds)  # on a busy machine the barrier alone may take its time
            if took >= seconds / 3 and took > 2 * before:
                return max(int(count * seconds / took), 1)
        before = took


def run(claim: Claim, pace: Pace) -> list[Result]:
    results = []
    for case in claim.cases:
        counts = {name: fitting_count(measure, pace.seconds) for name, measure in case.contestants.items()}
        result = Result(claim, case, {name: [] for name in counts})
        for _ in range(pace.rounds):
            for name, measure in case.contestants.items():
                result.values[name].append(measure(counts[name]).value)
        results.append(result)
    return results
