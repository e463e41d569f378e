"""What a torture counts, and how it tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.stress.trees import Fall

__all__ = ["Tally", "table"]


@dataclass
class Tally:
    """The sums of a run."""

    kills: Counter[str] = field(default_factory=Counter)
    methods: Counter[tuple[str, str]] = field(default_factory=Counter)  # kills by role and start method
    stops: int = 0
    rounds: int = 0
    items: int = 0
    entries: int = 0  # of locks
    filed: int = 0  # calls of shared dicts
    permits: int = 0  # of semaphores, taken
    in_hand: int = 0
    hands: int = 0  # the most that it can have been
    # Of queues with leases:
    deliveries: int = 0  # that a consumer noted
    redelivered: int = 0
    twice: int = 0  # of these, what a consumer had in hand before
    unnoted: int = 0  # of these, what a consumer had in hand that could not note it
    left_by_clean: int = 0
    dead: int = 0  # dead letters
    joins: int = 0  # that returned
    miscounted: int = 0
    misnamed: int = 0
    # Of large items:
    arrays: int = 0
    array_bytes: int = 0
    hops: int = 0  # of shared arrays
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    stuck: int = 0
    failed: int = 0  # who ended otherwise than he should
    left: int = 0
    gap: float = 0.0  # seconds
    gap_of: str = "-"
    falls: list[Fall] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        self.faults.append(what)
        print(f"FAULT: {what}", flush=True)

    def saw_gap(self, seconds: float, what: str) -> None:
        if seconds > self.gap:
            self.gap, self.gap_of = seconds, what


def quantiles(ascending: list[float]) -> str:
    at = {f"p{percent}": ascending[(len(ascending) - 1) * percent // 100] for percent in (50, 90, 99, 100)}
    return " ".join(f"{name} {seconds * 1000:.0f}" for name, seconds in at.items())


def by_method(tally: Tally, role: str) -> str:
    counts = {method: count for (of, method), count in sorted(tally.methods.items()) if of == role}
    return f" ({', '.join(f'{method} {count}' for method, count in counts.items())})" if counts else ""


def table(tally: Tally, seconds: float) -> str:
    rows: list[tuple[str, object]] = [
        (f"kills: {role}", f"{count}{by_method(tally, role)}") for role, count in sorted(tally.kills.items())
    ]
    rows += [("kills", tally.kills.total())]
    methods = sorted({method for _, method in tally.methods})
    rows += [(f"by {method}", sum(n for (_, by), n in tally.methods.items() if by == method)) for method in methods]
    rows += [("stops", tally.stops)] if tally.stops else []
    rows += [
        ("rounds", tally.rounds),
        ("items passed", tally.items),
        ("locks entered", tally.entries),
        ("calls of dicts", tally.filed),
        ("permits taken", tally.permits),
        ("large items", f"{tally.arrays} of {tally.array_bytes >> 20} MiB, shared arrays passed on {tally.hops}"),
        ("deliveries with leases", tally.deliveries),
        ("redelivered, counted", f"{tally.redelivered}, in hand before {tally.twice}, unnoted {tally.unnoted}"),
        ("left by clean ends", tally.left_by_clean),
        ("dead letters", tally.dead),
        ("joins returned", tally.joins),
        ("worst gap, ms", f"{tally.gap * 1000:.0f} ({tally.gap_of})"),
        ("in hand of the killed", f"{tally.in_hand} (of {tally.hands} that they had asked for)"),
        ("lost", tally.lost),
        ("doubled", tally.doubled),
        ("torn", tally.torn),
        ("miscounted", tally.miscounted),
        ("misnamed", tally.misnamed),
        ("stuck", tally.stuck),
        ("ended otherwise", tally.failed),
        ("left behind", tally.left),
        ("seconds", f"{seconds:.1f}"),
    ]
    if tally.falls:
        times = sorted(fall.seconds for fall in tally.falls)
        guardian = sorted(fall.guardian for fall in tally.falls)
        rows += [
            ("trees", f"{len(times)}, of {sum(fall.size for fall in tally.falls)} processes"),
            ("gone after, ms", quantiles(times)),
            ("guardian too, ms", quantiles(guardian)),
        ]
    return "\n".join(f"{name:24}{value}" for name, value in rows)
