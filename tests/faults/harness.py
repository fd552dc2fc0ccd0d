"""One run: servers, a group of workers, the stream, the faults, and at the end the oracle."""

import asyncio
import contextlib
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.kafka import create_topics
from app.kernels import WORKING
from app.settings import Settings, load_settings
from features.kernel import compile_kernels
from messages.topics import ALL_TOPICS
from tests.faults.applied import Lagging, until_applied
from tests.faults.commands import duewatch
from tests.faults.group import Group
from tests.faults.inflict import Chaos
from tests.faults.oracle import Saved, compare
from tests.faults.proxy import Proxy
from tests.faults.recreated import NotRefused, recreate
from tests.faults.report import Report
from tests.faults.schedule import LAST_FAULT, LONG_LENGTHS, SHORT_LENGTHS, plan
from tests.faults.sender import Sender
from tests.faults.stream import Stream
from tests.servers.kafka import KafkaCluster
from tests.servers.redis import RedisServers
from tests.servers.replicas import until_in_sync

READY_SECONDS = 180.0
DAY_MS = 86_400_000
#: What the stream still has to go on for when the last fault begins.
LAST_SECONDS = 60.0
#: Event time begins here where no clock is heeded.
HISTORY_MS = 1_700_000_000_000
HISTORY_DAYS = 120


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to do. `faults` are the kinds to choose from; with `once` each comes once, then the run ends."""

    duration: float
    events: int
    seed: int
    brokers: int
    workers: int
    partitions: int
    redis: Literal["single", "cluster"]
    time_mode: Literal["clock", "event"]
    every: tuple[float, float]
    users: int
    faults: tuple[str, ...]
    short: bool = False
    sample: int = 2_000


async def run(wanted: Run, directory: Path, libraries: Path, say: Callable[[str], None]) -> Report:
    """Everything; the servers' and workers' files are in `directory`."""
    report = Report(command=_command(wanted), seed=wanted.seed)
    kafka = KafkaCluster(directory / "kafka", libraries, wanted.brokers)
    servers = RedisServers(directory / "redis", cluster=wanted.redis == "cluster")
    try:
        say(f"starting {wanted.brokers} broker(s) and Redis ({wanted.redis}); logs: {directory}")
        kafka.start()
        servers.start()
        compile_kernels(*WORKING)  # the workers find them in the cache
        settings = settings_for(kafka, servers, partitions=wanted.partitions, time_mode=wanted.time_mode)
        await create_topics(settings)
        await until_in_sync(settings.kafka_bootstrap, [spec.name for spec in ALL_TOPICS], wanted.brokers)
        async with _proxies(kafka) as proxies:
            group = Group(settings, directory, wanted.workers, kafka.proxied_bootstrap)
            lengths = SHORT_LENGTHS if wanted.short else LONG_LENGTHS
            chaos = Chaos(random.Random(wanted.seed), group, kafka, servers, proxies, lengths)
            try:
                saved = await _under_faults(wanted, settings, group, chaos, report, say)
            finally:
                group.close()
            _count(report, group, chaos)
        if not report.problems:
            say("comparing with the oracle")
            report.findings = await compare(settings, sample=wanted.sample, saved=saved)
    finally:
        servers.close()
        kafka.stop()
    return report


async def _under_faults(
    wanted: Run, settings: Settings, group: Group, chaos: Chaos, report: Report, say: Callable[[str], None]
) -> Saved:
    saved: Saved = {}
    group.look_after()
    group.restarts = 0
    group.start_trainer()
    sender = Sender(settings.kafka_bootstrap, _stream(wanted), wanted.events / wanted.duration)
    async with background(group.supervise()), background(chaos.take_snapshots()):
        await group.ready(READY_SECONDS)
        say(f"{wanted.workers} workers are ready; {sender.rate:,.0f} records/s, a fault every {wanted.every} s")
        begun = time.monotonic()
        sending = asyncio.create_task(sender.run())
        try:
            await _inflict(wanted, chaos, sending, say)
            await chaos.brokers_whole()
            for _ in range(1 if wanted.short else 2) if LAST_FAULT in wanted.faults else ():
                await group.ready(READY_SECONDS)
                saved = {**saved, **await recreate(settings, group, sender, say)}
                chaos.inflicted[LAST_FAULT] += 1
            await sending
        except NotRefused as refused:
            report.problems.append(str(refused))
        finally:
            sending.cancel()
        report.sent, report.seconds = sender.sent.total(), time.monotonic() - begun
        say(f"{report.sent:,} records sent; waiting until all are applied")
        begun = time.monotonic()
        try:
            if not report.problems:
                await group.ready(READY_SECONDS)  # what a reset left in the outboxes is published then
                await until_applied(settings, say)
        except Lagging as lagging:
            report.problems.append(str(lagging))
        report.settling = time.monotonic() - begun
    await group.stop()
    if settings.redis_cluster and (chaos.inflicted["redis-lost-second"] or chaos.inflicted["redis-restored"]):
        # A node may have lost limits of users whose partitions are on another one; the runbook says to do this.
        code, printed = await duewatch(settings, "limits", "rebuild")
        say(printed.strip())
        if code:
            report.problems.append(f"the limits could not be rebuilt: {printed[-1000:]}")
    return saved


async def _inflict(wanted: Run, chaos: Chaos, sending: "asyncio.Task[None]", say: Callable[[str], None]) -> None:
    """One fault after the other: the next one begins after a random while, or when the one before is over."""
    rng, begun = random.Random(wanted.seed), time.monotonic()
    last = LAST_FAULT in wanted.faults
    end = wanted.duration - (LAST_SECONDS if last else 0)
    for kind in plan(rng, [kind for kind in wanted.faults if kind != LAST_FAULT]):
        pause = asyncio.create_task(asyncio.sleep(rng.uniform(*wanted.every)))
        await asyncio.wait({pause, sending}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():  # failed, or all is sent
            pause.cancel()
            return
        at = time.monotonic() - begun
        if at >= end:
            return
        await chaos.inflict(kind)
        took = time.monotonic() - begun - at
        say(
            f"{at:6.0f} s  {kind}"
            + (f", {took:.0f} s" if took >= 1 else "")
            + (f": {chaos.problem}" * bool(chaos.problem))
        )


def _count(report: Report, group: Group, chaos: Chaos) -> None:
    died = {f"crash-{point}": count for point, count in group.crashes.items()}
    report.faults = chaos.inflicted + Counter(died)
    report.missed = chaos.missed + [f"crash-{point}: the worker did not come there" for point in group.spared]
    report.restarts, report.exits = group.restarts, group.exits
    report.rebalances = group.rebalances()
    report.rewinds = group.counted("duewatch_rewinds_total")
    report.stale_commits = group.counted("duewatch_commits_total", result="stale")
    report.recovered = group.counted("duewatch_restored_batches_total", result="same")
    broken = group.counted("duewatch_restored_batches_total", result="otherwise")
    if broken:
        report.problems.append(f"{broken} partitions could not be restored as they had been decided: see the logs")
    report.retries = group.counted("duewatch_retries_total")


def settings_for(
    kafka: KafkaCluster, servers: RedisServers, *, partitions: int, time_mode: Literal["clock", "event"]
) -> Settings:
    """A deployment on these servers; every broker has a copy of each topic."""
    return load_settings(
        kafka_bootstrap=kafka.bootstrap,
        redis_url=servers.url,
        redis_cluster=servers.cluster,
        partitions=partitions,
        replication=len(kafka.brokers),
        time_mode=time_mode,
        session_timeout=6.0,
        hmac_key=secrets.token_hex(16),
        http_port=0,
        log_level="info",
    )


def _stream(wanted: Run) -> Stream:
    if wanted.time_mode == "event":
        return Stream(wanted.seed, wanted.users, HISTORY_MS, wanted.events, HISTORY_DAYS * DAY_MS)
    now = time.time_ns() // 1_000_000
    return Stream(wanted.seed, wanted.users, now, wanted.events, int(wanted.duration * 1000))


def _command(wanted: Run) -> str:
    return (
        f"python -m tests.faults --duration {wanted.duration:.0f}s --events {wanted.events} --seed {wanted.seed} "
        f"--brokers {wanted.brokers} --workers {wanted.workers} --partitions {wanted.partitions} "
        f"--redis {wanted.redis} --time-mode {wanted.time_mode}{' --short' * wanted.short}"
    )


@contextlib.asynccontextmanager
async def _proxies(kafka: KafkaCluster) -> AsyncIterator[list[Proxy]]:
    proxies = [Proxy(broker.advertised_port, broker.behind_proxy_port) for broker in kafka.brokers]
    try:
        for proxy in proxies:
            await proxy.start()
        yield proxies
    finally:
        for proxy in proxies:
            await proxy.stop()


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work for ever meanwhile; its failure is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def to_terminal(text: str) -> None:
    """A line with the time of day."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
