"""How much memory one worker takes while it works off a backlog, on Apache Kafka and Redis.

    python -m tests.faults.memory --events 3600000 --users 500000

An hour of traffic at 1,000 events/s is 3.6 million events. Resident set and progress are sampled once a second and
written to docs/img/memory.csv and docs/img/memory.svg.
"""

import argparse
import asyncio
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from app.embedded import child_process, free_port, stop_process
from app.exposition import fetch_samples, total
from tests.agents.cluster import create_topics
from tests.faults.backlog import publish_backlog
from tests.faults.plot import line_plot
from tests.servers.kafka import KafkaCluster, jars
from tests.store.redis_servers import running_redis

ROOT = Path(__file__).parents[2]
LIMIT_MB = 500
HOUR_MS = 3_600_000
#: Seconds without progress after which the measurement is given up.
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one sample found."""

    seconds: float
    applied: int
    resident_mb: float


def say(line: str) -> None:
    """Print at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def resident_mb(pid: int) -> float:
    """The resident set of a process, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) / 1000


async def watch(worker: subprocess.Popen[bytes], port: int, events: int) -> list[Look]:
    """Sample the worker once a second until `events` are applied.

    Raises RuntimeError where it ends before, or makes no progress.
    """
    begun = moved = time.monotonic()
    looks: list[Look] = []
    while not looks or looks[-1].applied < events:
        await asyncio.sleep(1)
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with {worker.returncode}")
        try:
            samples = await fetch_samples(f"http://127.0.0.1:{port}/metrics")
        except aiohttp.ClientError:
            samples = []  # it does not listen yet
        now = time.monotonic()
        applied = int(total(samples, "duewatch_events_total"))
        if not looks or applied > looks[-1].applied:
            moved = now
        elif now - moved > PATIENCE:
            raise RuntimeError(f"no event was applied for {PATIENCE} s after {applied} of {events}")
        looks.append(Look(now - begun, applied, resident_mb(worker.pid)))
        if len(looks) % 10 == 0:
            say(f"{looks[-1].seconds:6.0f} s {applied:9d} events {looks[-1].resident_mb:6.0f} MB")
    return looks


async def measure(arguments: argparse.Namespace, directory: Path) -> list[Look]:
    """Start the servers, publish the backlog, and watch a worker work it off."""
    kafka = KafkaCluster(directory / "kafka", jars(Path.home() / ".cache" / "duewatch"), heap_mb=1_024)
    with running_redis(directory / "redis") as redis_port:
        kafka.start()
        try:
            await create_topics(kafka.bootstrap, arguments.partitions)
            begun = time.monotonic()
            size = await publish_backlog(
                kafka.bootstrap, arguments.partitions, arguments.events, arguments.users, arguments.hours * HOUR_MS
            )
            say(f"published {arguments.events} events, {size / 1e6:.0f} MB, in {time.monotonic() - begun:.0f} s")
            port = free_port()
            command = [sys.executable, "-m", "app", "worker", "--kafka", kafka.bootstrap]
            command += ["--redis", f"redis://127.0.0.1:{redis_port}/0", "--http-port", str(port)]
            settings = {
                "DUEWATCH_TIME_MODE": "event",
                "DUEWATCH_LOG_FORMAT": "console",
                "DUEWATCH_SESSION_TIMEOUT": "6",
            }
            worker = child_process([*command], directory / "worker.log", os.environ | settings)
            try:
                return await watch(worker, port, arguments.events)
            finally:
                stop_process(worker)
                say((directory / "worker.log").read_text(errors="replace")[-arguments.log :])
        finally:
            kafka.stop()


def summary(looks: Sequence[Look], events: int) -> str:
    """The figures in words."""
    first = next(look for look in looks if look.applied)
    quarters = [next(look for look in looks if look.applied * 4 >= events * part) for part in (1, 2, 3, 4)]
    shares = ", ".join(f"{25 * part} %: {look.resident_mb:.0f}" for part, look in enumerate(quarters, 1))
    rate = (looks[-1].applied - first.applied) / max(1.0, looks[-1].seconds - first.seconds)
    most = max(look.resident_mb for look in looks)
    return f"resident set, MB: at most {most:.0f}; at {shares}; {rate:,.0f} events/s"


def write(looks: Sequence[Look], directory: Path, title: str) -> None:
    """The table and the plot."""
    with (directory / "memory.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["seconds", "events", "resident_mb"])
        table.writerows((f"{look.seconds:.1f}", look.applied, f"{look.resident_mb:.1f}") for look in looks)
    plot = line_plot(
        [(look.applied / 1e6, look.resident_mb) for look in looks],
        title=title,
        across="events applied, million",
        up="resident set of the worker, MB",
        limit=LIMIT_MB,
    )
    (directory / "memory.svg").write_text(plot)


def main() -> int:
    """Measure, print, and say whether the limit holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=3_600_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--hours", type=int, default=1, help="span of event time")
    parser.add_argument("--out", type=Path, help="where memory.csv and memory.svg go, if anywhere")
    parser.add_argument("--log", type=int, default=2_000, help="characters of the worker's log to show")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duewatch-memory-") as directory:
        looks = asyncio.run(measure(arguments, Path(directory)))
    say(summary(looks, arguments.events))
    if arguments.out is not None:
        title = f"One worker, {arguments.partitions} partitions, {arguments.users:,} users"
        write(looks, arguments.out, title)
    return 0 if max(look.resident_mb for look in looks) < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
