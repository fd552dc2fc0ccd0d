"""The standard job in our worker and in what one could take instead: events per second, on the same machine at once.

Every engine reads the same topic of one broker, four partitions of purchases keyed by user. For each purchase it
advances what it knows of the user, makes 20 features of it, scores them by a logistic regression, and publishes a
warning where the amount's z-score passes 4. The warnings of every run are compared with those that the definition
leads to: an engine that is fast and wrong is shown as wrong.

Timed is from the first record in the engine's hands to the moment at which the state and the warnings of the last one
are where the engine's guarantee has them (each engine's file says where), by the engine's own clock. Starting, joining
the group and compiling are not in it. Engines run one after the other, round after round, so that noise hits all alike.
Broker, Redis and engine share this machine, so the processor time of each is shown as well.

Slow engines get a short stream, which is the beginning of the whole one: rates are what is compared.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.embedded import termination_as_interrupt
from benchmarks.servers import Servers, servers
from benchmarks.standard.catalogue import ENGINES, Engine
from benchmarks.standard.results import Run, summaries, table
from benchmarks.standard.rounds import Course, EngineFailed

PARTITIONS = 4
USUAL = {"events": 1_000_000, "short": 20_000, "repeat": 5}


def parser() -> argparse.ArgumentParser:
    guarantees = "\n".join(f"  {engine.name:22}{engine.guarantee}" for engine in ENGINES.values())
    parsed = argparse.ArgumentParser(
        prog="python -m benchmarks.standard",
        description=__doc__,
        epilog=f"engines and what each guarantees:\n{guarantees}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parsed.add_argument
    add("--users", type=int, nargs="+", default=[5_000, 500_000], metavar="N", help="users of each stream")
    add("--events", type=int, metavar="N", help="events of a stream (1000000)")
    add("--short", type=int, metavar="N", help="events for slow engines (20000)")
    add("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="NAME", help="which; all if not given")
    add("--repeat", type=int, metavar="N", help="rounds (5)")
    add(
        "--quick", action="store_true", help="a first look: 150000 events, 5000 for slow engines, 1 round, if not given"
    )
    add("--not-durable", action="store_true", help="let Redis write nothing to disk")
    add("--option", nargs="+", default=[], metavar="NAME=VALUE", help="for trying things out; engines read it")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    given = parser().parse_args(argv)
    _fill_in(given)
    options = dict(option.partition("=")[::2] for option in given.option)
    engines = [ENGINES[name] for name in given.engines if _can_run(ENGINES[name])]
    documents, failed = [], False
    for users in given.users:
        # Servers of their own for each stream: all engines read the topic `purchases`.
        with termination_as_interrupt(), servers(durable=not given.not_durable) as found:
            runs, expected = _runs(found, users, engines, given, options)
            figures = summaries(runs)
        print(f"\n{users:,} users, {given.events:,} events, {PARTITIONS} partitions; {found.described}; {_machine()}")
        print(table(figures, expected), flush=True)
        failed |= len(figures) < len(engines) or any(one["verdict"] not in ("same", "none") for one in figures.values())
        documents.append(
            {
                "users": users,
                "servers": found.described,
                "machine": _machine(),
                "expected": expected,
                "engines": figures,
            }
        )
    if given.json:
        given.json.write_text(json.dumps({"standard": documents}, indent=2) + "\n")
    return int(failed)


def _fill_in(given: argparse.Namespace) -> None:
    """What was not given: in a quick run less of everything."""
    usual = {"events": 150_000, "short": 5_000, "repeat": 1} if given.quick else USUAL
    for name, value in usual.items():
        if getattr(given, name) is None:
            setattr(given, name, value)


def _runs(
    found: Servers, users: int, engines: Sequence[Engine], given: argparse.Namespace, options: Mapping[str, str]
) -> tuple[list[Run], int]:
    course = Course(found, users, given.events, given.short, PARTITIONS)
    runs: list[Run] = []
    for number in range(1, given.repeat + 1):
        for engine in engines:
            try:
                run = course.run(engine, options)
            except EngineFailed as failure:
                print(f"round {number}, {engine.name}: {failure}", file=sys.stderr, flush=True)
                continue
            runs.append(run)
            told = f"{users:,} users, round {number}: {engine.name} {run.rate:,.0f} events/s, warnings: {run.verdict}"
            print(told, file=sys.stderr, flush=True)
    return runs, course.expected


def _can_run(engine: Engine) -> bool:
    lacking = engine.lacking()
    if lacking:
        print(f"{engine.name} is left out: {lacking} is not installed", file=sys.stderr)
    return not lacking


def _machine() -> str:
    return f"{os.cpu_count()} processors, Python {platform.python_version()}"


if __name__ == "__main__":
    raise SystemExit(main())
