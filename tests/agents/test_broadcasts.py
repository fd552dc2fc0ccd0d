import asyncio
import json
from importlib.resources import files
from typing import Any

import aiokafka
import pytest

from agents.broadcasts import Book, KafkaBroadcasts
from agents.health import Health
from agents.meters import SilentMeters
from agents.snapshots import snapshot_message
from app.embedded import Embedded
from decisions.in_force import InForce
from features.market import Market
from messages.message import Message
from policy.policy import load
from scoring.scorecard import Scorecard
from tests.agents.cluster import START_MS, create_topics
from tests.agents.test_snapshots import KEY, learned

DOCUMENT = (files("policy") / "default.yaml").read_text(encoding="utf-8")


class Refusals(SilentMeters):
    """Remembers which topics had something refused."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def broadcast_refused(self, topic: str) -> None:
        self.topics.append(topic)


class Told:
    """A book, and the way to tell it something."""

    def __init__(self, key: bytes | None = KEY) -> None:
        self.first = InForce(load(DOCUMENT), Scorecard(), Market())
        self.meters = Refusals()
        self.book = Book(self.first, key, self.meters)

    def tell(self, message: Message) -> InForce:
        record: Any = type("Record", (), {"partition": 0, "offset": 0, "timestamp": 0})()
        record.topic, record.key, record.value = message.topic, message.key, message.value
        self.book.apply(record)
        return self.book.in_force


def policy(document: str, name: str | None = None, mode: str = "active") -> Message:
    name = name or load(DOCUMENT).name
    body = {"type": "policy_published", "event_id": "p1", "name": name, "time": START_MS, "mode": mode}
    return Message("policies", name.encode(), json.dumps(body | {"document": document}).encode())


def figure(value: float) -> Message:
    body = {"type": "market_indicator", "event_id": "m1", "region": "north", "time": START_MS}
    body |= {"indicator": "unemployment_rate", "value": value, "normal": 5.0}
    return Message("market", b"north", json.dumps(body).encode())


CHANGED = DOCUMENT.replace("allowed_lateness: 1h", "allowed_lateness: 30m")


def test_a_published_policy_comes_into_force_and_goes_when_it_is_retired() -> None:
    told = Told()
    now = told.tell(policy(CHANGED))
    assert now.policy.terms.allowed_lateness == 1800
    assert told.tell(policy("", mode="retired")).policy is told.first.policy


def test_a_broken_policy_is_refused_and_the_old_one_stays() -> None:
    told = Told()
    now = told.tell(policy("name: [broken"))
    assert now.policy is told.first.policy
    assert told.meters.topics == ["policies"]


def test_a_policy_published_under_another_name_or_in_another_currency_is_refused() -> None:
    told = Told()
    told.tell(policy(DOCUMENT, name="other"))
    assert told.tell(policy(DOCUMENT.replace("currency: CNY", "currency: EUR"))).policy is told.first.policy
    assert told.meters.topics == ["policies", "policies"]


def test_a_shadow_policy_changes_nothing() -> None:
    told = Told()
    assert told.tell(policy(CHANGED, mode="shadow")) is told.first
    assert told.meters.topics == []


def test_a_market_figure_changes_the_market_only() -> None:
    told = Told()
    now = told.tell(figure(7.5))
    assert now.market.index_of("north") == 1.5
    assert (now.policy, now.model) == (told.first.policy, told.first.model)


def test_something_that_is_no_broadcast_is_refused() -> None:
    told = Told()
    assert told.tell(Message("market", b"north", b"{")) is told.first
    assert told.tell(Message("model-snapshots", b"m", b"{}")) is told.first
    assert told.meters.topics == ["market", "model-snapshots"]


def test_whatever_is_wrong_with_a_message_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    with monkeypatch.context() as broken:
        broken.setattr("agents.broadcasts.load", lambda _: 1 / 0)
        assert told.tell(policy(DOCUMENT)) is told.first
    assert told.meters.topics == ["policies"]
    assert told.tell(figure(7.5)).market.index_of("north") == 1.5


def test_earlier_versions_are_remembered_for_batches_that_are_decided_again() -> None:
    told = Told()
    before = told.tell(figure(7.5))
    now = told.tell(figure(9.0))
    versions = before.policy.version, before.market.version, before.model.version
    assert now is not before
    assert told.book.recall(*versions) == before
    assert told.book.recall(versions[0], "another", versions[2]) is None


def test_a_model_that_is_still_warming_does_not_decide() -> None:
    told = Told()
    now = told.tell(snapshot_message(learned(5), 5, KEY))
    assert now.model.version == told.first.model.version
    assert told.meters.topics == []


def test_a_snapshot_without_a_key_to_check_it_is_refused() -> None:
    told = Told(key=None)
    assert told.tell(snapshot_message(learned(5), 5, KEY)) is told.first
    assert told.meters.topics == ["model-snapshots"]


@pytest.mark.embedded
async def test_everything_published_before_the_start_is_in_force_when_reading_is_done(services: Embedded) -> None:
    options = {"bootstrap_servers": services.kafka_bootstrap}
    await create_topics(services.kafka_bootstrap, 2)
    producer = aiokafka.AIOKafkaProducer(**options)
    await producer.start()
    try:
        for number in range(50):
            message = figure(5.0 + number / 10)
            body = json.loads(message.value) | {"time": START_MS + number}
            await producer.send(message.topic, json.dumps(body).encode(), key=message.key)
        message = policy(CHANGED)
        await producer.send(message.topic, message.value, key=message.key)
        await producer.flush()
    finally:
        await producer.stop()
    told, health = Told(), Health()
    reading = KafkaBroadcasts(options, told.book, SilentMeters(), health)
    await reading.start()
    try:
        async with asyncio.timeout(20):
            await reading.read()
        now = reading.in_force()
        assert now.market.index_of("north") == pytest.approx(9.9 / 5)
        assert now.policy.terms.allowed_lateness == 1800
        assert health.broadcasts_read
    finally:
        await reading.stop()
