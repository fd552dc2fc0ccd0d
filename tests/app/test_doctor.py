import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.doctor_redis import examine_server, snapshot_age
from app.embedded import Embedded, embedded_services
from app.finding import Status, judged
from store.contract import ServerReport, TopicPosition
from tests.app.deployment import Deployment
from tests.servers.kafka import KafkaCluster, jars
from tests.store.redis_servers import running_redis

KEYS = {"hmac_key": "k", "pseudonym_key": "k"}
NOW = 1_800_000_000.0
SOUND = ServerReport(
    "here:1",
    info={
        "redis_version": "7.2.4", "role": "master", "aof_enabled": "1", "rdb_last_bgsave_status": "ok",
        "aof_last_write_status": "ok", "used_memory": "100", "maxmemory": "1000",
        "rdb_last_save_time": str(int(NOW) - 60),
    },
    config={"appendfsync": "everysec", "save": "900 1", "maxmemory-policy": "noeviction"},
    refused={},
    ahead_ms=3.0,
    within_ms=5.0,
)  # fmt: skip


def changed(**changes: Any) -> ServerReport:
    """The sound report with other figures: `info__name`, `config__name`, or fields; None takes one away."""
    parts: dict[str, Any] = {"info": dict(SOUND.info), "config": dict(SOUND.config)}
    for name, value in changes.items():
        kind, _, key = name.partition("__")
        if key:
            parts[kind][key.replace("maxmemory_policy", "maxmemory-policy")] = value
        else:
            parts[name] = value
    for kind in ("info", "config"):
        parts[kind] = {key: value for key, value in parts[kind].items() if value is not None}
    return replace(SOUND, **parts)


def test_a_sound_server_has_nothing_to_mend() -> None:
    assert {finding.status for finding in examine_server(SOUND)} == {Status.OK}


@pytest.mark.parametrize(
    ("changes", "check", "status", "words"),
    [
        ({"info__redis_version": "6.0.16"}, "version", Status.FAILURE, "6.0.16"),
        ({"info__redis_version": None}, "version", Status.UNKNOWN, "no version"),
        ({"info__role": "slave"}, "commands", Status.FAILURE, "replica"),
        ({"refused": {"ZADD": "no permission"}}, "commands", Status.FAILURE, "ZADD: no permission"),
        ({"info__aof_enabled": "0", "config__save": ""}, "persistence", Status.FAILURE, "forgets everything"),
        ({"info__aof_enabled": "0"}, "persistence", Status.WARNING, "snapshots only (900 1)"),
        ({"config__appendfsync": "no"}, "persistence", Status.WARNING, "no bound"),
        ({"info__rdb_last_bgsave_status": "err"}, "files", Status.FAILURE, "rdb_last_bgsave_status"),
        ({"info__aof_last_write_status": "err"}, "files", Status.FAILURE, "aof_last_write_status"),
        ({"config__maxmemory_policy": "allkeys-lru"}, "eviction", Status.FAILURE, "throws records away"),
        ({"config__maxmemory_policy": None}, "eviction", Status.UNKNOWN, "neither"),
        ({"info__maxmemory": "0"}, "memory", Status.WARNING, "no limit"),
        ({"info__used_memory": "850"}, "memory", Status.WARNING, "85%"),
        ({"info__used_memory": "960"}, "memory", Status.FAILURE, "96%"),
        ({"info__cluster_enabled": "1", "info__cluster_state": "fail"}, "cluster", Status.FAILURE, "state fail"),
        ({"info__cluster_enabled": "1"}, "cluster", Status.UNKNOWN, "refused"),
        ({"ahead_ms": -5_000.0}, "clock", Status.WARNING, "5.000 s behind"),
        ({"ahead_ms": 90_000.0}, "clock", Status.FAILURE, "90.000 s ahead"),
    ],
)
def test_what_is_wrong_with_a_server_is_said_with_the_way_to_mend_it(
    changes: dict[str, Any], check: str, status: Status, words: str
) -> None:
    (found,) = (finding for finding in examine_server(changed(**changes)) if finding.check == check)
    assert found.status == status
    assert words in found.found
    assert found.hint or status == Status.UNKNOWN


def test_a_clock_is_not_blamed_for_what_may_be_the_network() -> None:
    (found,) = (f for f in examine_server(changed(ahead_ms=5_000.0, within_ms=4_500.0)) if f.check == "clock")
    assert found.status == Status.OK


def test_the_oldest_snapshot_of_all_servers_counts() -> None:
    older = changed(info__rdb_last_save_time=str(int(NOW) - 900))
    assert snapshot_age([SOUND, older], NOW) == 900
    assert snapshot_age([changed(config__save="")], NOW) is None
    assert snapshot_age([], NOW) is None


def test_things_with_the_same_problem_are_named_together() -> None:
    problems = dict.fromkeys("abcdefgh", "bad") | {"z": "worse"}
    finding = judged("Kafka", "things", problems, "fine", "mend them")
    assert finding.found == "bad: a, b, c, d, e, f and 2 more; worse: z"


