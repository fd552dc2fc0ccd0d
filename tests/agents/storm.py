"""A storm of stops, kills, freezes and starts over a group of workers under a steady stream.

By hand, for as long as wanted, on the embedded servers or on given ones:

    python -m tests.agents.storm SECONDS SEED [KAFKA REDIS]
"""

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.embedded import embedded_services
from tests.agents.cluster import START_MS, Cluster, cluster, published_once

TOPICS = ("purchases", "repayments", "behaviours")
SESSION = 6.0
EVENTS_A_SECOND = 600
TAKEOVER = 90.0
#: How often the victim is the worker that has worked longest; young ones may not have joined yet.
OLDEST = 0.6


@dataclass
class Storm:
    """What happened, and whether every event was applied once."""

    faults: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    applied: int = 0
    differing: dict[str, tuple[int, int]] = field(default_factory=dict)  # user: sent, applied
    decisions: int = 0
    published: int = 0
    missing: int = 0
    restarted: int = 0
    seconds: float = 0.0
    settling: float = 0.0

    def __str__(self) -> str:
        return (
            f"{dict(self.faults)} in {self.seconds:.0f} s, {self.restarted} restarted; sent {self.sent}, "
            f"applied {self.applied}, users that differ {len(self.differing)}; decisions {self.decisions}, published "
            f"{self.published} ({self.published - self.decisions} repeated with equal bytes), missing {self.missing}; "
            f"settled {self.settling:.1f} s after the last fault"
        )


async def storm(group: Cluster, rng: random.Random, script: list[str], pause: Callable[[], Awaitable[object]]) -> Storm:
    """Work through `script` (start, term, kill, freeze), then wait until everything is applied, and compare.

    `pause` is awaited after each fault.
    """
    found, running = Storm(), True
    begun = time.monotonic()

    async def produce() -> None:
        number = 0
        while running:
            for _ in range(EVENTS_A_SECOND // 50):
                number += 1
                topic = rng.choice(TOPICS)
                await group.send(topic, f"u{rng.randrange(500)}", number, START_MS + number * 100)
            await asyncio.sleep(0.02)
        await group.producer.flush()

    for _ in range(2):
        group.start_worker()
    stream = asyncio.create_task(produce())
    await caught_up(group)
    for fault in script:
        await _inflict(group, rng, fault)
        found.faults[fault] += 1
        found.restarted += supervise(group)
        await pause()
        found.restarted += supervise(group)
    running = False
    await stream
    ended = time.monotonic()
    await caught_up(group)
    found.seconds, found.settling = ended - begun, time.monotonic() - ended
    applied = await group.applied(group.sent)
    found.sent, found.applied = group.sent.total(), applied.total()
    found.differing = {user: (sent, applied[user]) for user, sent in group.sent.items() if applied[user] != sent}
    for worker in list(group.workers):
        await group.end_worker(worker)
    await _compare_decisions(group, found)
    return found


async def caught_up(group: Cluster) -> None:
    """Return once as many events are applied as are sent by now, or `TAKEOVER` seconds later."""
    await _applied(group, max(1, group.sent.total()))


async def moved_on(group: Cluster) -> None:
    """Return once anything more is applied than by now, or `TAKEOVER` seconds later."""
    await _applied(group, (await group.applied(group.sent)).total() + 1)


async def _applied(group: Cluster, wanted: int) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < TAKEOVER:
        if (await group.applied(group.sent)).total() >= wanted:
            return
        supervise(group)
        await asyncio.sleep(0.5)


async def _inflict(group: Cluster, rng: random.Random, fault: str) -> None:
    if fault == "term" and group.embedded_broker:
        # Its broker does not replace a leader who leaves while somebody joins: nobody would ever join again (ADR 0005).
        supervise(group)
        await group.formed(TAKEOVER)
    victim = group.workers[0] if rng.random() < OLDEST else rng.choice(group.workers)
    if fault == "start":
        group.start_worker()
    elif fault == "freeze":
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(SESSION * 1.5)
        victim.send_signal(signal.SIGCONT)
    else:
        number = signal.SIGTERM if fault == "term" else signal.SIGKILL
        victim.send_signal(number)
        group.workers.remove(victim)
        group.ended.append(victim)
        if fault == "term" and group.embedded_broker:
            await asyncio.to_thread(victim.wait)  # before another is started in its place, and joins


def supervise(group: Cluster) -> int:
    """Start anew what has ended by itself, and keep two workers running; how many were started."""
    dead = [worker for worker in group.workers if worker.poll() is not None]
    for worker in dead:
        group.workers.remove(worker)
    lacking = max(0, 2 - len(group.workers))
    for _ in range(lacking):
        group.start_worker()
    return lacking


async def _compare_decisions(group: Cluster, found: Storm) -> None:
    """Every event causes one decision: its id must be there, whatever was published twice must be equal."""
    records = await group.read("warnings")
    causes = {
        identity: value for identity, value in published_once(records).items() if not identity.startswith(b"timer")
    }
    found.decisions, found.published = len(causes), sum(not _is_timer(record) for record in records)
    found.missing = found.sent - len(causes)


def _is_timer(record: Any) -> bool:
    identity: bytes = dict(record.headers)["ce_id"]
    return identity.startswith(b"timer")


async def _by_hand(seconds: float, seed: int, kafka: str, redis: str, *, embedded: bool) -> Storm:
    rng = random.Random(seed)
    script = [rng.choice(["start", "term", "kill", "freeze"]) for _ in range(max(1, round(seconds / 7)))]
    directory = Path(tempfile.mkdtemp(prefix="storm-"))
    sys.stdout.write(f"logs of the workers: {directory}\n")
    async with cluster(kafka, redis, f"storm-{seed}-{time.time_ns()}", directory, embedded=embedded) as group:
        return await storm(group, rng, script, lambda: asyncio.sleep(rng.uniform(2.0, 7.0)))


if __name__ == "__main__":
    length, chosen = float(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > 3:
        result = asyncio.run(_by_hand(length, chosen, sys.argv[3], sys.argv[4], embedded=False))
    else:
        with embedded_services() as services:
            result = asyncio.run(_by_hand(length, chosen, services.kafka_bootstrap, services.redis_url, embedded=True))
    sys.stdout.write(f"{result}\n")
    sys.exit(bool(result.differing or result.missing))
