"""``python -m benchmarks``: measure the claims, all or those named."""

import argparse
import json
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    # Here, because a spawned child imports this module: what starting costs is not what our peers cost to import.
    from benchmarks import flat, report
    from benchmarks.claims import ALL
    from benchmarks.runner import FULL, QUICK, run

    names = [*(claim.name for claim in ALL), flat.NAME]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("claims", nargs="*", metavar="claim", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--rounds", type=int, help=f"turns of everybody ({FULL.rounds}; quick: {QUICK.rounds})")
    parser.add_argument("--quick", action="store_true", help="short turns: for a look, not for a figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all values, for programs")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.parent.name}/{RESULTS.name}")
    given = parser.parse_args()
    if unknown := set(given.claims) - set(names):
        parser.error(f"no such claim: {', '.join(sorted(unknown))}")
    pace = QUICK if given.quick else FULL
    if given.rounds:
        pace = pace._replace(rounds=given.rounds)

    print(report.machine_line(), flush=True)
    results = []
    for claim in ALL:
        if not given.claims or claim.name in given.claims:
            for result in run(claim, pace):
                print(f"\n{report.text(result)}", flush=True)
                results.append(result)
    memory = []
    if not given.claims or flat.NAME in given.claims:
        for one in flat.run(flat.QUICK if given.quick else flat.ARRAYS):
            print(f"\n{one.text()}", flush=True)
            memory.append(one)
    if given.json:
        given.json.write_text(json.dumps(report.data(results, pace), indent=1) + "\n", encoding="utf-8")
    if given.write:
        RESULTS.write_text(report.markdown(results, pace) + "".join(one.markdown() for one in memory), encoding="utf-8")
    return 0 if all(one.is_flat for one in memory) else 1


if __name__ == "__main__":
    sys.exit(main())
