import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from app.broker import topic_epochs
from app.embedded import Embedded, embedded_services
from app.kafka import partition_of
from app.repartition import Place, RepartitionRefused, repartition
from features.packing import pack
from features.record import RECORD, SCHEMA_VERSION
from messages.hashing import hash_column
from messages.inputs import USER_TOPICS
from messages.message import Message
from store.contract import Commit, Header, LimitView, Opened, PartitionStore, Store, TopicPosition
from store.memory import MemoryPartition, MemoryStore
from tests.app.deployment import Deployment
from tests.servers.kafka import KafkaCluster, jars

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
_prefixes = itertools.count()
USERS = [f"user-{number}" for number in range(2_500)]
OLD, NEW = 3, 5


def records_of(users: list[str]) -> dict[str, tuple[bytes, int]]:
    """A record each, and its timer; every third has none."""
    made = np.zeros(len(users), RECORD)
    made["user"], made["schema"], made["events"] = hash_column(users), SCHEMA_VERSION, 1
    made["limit"] = np.arange(len(users))
    made["next_timer"] = np.where(np.arange(len(users)) % 3, 1_700_000_000 + np.arange(len(users)) % 7, 0)
    return dict(zip(users, zip(pack(made), made["next_timer"].tolist(), strict=True), strict=True))


async def fill(store: Store, position: dict[str, TopicPosition] | None = None) -> dict[str, tuple[bytes, int]]:
    """A deployment of three partitions that are differently far, each with an outbox."""
    known = records_of(USERS)
    for number in range(OLD):
        mine = {user: known[user] for user in USERS if partition_of(user, OLD) == number}
        view = store.partition(number)
        await view.open()
        header = Header(
            watermark=1_700_000_000 + number, policy="p@1", market=f"m@{number}", model="s@1", commits=7 + number
        )
        outbox = Message("warnings", b"user-%d" % number, b"%d" % number), Message("journal", b"%d" % number, b"{}")
        records = {user: record for user, (record, _) in mine.items()}
        timers = {user: timer for user, (_, timer) in mine.items()}
        await view.commit(Commit(header, position or {}, records, timers=timers, outbox=outbox))
        await view.close()
    await store.project_limits(
        [LimitView(user, 100, frozen=False, grade="A", default_probability=0.1, version=3) for user in USERS[:10]]
    )
    return known


async def check(store: Store, known: dict[str, tuple[bytes, int]], partitions: int = NEW) -> list[Opened]:
    """Every user is where it belongs, with its record, timer and limit."""
    found, opened = set(), []
    for number in range(partitions):
        view = store.partition(number)
        users = [user async for user in view.users()]
        assert {partition_of(user, partitions) for user in users} <= {number}
        assert await view.load(users) == [known[user][0] for user in users]
        due = sorted((known[user][1], user) for user in users if known[user][1])
        assert await view.due(1 << 40, 10_000) == [user for _, user in due]
        found |= set(users)
        opened.append(await view.open())
        await view.close()
    assert found == known.keys()
    limits = [await store.limit_of(user) for user in USERS[:11]]
    assert [limit is not None for limit in limits] == [True] * 10 + [False]
    return opened


@pytest.fixture(scope="module")
def brokers() -> Iterator[tuple[Embedded, Embedded]]:
    """Of the old deployment and of the new one; nobody writes to them."""
    with embedded_services() as old, embedded_services() as new:
        yield old, new


@pytest.fixture
async def sides(brokers: tuple[Embedded, Embedded]) -> tuple[Deployment, Deployment]:
    old, new = brokers
    name = f"repartition-{next(_prefixes)}"
    return (
        await Deployment.create(old.kafka_bootstrap, old.redis_url, name, partitions=OLD),
        await Deployment.create(new.kafka_bootstrap, old.redis_url, f"{name}-new", partitions=NEW),
    )


def arguments(sides: tuple[Deployment, Deployment]) -> list[str]:
    target = sides[1].settings
    return [
        "repartition", "--to", str(NEW), "--target-prefix", target.redis_prefix,
        "--target-kafka", target.kafka_bootstrap,
    ]  # fmt: skip


