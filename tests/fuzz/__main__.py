"""Fuzz the decoder, and everything else that reads bytes from outside: `python -m tests.fuzz --records 1000000`.

Ends with 1 where something did not hold; what failed is added to `tests/fuzz/corpus`, which `make test` replays.
"""

import argparse
import logging
import time

from tests.fuzz.campaign import PART, Report, run, run_others, say


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records for the decoder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--others", type=int, default=4_000, help="values for each of the other targets")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began, whole = time.monotonic(), Report()
    for report in run(given.records, given.seed, given.processes):
        whole.add(report)
        if whole.records % (10 * PART) == 0:
            say(f"{whole.records:,} records, {whole.records / (time.monotonic() - began):,.0f} a second")
    seconds = time.monotonic() - began
    for line in whole.lines():
        say(line)
    say(f"{whole.records:,} records, {whole.accounted:,} accounted for")
    say(f"{seconds:.0f} s, {whole.records / seconds:,.0f} a second; {whole.cpu_seconds:.0f} s of processor time")
    say(f"{whole.decided:,} of the accepted decided twice, {whole.decisions:,} decisions")
    whole.add(run_others(given.others, given.seed))
    for name, count in sorted(whole.others.items()):
        say(f"{name:28}{count:>8,}")
    for broken in whole.broken[:50]:
        say(f"DOES NOT HOLD: {broken[:2_000]}")
    unexplained = whole.records - whole.accounted
    say(f"{len(whole.broken)} failures, {unexplained} records unexplained")
    return 1 if whole.broken or unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
