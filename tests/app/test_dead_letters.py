import json
from collections.abc import AsyncIterator
from typing import Any

import aiokafka
import pytest

from app.embedded import embedded_services
from app.kafka import publisher, read_topics
from messages.columns import Source
from messages.encoding import LARGEST_LETTER, dead_letter
from messages.message import Message
from messages.verdict import Refusal
from tests.app.deployment import Deployment

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
BYTES = bytes(range(256))


def letter(topic: str, partition: int, offset: int, error: str, value: bytes = BYTES) -> Message:
    return dead_letter(Refusal(Source(topic, partition, "e"), offset, b"u1", value, error, "no good"))


LETTERS = (
    letter("purchases", 0, 5, "contract"),
    letter("purchases", 0, 5, "contract"),  # published twice by a worker that died
    letter("purchases", 0, 9, "currency-without-rate"),
    letter("purchases", 1, 5, "contract"),
    letter("bills", 0, 7, "contract", b"x" * (LARGEST_LETTER + 1)),
    letter("repayments", 0, 7, "not-json"),
    Message("dead-letters", b"k", b"v"),  # somebody else's
)


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    with embedded_services() as services:
        made = await Deployment.create(services.kafka_bootstrap, services.redis_url, "letters")
        async with publisher(made.settings) as target:
            await target.send_all(LETTERS)
        yield made


async def sent(deployment: Deployment) -> list[aiokafka.ConsumerRecord]:
    topics = ["purchases", "bills", "repayments"]
    return [record async for record in read_topics(deployment.settings, topics, from_start=True, follow=False)]


async def listed(deployment: Deployment, *arguments: str) -> list[Any]:
    result = await deployment.run("dead-letters", "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_letters_go_back_once_with_their_own_key_and_bytes(deployment: Deployment) -> None:
    dry = await deployment.run("dead-letters", "replay", "--dry-run")
    assert "4 dead letters would be sent again" in dry.stdout
    assert await sent(deployment) == []
    result = await deployment.run("dead-letters", "replay")
    assert result.exit_code == 0, result.output
    assert "4 dead letters were sent again" in result.stdout
    for words in (
        "1 were not sent: they were cut",
        "1 were not sent: they are copies",
        "1 were not sent: they name no",
    ):
        assert words in result.stderr
    found = await sent(deployment)
    assert sorted(record.topic for record in found) == ["purchases", "purchases", "purchases", "repayments"]
    assert {(record.key, record.value) for record in found} == {(b"u1", BYTES)}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--topic", "purchases"), 3),
        (("--topic", "purchases", "--error", "contract"), 2),
        (("--error", "not-json"), 1),
        (("--topic", "purchases", "--partition", "0", "--offsets", "6:9"), 1),
        (("--topic", "purchases", "--partition", "0", "--offsets", "5:9"), 2),
        (("--since", "2001-01-01"), 4),
        (("--until", "2001-01-01"), 0),
    ],
)
async def test_letters_are_chosen_by_place_reason_and_time(
    deployment: Deployment, arguments: tuple[str, ...], count: int
) -> None:
    result = await deployment.run("dead-letters", "replay", *arguments)
    assert f"{count} dead letters were sent again" in result.stdout
    assert len(await sent(deployment)) == count
    ids = {row["id"] for row in await listed(deployment, *arguments) if row.get("topic", "bills") != "bills"}
    assert len(ids) == count


async def test_letters_are_counted_by_kind(deployment: Deployment) -> None:
    rows = json.loads((await deployment.run("dead-letters", "list", "--counts", "--json")).stdout)
    assert {"topic": "purchases", "error": "contract", "count": 3} in rows
    assert sum(row["count"] for row in rows) == len(LETTERS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--offsets", "1:2"), "give --topic and --partition"),
        (("--topic", "bills", "--partition", "0", "--offsets", "1"), "FIRST:LAST"),
    ],
)
async def test_what_names_no_letters_is_refused(deployment: Deployment, arguments: tuple[str, ...], words: str) -> None:
    result = await deployment.run("dead-letters", "replay", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
