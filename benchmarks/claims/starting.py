"""A process that does nothing: started and joined."""

from benchmarks.runner import Case, Claim, Measure, Ratio
from benchmarks.starter import OURS, PEER, floors, starts

LARGE = 512 << 20


def case(title: str, contestants: dict[str, Measure], claimed: float) -> Case:
    return Case(title, "ms", contestants, [Ratio(OURS, PEER, claimed)], more_is_better=False, parts_of=PEER)


CLAIM = Claim(
    "starting",
    "Process: start and join",
    [
        case("fork", starts("fork"), 1),
        case("spawn", starts("spawn"), 1),
        case("forkserver, preloaded", starts("forkserver") | floors(), 3),
        case("forkserver, the parent has written 512 MiB", starts("forkserver", LARGE), 3),
    ],
)
