"""Which faults come when: seeded, and every kind as often as every other."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CRASH_POINTS = ("dead-letters", "decided", "committed", "journaled", "published", "acknowledged")
WORKER_FAULTS = ("kill", "term", "rolling", "zombie", "storm", "cut", *(f"crash-{point}" for point in CRASH_POINTS))
REDIS_FAULTS = (
    "redis-restart",
    "redis-lost-second",
    "redis-restored",
    "redis-full",
    "redis-unreachable",
    "redis-slow",
)
BROKER_FAULTS = ("broker-restart", "broker-pause", "disk-full", "trainer-kill")
#: Only where other brokers have everything.
REPLICATED_FAULTS = ("broker-loss",)
#: Comes last and once, as it changes what the stream holds.
LAST_FAULT = "topic-recreated"
#: What the short form has time for, the most telling first.
SHORT = (
    "kill",
    "redis-lost-second",
    "zombie",
    "crash-committed",
    "disk-full",
    "redis-restored",
    "cut",
    "crash-published",
    "redis-full",
    "broker-loss",
    "storm",
    "redis-unreachable",
    "crash-journaled",
    "term",
    "broker-restart",
    "redis-slow",
)


@dataclass(frozen=True)
class Lengths:
    """How long faults last, in seconds."""

    storm: float = 20.0
    unreachable: float = 30.0
    slow: float = 8.0
    full: float = 8.0
    away: float = 10.0  # a lost broker
    pause: float = 8.0
    restored: float = 60.0  # age of the snapshot


LONG_LENGTHS = Lengths()
SHORT_LENGTHS = Lengths(storm=10, unreachable=8, slow=5, full=5, away=6, pause=4, restored=15)


def kinds(brokers: int) -> tuple[str, ...]:
    """All that can be inflicted on a cluster of so many brokers, except the last one."""
    return WORKER_FAULTS + REDIS_FAULTS + BROKER_FAULTS + (REPLICATED_FAULTS if brokers > 1 else ())


def plan(rng: random.Random, among: Sequence[str]) -> Iterator[str]:
    """Kinds for ever: rounds in which each comes once, in an order that is new each time.

    The snapshot of Redis that `redis-restored` needs is not there at once, so it is in the later half of the first
    round.
    """
    first = True
    while True:
        order = list(among)
        rng.shuffle(order)
        if first and "redis-restored" in order:
            order.remove("redis-restored")
            order.insert(rng.randint(len(order) // 2, len(order)), "redis-restored")
        first = False
        yield from order
