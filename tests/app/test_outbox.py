import json
from collections.abc import AsyncIterator

import pytest

from app.embedded import embedded_services
from messages import outputs
from messages.encoding import attributes
from messages.journal import JournalEntry
from messages.message import Message
from telemetry.logging import pseudonym
from tests.app.deployment import Deployment

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
KEY = "a-key-for-pseudonyms"
WARNING = Message("warnings", b"u-17", b'{"user_id":"u-17"}', attributes(outputs.Warning, "0f0e"))
ENTRY = Message("journal", b"1", b"{}", attributes(JournalEntry, "1:1"))


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    with embedded_services() as services:
        made = await Deployment.create(services.kafka_bootstrap, services.redis_url, "outbox", pseudonym_key=KEY)
        await made.commit(1, outbox=(ENTRY, WARNING))
        yield made


async def test_what_the_last_commit_left_is_shown_without_naming_anybody(deployment: Deployment) -> None:
    result = await deployment.run("outbox", "show")
    assert result.exit_code == 0, result.output
    assert pseudonym("u-17", KEY.encode()) in result.stdout
    assert "u-17" not in result.stdout
    assert "0f0e" in result.stdout
    assert "duewatch.warning.v1" in result.stdout
    assert "published already or not" in result.stdout


async def test_values_are_shown_as_json_to_who_asks_for_them(deployment: Deployment) -> None:
    result = await deployment.run("outbox", "show", "--partition", "1", "--json")
    entry, warning = map(json.loads, result.stdout.splitlines())
    assert (entry["partition"], entry["topic"], entry["key"]) == (1, "journal", "1")
    assert (warning["key"], warning["value"]) == ("u-17", WARNING.value.decode())
    assert warning["headers"]["ce_id"] == "0f0e"


async def test_a_partition_with_nothing_left_and_one_that_does_not_exist(deployment: Deployment) -> None:
    assert "0 messages" in (await deployment.run("outbox", "show", "--partition", "0")).stdout
    result = await deployment.run("outbox", "show", "--partition", "2")
    assert result.exit_code == 1
    assert "no such partition" in result.stderr
