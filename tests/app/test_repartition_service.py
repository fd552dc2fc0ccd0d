"""A book that moves to another partition count in the middle of its history reads as if it had never moved."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from app.demo import demo_settings, running, until_applied, until_ready
from app.demo_screen import Screen
from app.embedded import Embedded, embedded_services
from app.inspection import load_records
from app.kafka import create_topics, partition_of
from app.sending import send_files
from app.settings import Settings
from features.catalogue import FEATURES, INDEX
from features.market import Market
from features.reading import read
from messages.money import Money
from policy.policy import load_default
from samples.taiwan import chosen_ids, subset
from samples.taiwan import events as events_of
from store.redis import RedisStore
from tests.app.deployment import Deployment
from tests.oracle.naive import features_of
from tests.replay.book import SAMPLE

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
OLD, NEW = 3, 5


def write(events: list[Any], path: Path) -> None:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))


async def apply(settings: Settings, services: Embedded, events: list[Any], path: Path) -> None:
    """Publish the events and let a real worker finish them."""
    write(events, path)
    await create_topics(settings)
    with running(settings, services) as service:
        await until_ready(service)
        sending = asyncio.create_task(send_files(settings, [path]))
        await until_applied(Screen(Console(file=io.StringIO())), service, sending)


async def test_a_book_that_moved_reads_as_the_oracle_recomputes_it(tmp_path: Path) -> None:
    subset(SAMPLE, chosen_ids(SAMPLE, 12), tmp_path / "clients.csv.gz")
    events = [event for _, event in events_of(tmp_path / "clients.csv.gz")]
    half = len(events) // 2
    with embedded_services() as old, embedded_services() as new:
        first = demo_settings(old).model_copy(update={"partitions": OLD})
        await apply(first, old, events[:half], tmp_path / "first.jsonl")
        second = demo_settings(new).model_copy(update={"partitions": NEW, "redis_prefix": "moved"})
        await create_topics(second)
        # The embedded broker still counts the worker that has left.
        result = await Deployment(first).run(
            "repartition", "--to", str(NEW), "--target-prefix", "moved",
            "--target-kafka", second.kafka_bootstrap, "--target-redis", second.redis_url, "--force",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        await apply(second, new, events[half:], tmp_path / "second.jsonl")
        await _compare(second, events)


async def _compare(settings: Settings, events: list[Any]) -> None:
    terms, market, store = load_default().terms, Market(), RedisStore(settings.redis_address())
    lives: dict[str, list[Any]] = {}
    for event in events:
        lives.setdefault(event["user_id"], []).append(event)
    wrong = {}
    for user, life in lives.items():
        view = store.partition(partition_of(user, settings.partitions))
        records = await load_records(view, [user])
        await view.close()
        at = int(records["last_seen"][0])
        got, want = read(records, np.array([at]), terms, market)[0], features_of(life, at, terms, market, Money())
        for feature in FEATURES:
            if feature.owner == "record" and got[INDEX[feature.name]] != pytest.approx(want[feature.name]):
                wrong[user, feature.name] = got[INDEX[feature.name]], want[feature.name]
    await store.close()
    assert not wrong
    assert len(lives) == 12
