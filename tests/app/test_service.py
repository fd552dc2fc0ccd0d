"""The real worker and trainer on the embedded broker and store, held against an oracle that knows neither."""

import asyncio
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from rich.console import Console
from typer.testing import CliRunner

from app.cli import application
from app.demo import Service, demo_settings, running, until_applied, until_ready, write_sample
from app.demo_report import Outputs, read_outputs
from app.demo_screen import Screen
from app.embedded import Embedded, embedded_services
from app.exposition import Sample, total
from app.inspection import load_records
from app.kafka import create_topics, partition_of, read_topics
from app.sending import Sent, send_files
from app.settings import Settings
from features.catalogue import FEATURES, INDEX
from features.market import Market
from features.reading import read
from messages.money import Money
from messages.outputs import DECISION_TOPICS
from policy.policy import load_default
from replay.engine import replay
from samples.taiwan import chosen_ids, outcomes, subset
from store.contract import LimitView
from store.redis import RedisStore
from tests.oracle.naive import features_of
from tests.replay.book import SAMPLE, Collected, batches, engine

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
#: `make verify-book CLIENTS_FILE=clients.csv.gz` runs these tests over all clients of a file.
CLIENTS_FILE = Path(os.environ.get("CLIENTS_FILE", SAMPLE))
IDS = [] if "CLIENTS_FILE" in os.environ else chosen_ids(SAMPLE, 50)
RECORD_FEATURES = [feature.name for feature in FEATURES if feature.owner == "record"]
BROKEN = b'{"type":"purchase","event_id":"b1","user_id":"nobody","time":1}'


class Ran:
    """A service that has worked off the events of some clients, and still runs."""

    def __init__(
        self, service: Service, sent: Sent, samples: list[Sample], outputs: Outputs, events: list[Any]
    ) -> None:
        self.service, self.sent, self.samples, self.outputs, self.events = service, sent, samples, outputs, events


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    with embedded_services() as services:
        yield services


