"""The whole product path: every feature, trigger, grade, limit and collection rule, durable state, published decisions.

    python -m benchmarks.product --users 5000 500000 --events 1000000 --repeat 5

A synthetic book (`benchmarks/book.py`) lies in the topics; real workers (`duewatch worker`) read it from the start and
from an empty store, as after a stop. What is timed is from the moment when all accounts are open and have lived a
little, because the first events of an account lead to more decisions than all that come later, and every worker is at
work on its share, until every event is committed and its decisions are confirmed by the broker; workers count an event
only then. The rate is that of the events that were counted in this time.
"""

import argparse
import asyncio
import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.book import life, opening
from benchmarks.deployment import Deployment, publish
from benchmarks.servers import servers


@dataclass(frozen=True)
class Run:
    """One run. `processor` is in seconds, by "workers", "broker" and "redis"."""

    users: int
    partitions: int
    workers: int
    events: int
    seconds: float
    decisions: int
    batches: int
    processor: dict[str, float]

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


async def timed(deployment: Deployment, users: int, before: int, events: int) -> Run:
    """Time the workers from the event `before` on, and once all have begun, until that and `events` are counted."""
    await deployment.until_all_work()
    start = await deployment.until(before)
    used = deployment.processor_seconds()
    end = await deployment.until(before + events)
    processor = {name: seconds - used[name] for name, seconds in deployment.processor_seconds().items()}
    return Run(
        users=users,
        partitions=deployment.partitions,
        workers=len(deployment.workers),
        events=end.events - start.events,
        seconds=end.at - start.at,
        decisions=end.decisions - start.decisions,
        batches=end.batches - start.batches,
        processor=processor,
    )


def measure(deployment: Deployment, users: int, before: int, events: int, workers: int) -> Run:
    """One run from nothing."""
    deployment.begin_anew()
    with deployment.running(workers):
        return asyncio.run(timed(deployment, users, before, events))


def line(runs: Sequence[Run]) -> str:
    """The figures of equal runs in a line."""
    rates = sorted(run.rate for run in runs)
    used = {
        name: statistics.median(run.processor[name] / run.events for run in runs) * 1e6 for name in runs[0].processor
    }
    shares = ", ".join(f"{name} {microseconds:.1f}" for name, microseconds in used.items())
    decided = runs[-1].decisions / runs[-1].events
    return (
        f"{runs[0].users:>9,} users  {runs[0].workers} worker(s)  {rates[0]:>9,.0f} {statistics.median(rates):>9,.0f} "
        f"{rates[-1]:>9,.0f} events/s (min, median, max of {len(runs)});  {decided:.2%} decisions per event; "
        f"{runs[-1].events / max(runs[-1].batches, 1):,.0f} events a batch;  processor us/event: {shares}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[5_000, 500_000])
    parser.add_argument("--events", type=int, default=1_000_000, help="timed events")
    parser.add_argument("--before", type=float, default=3.0, help="events per user that come before those, untimed")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--residents", type=int, default=24_000, help="records that the workers keep in memory")
    parser.add_argument("--quick", action="store_true", help="a first look: little data, two runs")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.users, chosen.events, chosen.repeat = [5_000], 200_000, 2
    runs: list[Run] = []
    for users in chosen.users:
        with servers() as found:
            print(f"{found.described}; {chosen.partitions} partitions, {chosen.residents:,} residents", flush=True)
            deployment = Deployment(found, chosen.partitions, options={"residents": chosen.residents})
            deployment.begin_anew()
            lived = int(chosen.before * users) + chosen.events
            counts = publish(found.bootstrap, itertools.chain(opening(users), life(users, lived)))
            before = sum(counts.values()) - chosen.events
            by_workers: dict[int, list[Run]] = {workers: [] for workers in chosen.workers}
            for _ in range(chosen.repeat):
                for workers, of_workers in by_workers.items():
                    of_workers.append(measure(deployment, users, before, chosen.events, workers))
                    print(line(of_workers[-1:]), flush=True)
            for of_workers in by_workers.values():
                print(line(of_workers), flush=True)
                runs += of_workers
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