def test_every_page_that_is_referred_to_exists() -> None:
    root = Path(__file__).parents[2]
    named = {page for path in (root / "app").glob("*.py") for page in re.findall(r"[\w-]+\.md", path.read_text())}
    assert len(named) > 8
    assert {page for page in named if not (root / "docs" / "runbooks" / page).exists()} == set()


# --- against servers


@pytest.fixture(scope="module")
def services() -> Iterator[Embedded]:
    with embedded_services() as running:
        yield running


async def examined(deployment: Deployment, *arguments: str, **environment: str) -> dict[str, Any]:
    """Findings by check, each with the command's exit code."""
    result = await deployment.run("doctor", "--json", *arguments, **environment)
    findings = json.loads(result.stdout)
    assert result.exit_code == int(any(finding["status"] == "failure" for finding in findings))
    assert all(finding["hint"] for finding in findings if finding["status"] in ("warning", "failure"))
    return {finding["check"]: finding for finding in findings}


@pytest.mark.embedded
async def test_what_the_embedded_services_cannot_tell_is_no_failure(services: Embedded) -> None:
    deployment = await Deployment.create(services.kafka_bootstrap, services.redis_url, "doctor-1", **KEYS)
    found = await examined(deployment, "--broker-clocks")
    failures = {check for check, finding in found.items() if finding["status"] == "failure"}
    assert failures == {"persistence"}  # they keep everything in memory
    for check in ("min.insync.replicas", "unclean leader election"):
        assert found[check]["status"] == "cannot be checked here"
    assert found["group doctor-1"]["found"].endswith("0 members")
    text = await deployment.run("doctor")
    assert "1 failures" in text.stdout


@pytest.mark.embedded
async def test_wrong_partitions_a_broken_policy_and_a_recreated_topic_are_failures(
    services: Embedded, tmp_path: Path
) -> None:
    deployment = await Deployment.create(services.kafka_bootstrap, services.redis_url, "doctor-2", **KEYS)
    await deployment.commit(0, position={"purchases": TopicPosition(4, "an-older-topic")})
    broken = tmp_path / "policy.yaml"
    broken.write_text("name: [")
    found = await examined(deployment, "--policy", str(broken))
    assert found["policy"]["status"] == "failure"
    assert "recreated: purchases[0]" in found["positions"]["found"]
    found = await examined(deployment, "--partitions", "3")
    assert "2 partitions, not 3" in found["partition counts"]["found"]
    assert found["positions"]["status"] == "failure"


@pytest.mark.embedded
async def test_everything_that_does_not_answer_is_named(services: Embedded, tmp_path: Path) -> None:
    deployment = await Deployment.create(services.kafka_bootstrap, services.redis_url, "doctor-3", **KEYS)
    result = await deployment.run(
        "doctor", "--json", "--kafka", "127.0.0.1:1", "--redis", "redis://127.0.0.1:1/0",
        DUEWATCH_DATA_DIRECTORY=str(tmp_path / "no" / "such"),
    )  # fmt: skip
    failures = {(f["subject"], f["check"]) for f in json.loads(result.stdout) if f["status"] == "failure"}
    assert failures == {("Redis", "reachable"), ("Kafka", "reachable"), ("this machine", "data directory")}


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[KafkaCluster]:
    cluster = KafkaCluster(tmp_path / "kafka", jars(Path.home() / ".cache" / "duewatch"), heap_mb=256)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.kafka
@pytest.mark.redis_server
@pytest.mark.slow
async def test_topics_that_would_lose_events_are_found_on_apache_kafka(kafka: KafkaCluster, tmp_path: Path) -> None:
    with running_redis(tmp_path / "redis", ["--save", "900 1", "--appendonly", "yes"]) as port:
        deployment = await Deployment.create(kafka.bootstrap, f"redis://127.0.0.1:{port}/0", "doctor", **KEYS)
        found = await examined(deployment, "--broker-clocks")
        assert not [finding for finding in found.values() if finding["status"] in ("failure", "cannot be checked here")]
        assert "this machine's" in found["clock"]["found"]
        assert found["min.insync.replicas"]["status"] == found["replication"]["status"] == "warning"
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        bills = {
            "cleanup.policy": "compact", "retention.ms": "1", "message.timestamp.type": "CreateTime",
            "unclean.leader.election.enable": "true",
        }  # fmt: skip
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "bills", bills)])
        await admin.delete_topics(["journal"])
        assert [name for name in await admin.list_topics() if name.startswith("duewatch-doctor")] == []
        await admin.close()
        found = await examined(deployment)
    assert found["topics"]["found"] == "missing: journal"
    assert found["cleanup.policy"]["found"] == "compact, not delete: bills"
    assert found["message.timestamp.type"]["found"] == "CreateTime: bills"
    assert found["unclean leader election"]["found"] == "on: bills"
    assert found["retention"]["status"] == "failure"
    assert "bills keeps 0.0 h" in found["retention"]["found"]
