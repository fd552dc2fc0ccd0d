"""Workers, partitions, Redis memory and network for a book, from measured costs; prints the table of docs/sizing.md.

    python -m benchmarks.sizing --worker-us 19 --redis-us 7 --user-bytes 1550

The costs are what `python -m benchmarks.product` and `python -m benchmarks.scale` print on your machines. A processor
is planned to be busy half of the time: the other half is for peaks, for a backlog after a stop, and for the share of a
worker that has died.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

RATES = (1_000, 10_000, 100_000)
USERS = (1_000_000, 10_000_000, 100_000_000, 500_000_000)
BUSY = 0.5
GIB = 1024**3


@dataclass(frozen=True)
class Costs:
    """Processor time in us per event, sizes in bytes."""

    worker_us: float
    redis_us: float
    broker_us: float
    user_bytes: float  # of Redis's memory
    event_bytes: float  # in the log, with its key
    packed_bytes: float  # of a record
    decisions: float  # per event
    decision_bytes: float


@dataclass(frozen=True)
class Size:
    """What a deployment needs."""

    workers: int  # processes, each of which keeps one processor busy
    partitions: int
    redis_servers: int  # masters, by processor time or by memory, whichever asks for more
    redis_gib: float
    broker_processors: int
    network_mbit: float  # into and out of all workers together
    first: str  # what is at its limit first as the rate grows


def size(rate: float, users: float, costs: Costs, server_gib: float) -> Size:
    """What so many events per second of so many users need; Redis servers have `server_gib` for records."""
    loads = {name: rate * us / 1e6 / BUSY for name, us in _us(costs).items()}
    gib = users * costs.user_bytes / GIB
    # A Redis server works on one processor.
    servers = max(math.ceil(loads["Redis"]), math.ceil(gib / server_gib))
    workers = max(2, math.ceil(loads["workers"]))
    per_event = costs.event_bytes + costs.decisions * costs.decision_bytes + 2 * costs.packed_bytes
    spare = {"workers": workers / loads["workers"], "Redis": servers / loads["Redis"]}
    first = "Redis's memory" if gib / server_gib > loads["Redis"] and servers > 1 else min(spare, key=spare.__getitem__)
    return Size(
        workers=workers,
        partitions=max(8, 2 ** math.ceil(math.log2(4 * workers))),
        redis_servers=servers,
        redis_gib=gib,
        broker_processors=math.ceil(loads["broker"]),
        network_mbit=rate * per_event * 8 / 1e6,
        first=first,
    )


def _us(costs: Costs) -> dict[str, float]:
    return {"workers": costs.worker_us, "Redis": costs.redis_us, "broker": costs.broker_us}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker-us", type=float, default=19.0)
    parser.add_argument("--redis-us", type=float, default=7.0)
    parser.add_argument("--broker-us", type=float, default=2.0)
    parser.add_argument("--user-bytes", type=float, default=1_550.0)
    parser.add_argument("--event-bytes", type=float, default=330.0)
    parser.add_argument("--packed-bytes", type=float, default=1_270.0)
    parser.add_argument("--decisions", type=float, default=0.03, help="per event")
    parser.add_argument("--decision-bytes", type=float, default=1_300.0)
    parser.add_argument("--server-gib", type=float, default=48.0, help="of a Redis server, for records")
    given = vars(parser.parse_args(arguments))
    server_gib = given.pop("server_gib")
    costs = Costs(**given)
    print(
        "| events/s | users | workers | partitions | Redis masters | Redis GiB | broker processors | Mbit/s | first |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for rate in RATES:
        for users in USERS:
            one = size(rate, users, costs, server_gib)
            print(
                f"| {rate:,} | {users:,} | {one.workers} | {one.partitions} | {one.redis_servers} "
                f"| {one.redis_gib:,.0f} | {one.broker_processors} | {one.network_mbit:,.0f} | {one.first} |"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
