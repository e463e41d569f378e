"""Results for people (text, Markdown) and for programs (JSON)."""

import datetime as dt
import os
import platform
import statistics
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from benchmarks.runner import Pace, Ratio, Result

EXPLANATION = """\
Written by `make bench ARGS=--write`. A figure is the median (and the range) of the rounds; a ratio is the median of
the rounds' ratios, more is better. SHORT: below what is claimed."""

PACKAGES = ("procession", "faster-fifo", "iceoryx2", "numpy", "pyzmq")


def machine() -> dict[str, str]:
    """Where and when: without it a figure says nothing."""
    return {
        "cpu": _cpu_model(),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}",
        "load": f"{os.getloadavg()[0]:.1f} in the minute before",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in PACKAGES),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def machine_line() -> str:
    return "; ".join(f"{what} {value}" for what, value in machine().items())


def _short(value: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g} "


def _spread(values: list[float]) -> str:
    return f"{_short(statistics.median(values))} ({_short(min(values)).strip()} - {_short(max(values)).strip()})"


def _verdict(result: Result, ratio: Ratio) -> str:
    return "" if result.ratio(ratio) >= ratio.claimed else "SHORT"


def _part(result: Result, name: str) -> str:
    """How much of whose time it is."""
    if not result.case.parts_of:
        return ""
    rounds = result.parts_of_rounds(name)
    median, least, most = statistics.median(rounds), min(rounds), max(rounds)
    return f"{median:.2f} of it ({least:.2f} - {most:.2f})"


def _rows(result: Result) -> Iterator[tuple[str, str, str, str, str]]:
    """(who, median and range, ratio and range, claimed, verdict): one for each contestant or ratio."""
    ours = {ratio.ours for ratio in result.case.ratios}
    for name in result.values:
        value = _spread(result.values[name])
        ratios = [ratio for ratio in result.case.ratios if ratio.peer == name]
        if name in ours or not ratios:
            yield name, value, "" if name in ours else _part(result, name), "", ""
        for ratio in ratios:
            rounds = result.ratios_of_rounds(ratio)
            by = f" ({ratio.ours})" if len(ours) > 1 else ""
            yield (
                name,
                value,
                f"{result.ratio(ratio):.3g}x ({min(rounds):.3g} - {max(rounds):.3g}){by}",
                f">= {ratio.claimed:g}x",
                _verdict(result, ratio),
            )
            value = ""


def text(result: Result) -> str:
    lines = [f"{result.claim.name}: {result.claim.title}, {result.case.title} [{result.case.unit}]"]
    for who, value, ratio, claimed, verdict in _rows(result):
        lines.append(f"    {who:30} {value:28} {ratio:40} {claimed:8} {verdict}".rstrip())
    return "\n".join(lines)


def markdown(results: Iterable[Result], pace: Pace) -> str:
    lines = [
        "# Results of the last full run",
        "",
        EXPLANATION,
        "",
        f"* {pace.rounds} rounds of about {pace.seconds:g} s",
        *(f"* {what}: {value}" for what, value in machine().items()),
    ]
    for result in results:
        lines += [
            "",
            f"## {result.claim.name}: {result.claim.title}, {result.case.title}",
            "",
            f"| | {result.case.unit} | we are | claimed | |",
            "|---|---|---|---|---|",
        ]
        lines += [f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in _rows(result)]
    return "\n".join(lines) + "\n"


def data(results: Iterable[Result], pace: Pace) -> dict[str, Any]:
    return {
        "machine": machine(),
        "rounds": pace.rounds,
        "cases": [
            {
                "claim": result.claim.name,
                "case": result.case.title,
                "unit": result.case.unit,
                "values": result.values,
                "ratios": [ratio._asdict() | {"measured": result.ratio(ratio)} for ratio in result.case.ratios],
            }
            for result in results
        ],
    }
