"""`python -m tests.faults`: faults into a running group on Apache Kafka and Redis, then the oracle."""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from app.embedded import termination_as_interrupt
from tests.faults.harness import Run, run, to_terminal
from tests.faults.schedule import LAST_FAULT, SHORT, kinds
from tests.servers.available import CACHE
from tests.servers.kafka import ToolMissing, jars

UNITS = {"s": 1, "m": 60, "h": 3600}
USERS_PER_EVENT = 100


def main() -> int:
    """The exit code: 0 where nothing was lost, applied twice or different, else 1; 2 where it could not run."""
    arguments = _parser().parse_args()
    try:
        libraries = jars(CACHE)
    except ToolMissing as missing:
        to_terminal(str(missing))
        return 2
    kept = arguments.keep_logs is not None
    directory = arguments.keep_logs or Path(tempfile.mkdtemp(prefix="faults-"))
    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=directory / "harness.log", level=logging.WARNING, format="%(asctime)s %(message)s")
    with termination_as_interrupt():
        report = asyncio.run(run(_wanted(arguments), directory.resolve(), libraries, to_terminal))
    sys.stdout.write(f"\n{report}\n")
    if arguments.report is not None:
        report.write(arguments.report)
    if report.passed and not kept:
        shutil.rmtree(directory)
    else:
        sys.stdout.write(f"logs: {directory}\n")
    return 0 if report.passed else 1


def _wanted(arguments: argparse.Namespace) -> Run:
    possible = kinds(arguments.brokers)
    if arguments.faults:
        chosen = tuple(arguments.faults.split(","))
    else:
        chosen = tuple(kind for kind in SHORT if kind in possible) if arguments.short else (*possible, LAST_FAULT)
    unknown = set(chosen) - set(possible) - {LAST_FAULT}
    if unknown:
        raise SystemExit(f"unknown faults: {', '.join(sorted(unknown))}; there are {', '.join(possible)}")
    return Run(
        duration=arguments.duration,
        events=arguments.events,
        seed=arguments.seed,
        brokers=arguments.brokers,
        workers=arguments.workers,
        partitions=arguments.partitions,
        redis=arguments.redis,
        time_mode=arguments.time_mode,
        every=arguments.every,
        users=arguments.users or max(100, arguments.events // USERS_PER_EVENT),
        faults=chosen,
        short=arguments.short,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Publish a seeded stream to a running group of workers while brokers, Redis, network and workers "
        "fail, then recompute everything from the topics alone and compare exactly. Needs Java 17, Maven (for Apache "
        "Kafka's jars, fetched once) and redis-server. Exit code 1 where anything was lost, applied twice or differs.",
        epilog="Example: python -m tests.faults --duration 15m --events 2000000 --seed 7 --report soak.json",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--duration", type=_seconds, default="3m", help="how long faults are injected: 90s, 15m, 1h")
    add("--events", type=int, default=60_000, help="records to publish, evenly over the duration")
    add("--users", type=int, default=0, help=f"users of the stream; 0: one for every {USERS_PER_EVENT} events")
    add("--seed", type=int, default=7, help="of stream and schedule")
    add("--brokers", type=int, choices=(1, 3), default=3, help="with 3, topics are kept thrice, twice at least")
    add("--workers", type=int, default=3, help="workers that are kept running")
    add("--partitions", type=int, default=6, help="of every topic that is keyed by user")
    add("--redis", choices=("single", "cluster"), default="single", help="one server, or a cluster of three masters")
    add("--time-mode", choices=("event", "clock"), default="event", help="what fires timers")
    add("--every", type=_range, default="5-15", help="seconds from one fault to the next, at random")
    add("--short", action="store_true", help="shorter faults, and the most telling kinds only")
    add("--faults", default="", help="only these kinds, separated by commas")
    add("--report", type=Path, default=None, help="also write the report as JSON into this file")
    add("--keep-logs", type=Path, default=None, help="keep logs and data of everything in this directory")
    return parser


def _seconds(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else float(text)


def _range(text: str) -> tuple[float, float]:
    least, most = text.split("-")
    return float(least), float(most)


if __name__ == "__main__":
    sys.exit(main())
