"""How long a warning takes: from the moment its event was due to be published until a consumer has the warning.

    python -m benchmarks.latency --shares 0.25 0.5 0.75 --seconds 60

Accounts and a life of 60 days until now are worked off first; then `benchmarks/load.py` publishes at fixed rates, open
loop, by the clock. A consumer of `warnings` notes when it has each of them; the event's id tells when the event was
due. Both are on this machine, so one clock measures; and because both would have processors of their own in the field,
they come before broker, Redis and workers where processors are short.

Rates are shares of the capacity: of what is applied while the same load generator publishes more than that.
`--capacity` gives another one, such as `python -m benchmarks.product` measures with no load generator beside it;
`--rates` gives events per second.
"""

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks.book import DAY_MS, life, opening
from benchmarks.deployment import Deployment, publish
from benchmarks.priority import give_way
from benchmarks.servers import servers

#: The beginning is not counted: the broker's code is compiled, which takes half a processor for as long, and caches
#: fill. Later rates of the same run find it done.
FIRST_WARM_UP_SECONDS, WARM_UP_SECONDS = 40.0, 10.0
#: The rate while the broker warms up before the capacity is measured, and the one that is too much; and the seconds of
#: it that count, after those in which a backlog comes together.
WARM_UP_RATE, TOO_MUCH, BACKLOG_SECONDS, TOO_MUCH_SECONDS = 15_000.0, 260_000.0, 3.0, 9.0
#: Seconds per event that making the load takes, at most, before it begins.
MAKING_SECONDS = 25e-6
#: What came later than this after the end of the load is not waited for.
SETTLE_SECONDS = 5.0
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


class _Cause(msgspec.Struct):
    event_id: str = ""


class _Warning(msgspec.Struct):
    cause: _Cause


@dataclass(frozen=True)
class Measured:
    """Latencies at one rate, in milliseconds by quantile."""

    rate: float
    applied: float  # events per second that were counted meanwhile
    batches: float  # per second
    warnings: int
    milliseconds: dict[str, float]
    generator_late_ms: float
    processor: dict[str, float]  # cores in use, by workers, broker, Redis
    histogram: list[tuple[float, int]]  # upper bound in ms, warnings


