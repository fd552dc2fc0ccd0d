"""Examines the brokers: are the topics as they must be, do they keep events long enough, and do workers run?"""

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiokafka
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from app.broker import group_state
from app.doctor_redis import skew, snapshot_age
from app.finding import Finding, Status, judged
from app.kafka import KafkaUnavailable, admin_client, started
from app.settings import Settings
from messages.journal import JOURNAL
from messages.topics import ALL_TOPICS, TopicSpec
from store.contract import ServerReport

ARRIVAL = "message.timestamp.type"
#: A snapshot older than this share of the retention is a warning.
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Topic:
    """What the brokers tell of a topic: replicas and in-sync ones per partition, and its settings."""

    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    leaderless: int
    config: Mapping[str, str]


_NOTHING = Topic((), (), 0, {})


async def examine_kafka(
    settings: Settings, reports: list[ServerReport], *, measure_clocks: bool
) -> AsyncIterator[Finding]:
    """Every finding; `reports` are those of the store's servers, none where it does not answer."""
    try:
        async with admin_client(settings) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
            topics = await _describe(admin)
    except (KafkaUnavailable, OSError) as error:
        yield Finding("Kafka", "reachable", Status.FAILURE, str(error), "see docs/runbooks/kafka-unreachable.md")
        return
    yield Finding("Kafka", "reachable", Status.OK, f"{len(brokers)} brokers")
    for finding in [*_presence(settings, topics), *_safety(settings, topics), *_contents(topics)]:
        yield finding
    yield _retention(topics, reports)
    yield await _group(settings)
    if measure_clocks:
        for finding in await _clocks(settings, [broker["node_id"] for broker in brokers]):
            yield finding
    else:
        yield Finding("Kafka", "clock", Status.UNKNOWN, "not measured", "`duewatch doctor --broker-clocks` does it")