@pytest.fixture(scope="module")
def ran(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    directory = tmp_path_factory.mktemp("service")
    clients, sample = CLIENTS_FILE, directory / "sample.jsonl"
    if IDS:
        clients = directory / "clients.csv.gz"
        subset(SAMPLE, IDS, clients)
    write_sample(clients, sample)
    with sample.open("ab") as file:
        file.write(BROKEN + b"\n")
    events = [json.loads(line) for line in sample.read_bytes().splitlines()]
    settings = demo_settings(embedded)
    asyncio.run(create_topics(settings))
    with running(settings, embedded) as service:
        yield asyncio.run(_run(service, sample, events))


async def _run(service: Service, sample: Path, events: list[Any]) -> Ran:
    await until_ready(service)
    sending = asyncio.create_task(send_files(service.settings, [sample]))
    samples = await until_applied(Screen(Console(file=io.StringIO())), service, sending)
    return Ran(service, sending.result(), samples, await read_outputs(service.settings), events)


def _defect(event: dict[str, Any]) -> bool:
    return str(event["event_id"]).endswith("-broken") or event["event_id"] == "b1"


def test_every_event_is_applied_a_duplicate_or_a_dead_letter(ran: Ran) -> None:
    repeats = len(ran.events) - len({event["event_id"] for event in ran.events})
    broken = sum(map(_defect, ran.events))
    assert repeats >= 3
    assert ran.sent.published == len(ran.events)
    assert total(ran.samples, "duewatch_events_total", disposition="duplicate") == repeats
    assert total(ran.samples, "duewatch_dead_letters_total") == ran.outputs.dead_letters.total() == broken
    assert total(ran.samples, "duewatch_events_total", disposition="applied") == len(ran.events) - repeats - broken


async def test_every_users_record_reads_as_the_oracle_recomputes_it(ran: Ran) -> None:
    lives: dict[str, list[Any]] = {}
    for event in ran.events:
        if not _defect(event):
            lives.setdefault(event["user_id"], []).append(event)
    assert len(lives) == (len(IDS) or len(outcomes(CLIENTS_FILE)))
    settings, terms, market = ran.service.settings, load_default().terms, Market()
    store = RedisStore(settings.redis_address())
    wrong: dict[str, Any] = {}
    for user, events in lives.items():
        view = store.partition(partition_of(user, settings.partitions))
        records = await load_records(view, [user])
        await view.close()
        at = int(records["last_seen"][0])
        got = read(records, np.array([at]), terms, market)[0]
        want = features_of(events, at, terms, market, Money())
        for name in RECORD_FEATURES:
            if got[INDEX[name]] != pytest.approx(want[name], rel=1e-9, abs=1e-9):
                wrong[f"{user} {name}"] = (got[INDEX[name]], want[name])
    await store.close()
    assert not wrong


async def test_what_is_published_follows_the_contracts_and_has_an_id_of_its_own(ran: Ran) -> None:
    ids: Counter[str] = Counter()
    async for record in read_topics(ran.service.settings, list(DECISION_TOPICS), from_start=True, follow=False):
        decision = DECISION_TOPICS[record.topic].model_validate_json(record.value)
        assert record.key == decision.user_id.encode()
        ids[decision.id] += 1
    assert len(ids) > 100
    assert ids.most_common(1)[0][1] == 1


async def test_topics_stay_in_step_though_history_runs_faster_than_the_clock(ran: Ran) -> None:
    """A timer that fires before a repayment of another topic is read would warn of a due date that was met."""

    def missed(values: Iterable[bytes]) -> set[tuple[str, str, int]]:
        found = map(json.loads, values)
        return {(m["user_id"], m["status"], m["time"]) for m in found if m.get("trigger") == "missed_due_date"}

    topics = read_topics(ran.service.settings, ["warnings"], from_start=True, follow=False)
    live = missed([record.value async for record in topics])
    sink = Collected()
    lines = [json.dumps(event).encode() for event in ran.events]
    replay(engine(sink, learning=False), batches(lines, 8_000))
    assert live == missed(message.value for message in sink.messages if message.topic == "warnings")
    assert len(live) > 20


async def test_the_projection_shows_the_limit_that_was_set_last(ran: Ran) -> None:
    newest: dict[str, dict[str, Any]] = {}
    async for record in read_topics(ran.service.settings, ["limit-adjustments"], from_start=True, follow=False):
        message = json.loads(record.value)
        if message["limit_version"] > newest.get(message["user_id"], {"limit_version": 0})["limit_version"]:
            newest[message["user_id"]] = message
    assert newest.keys() == {event["user_id"] for event in ran.events if not _defect(event)}
    store = RedisStore(ran.service.settings.redis_address())
    for user, message in newest.items():
        view = await store.limit_of(user)
        assert view is not None
        assert (view.limit, view.version) == (message["new_limit"], message["limit_version"])
    await store.close()


def test_limits_that_redis_lost_are_written_anew_from_the_topic(ran: Ran) -> None:
    settings = ran.service.settings
    users = sorted({event["user_id"] for event in ran.events if not _defect(event)})
    before = asyncio.run(_limits(settings, users))
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(*[f"limit:{user}" for user in users[::2]])
    said = _invoke(ran, "limits", "rebuild", "--redis", settings.redis_url)
    assert f"the limits of {len(users)} users are in Redis" in said
    assert asyncio.run(_limits(settings, users)) == before


async def _limits(settings: Settings, users: list[str]) -> list[LimitView | None]:
    store = RedisStore(settings.redis_address())
    try:
        return [await store.limit_of(user) for user in users]
    finally:
        await store.close()


def _invoke(ran: Ran, *arguments: str) -> str:
    settings = ran.service.settings
    result = CliRunner(env={"COLUMNS": "200"}).invoke(application, [*arguments, "--kafka", settings.kafka_bootstrap])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_inspect_explains_a_user(ran: Ran) -> None:
    settings = ran.service.settings
    user = next(event["user_id"] for event in ran.events)
    options = ("--redis", settings.redis_url, "--partitions", str(settings.partitions))
    found = json.loads(_invoke(ran, "inspect", user, *options, "--json"))
    assert found["user"] == user
    assert 0 < found["default_probability"] < 1
    assert found["limit"]["limit"] == found["limit"]["projected"]
    assert found["score_reasons"]
    assert found["ledger"]["bills"]
    assert len(found["features"]) == len(FEATURES)
    text = _invoke(ran, "inspect", user, *options)
    assert user in text
    assert "default probability" in text


def test_an_unknown_user_is_said_to_be_unknown(ran: Ran) -> None:
    settings = ran.service.settings
    options = ["--redis", settings.redis_url, "--kafka", settings.kafka_bootstrap, "--partitions", "4"]
    result = CliRunner().invoke(application, ["inspect", "nobody", *options])
    assert result.exit_code == 1
    assert "knows no user 'nobody'" in result.stderr.replace("\n", " ")


def test_topics_are_checked_and_a_wrong_partition_count_is_named(ran: Ran) -> None:
    settings = ran.service.settings
    assert "all topics are there" in _invoke(ran, "topics", "check", "--partitions", "4")
    result = CliRunner().invoke(
        application, ["topics", "check", "--kafka", settings.kafka_bootstrap, "--partitions", "5"]
    )
    assert result.exit_code == 1
    assert "purchases has 4 partitions, not 5" in result.stderr.replace("\n", " ")


def test_warnings_can_be_read_from_the_start(ran: Ran) -> None:
    lines = _invoke(ran, "tail", "warnings", "--from-start", "--no-follow", "--json").splitlines()
    raised = [json.loads(line) for line in lines]
    assert len(raised) == sum(n for (topic, _, _), n in ran.outputs.decisions.items() if topic == "warnings")
    shown = _invoke(ran, "tail", "warnings", "--from-start", "--count", "3").splitlines()
    assert len(shown) == 3


def test_dead_letters_can_be_listed_and_sent_again(ran: Ran) -> None:
    counts = json.loads(_invoke(ran, "dead-letters", "list", "--counts", "--json"))
    assert sum(row["count"] for row in counts) == ran.outputs.dead_letters.total()
    listed = _invoke(ran, "dead-letters", "list", "--topic", "purchases", "--json").splitlines()
    assert BROKEN.decode() in [json.loads(line)["value"] for line in listed]
    said = _invoke(ran, "dead-letters", "replay", "--topic", "purchases", "--dry-run")
    assert f"{len(listed)} dead letters would be sent again" in said