async def test_everything_moves_to_where_its_user_belongs(sides: tuple[Deployment, Deployment]) -> None:
    old, new = sides
    with old.store() as source, new.store() as target:
        known = await fill(source)
        result = await old.run(*arguments(sides))
        assert result.exit_code == 0, result.output
        assert "2,500 records, 1,666 timers, 10 limits" in result.stdout
        opened = await check(target, known)
        await check(source, known, OLD)
        for number, one in enumerate(opened):
            assert one.header == Header(watermark=1_700_000_000, policy="p@1", model="s@1", commits=10)
            assert {position.next_offset for position in one.position.values()} == {0}
            assert "" not in {position.epoch for position in one.position.values()}
            assert [message.key for message in one.outbox] == [
                b"user-%d" % user for user in range(OLD) if partition_of(f"user-{user}", NEW) == number
            ]
        # A second run finds nothing to do, and says the same.
        again = await old.run(*arguments(sides))
        assert again.stdout == result.stdout
        assert (await new.run("position", "show")).exit_code == 0
        for store in (source, target):
            await store.close()


async def test_a_place_that_is_not_empty_is_refused(sides: tuple[Deployment, Deployment]) -> None:
    old, new = sides
    with old.store() as source:
        await fill(source)
        await source.close()
    await new.commit(4, records={"somebody": b"x"})
    result = await old.run(*arguments(sides))
    assert result.exit_code == 1
    assert "partition 4 of the target is not empty" in result.stderr


async def test_events_that_wait_are_refused(brokers: tuple[Embedded, Embedded]) -> None:
    with embedded_services() as services:
        old = await Deployment.create(services.kafka_bootstrap, services.redis_url, "old", partitions=OLD)
        with old.store() as source:
            await fill(source)
            await source.close()
        await old.publish("repayments", 2, 5)
        result = await old.run(
            "repartition", "--to", "5", "--target-prefix", "n", "--target-kafka", brokers[1].kafka_bootstrap
        )
        assert result.exit_code == 1
        assert "repayments[2]: 5 records wait" in result.stderr


async def test_topics_of_another_count_and_the_source_itself_are_refused(sides: tuple[Deployment, Deployment]) -> None:
    old, _ = sides
    with old.store() as source:
        await fill(source)
        await source.close()
    counts = await old.run("repartition", "--to", "7", "--target-prefix", "other")
    assert "purchases of the target has 3 partitions, not 7" in counts.stderr.replace("\n", " ")
    itself = await old.run("repartition", "--to", "5")
    assert "the target is the source" in itself.stderr
    nothing = await old.run(*arguments(sides), DUEWATCH_REDIS_PREFIX="nobody")
    assert "the source is empty" in nothing.stderr
    assert {result.exit_code for result in (counts, itself, nothing)} == {1}


@pytest.mark.kafka
async def test_topics_that_only_got_more_partitions_go_on_where_they_ended(
    brokers: tuple[Embedded, Embedded], tmp_path: Path
) -> None:
    kafka = KafkaCluster(tmp_path / "kafka", jars(Path.home() / ".cache" / "duewatch"), heap_mb=256)
    kafka.start()
    try:
        old = await Deployment.create(kafka.bootstrap, brokers[0].redis_url, "grown", partitions=OLD)
        await old.publish("purchases", 1, 4)
        epochs = await topic_epochs(old.settings, list(USER_TOPICS))
        with old.store() as store:
            await fill(store, {topic: TopicPosition(0, epoch) for topic, epoch in epochs.items()})
            await store.close()
        grow = {topic: NewPartitions(NEW) for topic in USER_TOPICS}
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.create_partitions(grow)
        await admin.close()
        command = ("repartition", "--to", str(NEW), "--target-prefix", "larger")
        assert "4 records wait" in (await old.run(*command)).stderr
        await old.commit(1, position={"purchases": TopicPosition(4, epochs["purchases"])})
        result = await old.run(*command)
        assert result.exit_code == 0, result.output
        new = Deployment(old.settings.model_copy(update={"partitions": NEW, "redis_prefix": "larger"}))
        found = [(await new.position(number))["purchases"] for number in range(NEW)]
        assert found == [TopicPosition(offset, epochs["purchases"]) for offset in (0, 4, 0, 0, 0)]
    finally:
        kafka.stop()