async def _describe(admin: Any) -> dict[str, Topic]:
    """The topics of the deployment that exist."""
    present = set(await admin.list_topics())
    names = [spec.name for spec in ALL_TOPICS if spec.name in present]
    if not names:
        return {}
    configs: dict[str, dict[str, str]] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in names]
    for response in await admin.describe_configs(resources):
        for error, _message, _type, name, entries in response.resources:
            configs[name] = {} if error else {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    found = {}
    for topic in await admin.describe_topics(names):
        partitions = topic["partitions"]
        found[topic["topic"]] = Topic(
            tuple(len(partition["replicas"]) for partition in partitions),
            tuple(len(partition["isr"]) for partition in partitions),
            sum(partition["leader"] < 0 for partition in partitions),
            configs.get(topic["topic"], {}),
        )
    return found


def _presence(settings: Settings, topics: Mapping[str, Topic]) -> Iterator[Finding]:
    missing = {spec.name: "missing" for spec in ALL_TOPICS if spec.name not in topics}
    yield judged("Kafka", "topics", missing, f"all {len(ALL_TOPICS)} are there", "`duewatch topics create`")
    wrong = {}
    for spec in _found(topics):
        wanted, count = spec.partition_count(settings.partitions), len(topics[spec.name].replicas)
        if count != wanted:
            wrong[spec.name] = f"{count} partitions, not {wanted}"
    hint = "set DUEWATCH_PARTITIONS to what the topics have; to change it, see docs/runbooks/repartition.md"
    yield judged("Kafka", "partition counts", wrong, f"{settings.partitions} of every user-keyed topic", hint)


def _safety(settings: Settings, topics: Mapping[str, Topic]) -> Iterator[Finding]:
    dead = {name: "without a leader" for name, topic in topics.items() if topic.leaderless}
    yield judged("Kafka", "leaders", dead, "every partition has one", "see docs/runbooks/broker-down.md")
    behind = {
        name: "replicas out of sync" for name, topic in topics.items() if sum(topic.in_sync) < sum(topic.replicas)
    }
    hint = "see docs/runbooks/broker-down.md"
    yield judged("Kafka", "replicas", behind, "all are in sync", hint, Status.WARNING)
    few = {name: f"{min(topic.replicas)} replicas" for name, topic in topics.items() if min(topic.replicas) < 3}
    if any(min(topic.replicas) < settings.replication for topic in topics.values()):
        hint, status = (
            f"DUEWATCH_REPLICATION is {settings.replication}: reassign partitions to more brokers",
            Status.FAILURE,
        )
    else:
        hint, status = (
            "3 in production: with fewer, the loss of one broker or disk loses or stops the stream",
            Status.WARNING,
        )
    yield judged("Kafka", "replication", few, "3 or more of every topic", hint, status)
    yield _in_sync(topics)
    unclean = {
        name: "on" for name, topic in topics.items() if topic.config.get("unclean.leader.election.enable") == "true"
    }
    if any("unclean.leader.election.enable" in topic.config for topic in topics.values()):
        hint = "set `unclean.leader.election.enable=false`: a replica that lags behind must not become leader"
        yield judged("Kafka", "unclean leader election", unclean, "off", hint)
    else:
        yield Finding("Kafka", "unclean leader election", Status.UNKNOWN, "the broker does not tell")


def _in_sync(topics: Mapping[str, Topic]) -> Finding:
    name, told, problems = "min.insync.replicas", False, dict[str, str]()
    for topic, facts in topics.items():
        least, replicas = facts.config.get(name), min(facts.replicas)
        told |= least is not None
        if least == "1":
            problems[topic] = "1"
        elif least is not None and int(least) >= replicas:
            problems[topic] = f"{least} of {replicas} replicas"
    if not told:
        return Finding("Kafka", name, Status.UNKNOWN, "the broker does not tell")
    hint = (
        "one less than the replicas, and at least 2: with 1, what was acknowledged is lost with one broker; "
        "with as many as replicas, one broker away stops publishing"
    )
    return judged("Kafka", name, problems, "2 or more", hint, Status.WARNING)


def _contents(topics: Mapping[str, Topic]) -> Iterator[Finding]:
    cleanup, stamps, told = {}, {}, False
    for spec in _found(topics):
        config, wanted = topics[spec.name].config, spec.settings()
        found = config.get("cleanup.policy")
        if found is not None and found != wanted["cleanup.policy"]:
            cleanup[spec.name] = f"{found}, not {wanted['cleanup.policy']}"
        told |= ARRIVAL in config
        if ARRIVAL in wanted and config.get(ARRIVAL, wanted[ARRIVAL]) != wanted[ARRIVAL]:
            stamps[spec.name] = config[ARRIVAL]
    hint = "`kafka-configs --alter`: compaction removes events; deletion removes policies and models in force"
    yield judged("Kafka", "cleanup.policy", cleanup, "as it must be", hint)
    if not told:
        yield Finding("Kafka", ARRIVAL, Status.UNKNOWN, "the broker does not tell")
        return
    hint = "set LogAppendTime: else a producer's wrong clock decides which events are refused as too far ahead"
    yield judged("Kafka", ARRIVAL, stamps, "LogAppendTime on all inputs", hint, Status.WARNING)


def _retention(topics: Mapping[str, Topic], reports: list[ServerReport]) -> Finding:
    """Events since the oldest snapshot must still be there, or a restore from it loses some."""
    check, kept = "retention", {}
    for spec in ALL_TOPICS:
        wanted = spec.name == JOURNAL or (spec.direction == "input" and not spec.compacted)
        if wanted and "retention.ms" in topics.get(spec.name, _NOTHING).config:
            kept[spec.name] = int(topics[spec.name].config["retention.ms"]) / 1000
    if not kept:
        return Finding("Kafka", check, Status.UNKNOWN, "the broker does not tell")
    limits = {name: seconds for name, seconds in kept.items() if seconds >= 0}
    shortest = min(limits, key=limits.__getitem__, default="")
    text = f"{shortest} keeps {_duration(limits[shortest])}" if shortest else "events are kept for ever"
    age = snapshot_age(reports, time.time())
    if not reports:
        text += "; Redis does not tell how old its snapshot is"
    elif age is None:
        text += "; Redis makes no snapshots, so its backups must be younger than that"
    else:
        text += f"; the oldest Redis snapshot is {_duration(age)} old"
        if shortest and age >= HALF * limits[shortest]:
            status = Status.FAILURE if age >= limits[shortest] else Status.WARNING
            hint = "raise retention.ms of the inputs and the journal, or snapshot Redis more often"
            return Finding("Kafka", check, status, text, f"{hint}; see docs/runbooks/redis-restored.md")
    sized = {name: "also bounded by retention.bytes" for name in kept if _bounded(topics[name])}
    return judged("Kafka", check, sized, text, "unset retention.bytes: it may delete sooner", Status.WARNING)


def _bounded(topic: Topic) -> bool:
    return topic.config.get("retention.bytes", "-1") != "-1"


def _duration(seconds: float) -> str:
    return f"{seconds / 86_400:.1f} days" if seconds >= 86_400 else f"{seconds / 3_600:.1f} h"


async def _group(settings: Settings) -> Finding:
    check = f"group {settings.group}"
    try:
        group = await group_state(settings)
    except KafkaUnavailable as error:
        return Finding("Kafka", check, Status.UNKNOWN, str(error))
    text = f"{group.state}, {len(group.members)} members"
    if not group.members:
        return Finding("Kafka", check, Status.WARNING, text, "no worker runs: see docs/runbooks/no-worker.md")
    if group.state not in ("Stable", "CompletingRebalance"):
        return Finding("Kafka", check, Status.WARNING, text, "see docs/runbooks/ownership-contested.md if it stays so")
    if len(group.members) > settings.partitions:
        return Finding("Kafka", check, Status.WARNING, text, f"only {settings.partitions} can have work")
    return Finding("Kafka", check, Status.OK, text)


async def _clocks(settings: Settings, brokers: list[int]) -> list[Finding]:
    """Each broker's clock, as it stamps a record of a topic that exists for this only, with a partition per broker."""
    name = f"duewatch-doctor-{secrets.token_hex(4)}"
    topic = NewTopic(
        name, -1, -1, {number: [broker] for number, broker in enumerate(brokers)},
        {ARRIVAL: "LogAppendTime", "min.insync.replicas": "1", "retention.ms": "60000"},
    )  # fmt: skip
    try:
        async with admin_client(settings) as admin:
            response = await admin.create_topics([topic])
            errors = [error[1:] for error in response.topic_errors if error[1]]
            if errors:
                return [Finding("Kafka", "clock", Status.UNKNOWN, f"topic {name} cannot be created: {errors[0]}")]
            try:
                return await _stamped(settings, name, brokers)
            finally:
                with suppress(KafkaError):
                    await admin.delete_topics([name])
    except KafkaUnavailable as error:
        return [Finding("Kafka", "clock", Status.UNKNOWN, str(error))]


async def _stamped(settings: Settings, topic: str, brokers: list[int]) -> list[Finding]:
    findings = []
    producer = aiokafka.AIOKafkaProducer(**settings.kafka_client_options(), acks=1)
    async with started(producer, settings):
        for number, broker in enumerate(brokers):
            await producer.send_and_wait(topic, b"connect", partition=number)
            before = time.time()
            sent = await producer.send_and_wait(topic, b"what time is it?", partition=number)
            after = time.time()
            if sent.timestamp_type != 1:
                return [Finding("Kafka", "clock", Status.UNKNOWN, "the broker does not stamp arrival")]
            ahead = sent.timestamp - (before + after) / 2 * 1000
            findings.append(skew(f"broker {broker}", ahead, (after - before) * 500 + 1))
    return findings


def _found(topics: Mapping[str, Topic]) -> Iterator[TopicSpec]:
    return (spec for spec in ALL_TOPICS if spec.name in topics)