class Receiver(threading.Thread):
    """Reads `warnings` from their end on, and notes when each came."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        super().__init__(daemon=True)
        self._servers, self._partitions = bootstrap, partitions
        self._decode = msgspec.json.Decoder(_Warning).decode
        self._ended = threading.Event()
        self.ready = threading.Event()
        self.seconds: list[tuple[float, float]] = []  # when it was due, and how long it took

    def run(self) -> None:
        """Until `stop`."""
        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "latency", "enable.auto.commit": False})
        places = []
        for number in range(self._partitions):
            place = TopicPartition("warnings", number)
            place.offset = consumer.get_watermark_offsets(place, timeout=30)[1]
            places.append(place)
        consumer.assign(places)
        self.ready.set()
        while not self._ended.is_set():
            message = consumer.poll(0.1)
            now = time.time()
            if message is not None and message.error() is None:
                due = self._decode(message.value()).cause.event_id.partition("-")[0]
                if due:  # else a timer's, which has no event
                    self.seconds.append((int(due) / 1000, now - int(due) / 1000))
        consumer.close()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self.join()


class _Load:
    """Events that another process publishes from `begin` on; making them takes a while."""

    def __init__(self, deployment: Deployment, users: int, rate: float, seconds: float, seed: int) -> None:
        self.begin = time.time() + 5 + rate * seconds * MAKING_SECONDS
        arguments = [deployment.servers.bootstrap, users, rate, seconds, self.begin, seed, deployment.partitions]
        command = [sys.executable, "-m", "benchmarks.load", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[1])

    def until(self, seconds: float) -> None:
        """Wait until so many seconds of it are over."""
        time.sleep(max(0.0, self.begin + seconds - time.time()))

    def ended(self) -> Any:
        """What it tells of itself. Raises SystemExit where it could not be published."""
        said = self._process.communicate()[0]
        if self._process.returncode:
            raise SystemExit("the load could not be published")
        return json.loads(said)


def overloaded(deployment: Deployment, users: int, published: int, seed: int) -> float:
    """Events per second that are applied while more are published, with the broker warm; then works off the backlog.

    `published` events have been published to the deployment before.
    """
    published += _Load(deployment, users, WARM_UP_RATE, FIRST_WARM_UP_SECONDS, seed).ended()["sent"]
    load = _Load(deployment, users, TOO_MUCH, BACKLOG_SECONDS + TOO_MUCH_SECONDS, seed + 1)
    load.until(BACKLOG_SECONDS)
    first = asyncio.run(deployment.counted())
    load.until(BACKLOG_SECONDS + TOO_MUCH_SECONDS)
    last = asyncio.run(deployment.counted())
    asyncio.run(deployment.until(published + load.ended()["sent"]))
    return (last.events - first.events) / (last.at - first.at)


def measure(deployment: Deployment, users: int, rate: float, warm_up: float, seconds: float, seed: int) -> Measured:
    """Load the running workers with `rate` events per second."""
    receiver = Receiver(deployment.servers.bootstrap, deployment.partitions)
    receiver.start()
    receiver.ready.wait()
    load = _Load(deployment, users, rate, warm_up + seconds, seed)
    load.until(warm_up)
    used, first = deployment.processor_seconds(), asyncio.run(deployment.counted())
    load.until(warm_up + seconds)
    last = asyncio.run(deployment.counted())
    spent = {name: now - used[name] for name, now in deployment.processor_seconds().items()}
    told = load.ended()
    time.sleep(SETTLE_SECONDS)
    receiver.stop()
    took = np.array([took for due, took in receiver.seconds if due >= load.begin + warm_up]) * 1000
    if not len(took):
        raise SystemExit("no event of the load led to a warning")
    bounds = 10.0 ** np.arange(0, 4.01, 0.05)
    counts = np.histogram(took, np.concatenate([[0], bounds]))[0]
    return Measured(
        rate=rate,
        applied=(last.events - first.events) / (last.at - first.at),
        batches=(last.batches - first.batches) / (last.at - first.at),
        warnings=len(took),
        milliseconds={f"p{100 * q:g}": float(np.quantile(took, q)) for q in QUANTILES},
        generator_late_ms=told["most_late_seconds"] * 1000,
        processor={name: seconds_ / (last.at - first.at) for name, seconds_ in spent.items()},
        histogram=[(float(bound), int(count)) for bound, count in zip(bounds, counts, strict=True)],
    )


def line(found: Measured) -> str:
    """One rate in a line."""
    times = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in found.milliseconds.items())
    cores = ", ".join(f"{name} {share:.2f}" for name, share in found.processor.items())
    return (
        f"{found.rate:>8,.0f} events/s ({found.applied:,.0f} applied): {found.batches:,.0f} batches/s, "
        f"{found.warnings:,} warnings, ms: {times};  "
        f"the generator was up to {found.generator_late_ms:.0f} ms late;  cores in use: {cores}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument(
        "--capacity", type=float, help="events per second that shares are taken of; measured first, unless given"
    )
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75])
    parser.add_argument("--rates", type=float, nargs="+", help="events per second, instead of shares")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each rate, after a warm-up")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--residents", type=int, default=24_000, help="records that the worker keeps in memory")
    parser.add_argument("--quick", action="store_true", help="a first look: few users, one rate, little time")
    parser.add_argument("--json", type=Path, help="write figures and histograms to this file")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.users, chosen.rates, chosen.seconds = 20_000, [15_000.0], 15.0
    with servers() as found:
        print(f"{found.described}; {chosen.partitions} partitions, {chosen.users:,} users", flush=True)
        deployment = Deployment(found, chosen.partitions, "clock", {"residents": chosen.residents})
        deployment.begin_anew()
        past = int(time.time() * 1000) - 62 * DAY_MS
        before = itertools.chain(
            opening(chosen.users, begin_ms=past), life(chosen.users, 2 * chosen.users, begin_ms=past + 2 * DAY_MS)
        )
        counts = publish(found.bootstrap, before)
        results = []
        with deployment.running():
            give_way(deployment.pids())
            published, warm_up = sum(counts.values()), FIRST_WARM_UP_SECONDS
            asyncio.run(deployment.until(published))
            if not (chosen.rates or chosen.capacity):
                chosen.capacity, warm_up = overloaded(deployment, chosen.users, published, seed=2), WARM_UP_SECONDS
                print(f"capacity: of {TOO_MUCH:,.0f} events/s, {chosen.capacity:,.0f} are applied", flush=True)
            rates = chosen.rates or [share * chosen.capacity for share in chosen.shares]
            for number, rate in enumerate(rates):
                results.append(measure(deployment, chosen.users, rate, warm_up, chosen.seconds, seed=number + 4))
                print(line(results[-1]), flush=True)
                warm_up = WARM_UP_SECONDS
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in results], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