class Dies(Exception):
    pass


class MortalPartition:
    """Fails after so many commits."""

    def __init__(self, view: PartitionStore, store: "MortalStore") -> None:
        self._view, self._store = view, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    async def commit(self, commit: Commit) -> None:
        self._store.commits -= 1
        if self._store.commits < 0:
            raise Dies
        await self._view.commit(commit)


class MortalStore:
    def __init__(self, store: MemoryStore, commits: int) -> None:
        self._store, self.commits = store, commits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def partition(self, number: int) -> Any:
        return MortalPartition(self._store.partition(number), self)


@pytest.mark.parametrize("commits", [0, 3, 5, 8, 10, 12, 14])
async def test_a_copy_that_was_interrupted_goes_on_and_is_refused_by_workers_until_then(
    sides: tuple[Deployment, Deployment], commits: int
) -> None:
    source, target = MemoryStore(), MemoryStore()
    known = await fill(source)
    old = Place(source, sides[0].settings)
    with pytest.raises(Dies):
        await repartition(old, Place(MortalStore(target, commits), sides[1].settings))
    halves = [await target.partition(number).open() for number in range(NEW)]
    begun = [one for one in halves if one.header.commits == 9]
    assert all(position.epoch == "unfinished-copy-of-3-to-5" for one in begun for position in one.position.values())
    assert len(begun) == min(commits, NEW) - max(0, commits - 10)
    done = await repartition(old, Place(target, sides[1].settings))
    assert done.records == len(known)
    await check(target, known)


class Busy(MemoryStore):
    """A source on which a worker commits during the copy."""

    async def limit_of(self, user: str) -> LimitView | None:
        view = self.partition(0)
        opened = await view.open()
        await view.commit(Commit(replace(opened.header, commits=opened.header.commits + 1), {}))
        return await super().limit_of(user)


async def test_a_source_that_changes_meanwhile_is_noticed(sides: tuple[Deployment, Deployment]) -> None:
    source, target = Busy(), MemoryStore()
    await fill(source)
    with pytest.raises(RepartitionRefused, match="changed during the copy"):
        await repartition(Place(source, sides[0].settings), Place(target, sides[1].settings))


class Forgetful(MemoryStore):
    """A target that loses a record of every commit."""

    def partition(self, number: int) -> MemoryPartition:
        view = super().partition(number)
        commit = view.commit

        async def most_of(whole: Commit) -> None:
            await commit(replace(whole, records=dict(list(whole.records.items())[1:])))

        view.commit = most_of  # type: ignore[method-assign, assignment]
        return view


async def test_a_target_that_lost_something_is_noticed(sides: tuple[Deployment, Deployment]) -> None:
    source = MemoryStore()
    await fill(source)
    with pytest.raises(RepartitionRefused, match=r"other timers|differs from the source"):
        await repartition(Place(source, sides[0].settings), Place(Forgetful(), sides[1].settings))


async def test_users_that_another_partitioner_has_placed_are_refused(sides: tuple[Deployment, Deployment]) -> None:
    source = MemoryStore()
    await fill(source)
    astray = next(user for user in USERS if partition_of(user, OLD) == 1)
    view = source.partition(0)
    opened = await view.open()
    ((record, timer),) = records_of([astray]).values()
    await view.commit(Commit(opened.header, {}, {astray: record}, timers={astray: timer}))
    with pytest.raises(RepartitionRefused, match="producers use another one") as refused:
        await repartition(Place(source, sides[0].settings), Place(MemoryStore(), sides[1].settings))
    assert astray not in str(refused.value)
