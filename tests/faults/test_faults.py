"""The harness itself, on one Redis and on a Redis Cluster; `make faults` and `make soak` run it for longer."""

from pathlib import Path
from typing import Literal

import pytest

from tests.faults.harness import Run, run, to_terminal
from tests.faults.report import Report
from tests.servers.available import kafka_libraries, redis_server

pytestmark = [pytest.mark.kafka, pytest.mark.redis_server, pytest.mark.slow]


async def report_of(redis: Literal["single", "cluster"], faults: tuple[str, ...], directory: Path) -> Report:
    redis_server()
    wanted = Run(
        duration=50.0,
        events=15_000,
        seed=11,
        brokers=1,
        workers=2,
        partitions=4,
        redis=redis,
        time_mode="event",
        every=(2.0, 4.0),
        users=200,
        faults=faults,
        short=True,
        sample=200,
    )
    report = await run(wanted, directory, kafka_libraries(), to_terminal)
    to_terminal(str(report))
    return report


async def test_nothing_is_lost_or_applied_twice_while_workers_and_redis_fail(tmp_path: Path) -> None:
    report = await report_of("single", ("kill", "redis-lost-second", "crash-committed", "redis-full"), tmp_path)
    assert report.faults.total() >= 4
    assert report.passed, str(report)


async def test_nothing_is_lost_or_applied_twice_while_nodes_of_a_redis_cluster_fail(tmp_path: Path) -> None:
    faults = ("redis-lost-second", "kill", "redis-restart", "redis-unreachable")
    report = await report_of("cluster", faults, tmp_path)
    assert report.faults.total() >= 4
    assert report.passed, str(report)
