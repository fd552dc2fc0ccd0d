"""How a deployment grows with its users: Redis's memory, and the time until a worker works, alone and beside another.

    python -m benchmarks.scale --users 1000 10000 100000 1000000 5000000

The records are real ones, of accounts that have lived for some weeks; they are written through the store's own commits
under as many names as there are to be users. Then a worker starts over them, and a second one joins; each time events
of many users are sent to every partition, and what is timed is until all are counted. State is read when its user's
next event comes, so neither should depend on the number of users.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from app.kafka import partition_of
from benchmarks.book import life
from benchmarks.book_records import Lived, lived
from benchmarks.deployment import Deployment, publish
from benchmarks.servers import Servers, servers
from store.contract import Commit, Header, PartitionStore
from store.redis import RedisStore

PARTITIONS = 4
COMMIT = 5_000
#: Events that are sent to see whether every partition works.
PROBES = 2_000


@dataclass(frozen=True)
class Scaled:
    """What so many users cost."""

    users: int
    packed_bytes: float  # of a record, on average
    redis_bytes: float  # of Redis's memory per user, all told
    start_seconds: float  # from the start of the first worker until the probes are counted
    join_seconds: float  # the same from the start of the second one


def measure(found: Servers, lives: Lived, users: int) -> Scaled:
    """Fill an empty store, and start workers over it."""
    deployment = Deployment(found, PARTITIONS)
    deployment.begin_anew()
    with redis.Redis.from_url(found.redis_url) as client:
        empty: int = client.info("memory")["used_memory"]
        asyncio.run(_fill(deployment, lives, users))
        full: int = client.info("memory")["used_memory"]
    known = min(users, 100_000)
    sent = publish(found.bootstrap, life(known, PROBES, seed=1)).total()
    with deployment.running():
        started = _until_counted(deployment, sent)
        before = time.monotonic()
        deployment.start_worker()
        asyncio.run(deployment.until_shared())
        sent += publish(found.bootstrap, life(known, PROBES, seed=2)).total()
        joined = _until_counted(deployment, sent, before)
    return Scaled(users, lives.packed_bytes, (full - empty) / users, started, joined)


def _until_counted(deployment: Deployment, events: int, since: float | None = None) -> float:
    since = time.monotonic() if since is None else since
    return asyncio.run(deployment.until(events)).at - since


async def _fill(deployment: Deployment, lives: Lived, users: int) -> None:
    by_partition: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
    for number in range(users):
        by_partition[partition_of(f"u{number:07d}", PARTITIONS)].append(number)
    store = RedisStore(deployment.settings().redis_address())
    for partition, numbers in by_partition.items():
        view = store.partition(partition)
        await view.open()
        for start in range(0, len(numbers), COMMIT):
            await _store(view, lives, numbers[start : start + COMMIT])
        await view.close()
    await store.close()


async def _store(view: PartitionStore, lives: Lived, numbers: Sequence[int]) -> None:
    """Commit the users of these numbers with the records and timers of those who have lived."""
    records, timers = {}, {}
    for number in numbers:
        name, like = f"u{number:07d}", number % len(lives.records)
        records[name], timers[name] = lives.records[like], lives.timers[like]
    await view.commit(Commit(Header(), {}, records=records, timers=timers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000, 5_000_000])
    parser.add_argument("--events-per-user", type=int, default=30, help="of the lives that the records are from")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    lives = lived(5_000, chosen.events_per_user)
    results: list[Scaled] = []
    for users in chosen.users:
        with servers() as found:
            if not results:
                print(found.described)
            results.append(measure(found, lives, users))
        one = results[-1]
        print(
            f"{users:>10,} users: {one.redis_bytes:,.0f} bytes of Redis's memory each ({one.packed_bytes:,.0f} packed "
            f"records); a worker works after {one.start_seconds:.1f} s, and two after {one.join_seconds:.1f} s more",
            flush=True,
        )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in results], indent=1))


if __name__ == "__main__":
    main()
