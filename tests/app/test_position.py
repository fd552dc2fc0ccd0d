import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import aiokafka
import pytest

from app.broker import topic_epochs
from app.embedded import Embedded, embedded_services
from app.kafka import partition_of
from app.settings import load_settings
from messages.message import Message
from store.contract import Commit, StaleOwner, TopicPosition
from tests.agents.cluster import START_MS, cluster
from tests.app.deployment import Deployment

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
_prefixes = itertools.count()
RESET = ("position", "reset", "--topic", "purchases", "--to")
WARNING = Message("warnings", b"u1", b"{}", ())


@pytest.fixture(scope="module")
def services() -> Iterator[Embedded]:
    """No test adds to the logs but the first."""
    with embedded_services() as running:
        yield running


@pytest.fixture
async def deployment(services: Embedded) -> Deployment:
    """Ten purchases in partition 0, of which four are applied, with an outbox."""
    made = await Deployment.create(services.kafka_bootstrap, services.redis_url, f"position-{next(_prefixes)}")
    epochs = await topic_epochs(made.settings, ["purchases"])
    missing = 10 - (await made.json("position", "show", "--partition", "0"))[0]["topics"][0]["end"]
    await made.publish("purchases", 0, missing)
    await made.commit(0, position={"purchases": TopicPosition(4, epochs["purchases"])}, outbox=(WARNING,))
    return made


async def test_positions_are_shown_with_what_waits(deployment: Deployment) -> None:
    first, second = await deployment.json("position", "show")
    assert (first["partition"], first["commits"], first["outbox"]) == (0, 1, 1)
    purchases, repayments = first["topics"][:2]
    assert (purchases["topic"], purchases["next_offset"], purchases["first"], purchases["end"]) == (
        "purchases",
        4,
        0,
        10,
    )
    assert (purchases["lag"], purchases["state"]) == (6, "ok")
    assert purchases["epoch"] == purchases["topic_epoch"] != ""
    assert (repayments["next_offset"], repayments["state"], repayments["lag"]) == (None, "new", 0)
    assert second["commits"] == 0
    text = await deployment.run("position", "show")
    assert text.exit_code == 0
    assert "watermark" in text.stdout


@pytest.mark.parametrize(
    ("position", "state"), [(TopicPosition(4, "an-older-topic"), "recreated"), (TopicPosition(11), "beyond end")]
)
async def test_a_position_that_a_worker_refuses_is_an_error(
    deployment: Deployment, position: TopicPosition, state: str
) -> None:
    await deployment.commit(0, position={"purchases": position})
    result = await deployment.run("position", "show", "--partition", "0")
    assert result.exit_code == 1
    assert state in result.stdout
    assert "duewatch position reset" in result.stderr


@pytest.mark.parametrize(
    ("to", "offset"), [("earliest", 0), ("latest", 10), ("7", 7), ("stored", 4), ("2020-01-01", 0)]
)
async def test_a_recreated_topic_is_adopted_at(deployment: Deployment, to: str, offset: int) -> None:
    await deployment.commit(0, position={"purchases": TopicPosition(4, "an-older-topic")}, outbox=(WARNING,))
    (epoch,) = (await topic_epochs(deployment.settings, ["purchases"])).values()
    result = await deployment.run(*RESET, to, "--partition", "0", "--yes")
    assert result.exit_code == 0, result.output
    assert "the topic was recreated" in result.stdout.lower()
    assert (await deployment.position(0))["purchases"] == TopicPosition(offset, epoch)
    (state,) = await deployment.json("position", "show", "--partition", "0")
    assert (state["commits"], state["outbox"]) == (3, 2)


async def test_who_owned_the_partition_before_can_commit_no_more(deployment: Deployment) -> None:
    with deployment.store() as store:
        view = store.partition(0)
        opened = await view.open()
        assert (await deployment.run(*RESET, "latest", "--partition", "0", "--yes")).exit_code == 0
        commit = Commit(replace(opened.header, commits=2), {"purchases": TopicPosition(5)}, {"u": b"1"})
        with pytest.raises(StaleOwner):
            await view.commit(commit)
        assert await view.load(["u"]) == [None]
        await store.close()


async def test_what_a_reset_means_is_said_before_it_is_asked(deployment: Deployment) -> None:
    before = await deployment.position(0)
    back = await deployment.run(*RESET, "earliest", "--partition", "0", answer="n\n")
    assert back.exit_code == 1
    assert "4 events that were applied will be read again" in back.stdout
    assert "APPLIED TWICE" in back.stdout
    ahead = await deployment.run(*RESET, "9", "--partition", "0", "--dry-run")
    assert ahead.exit_code == 0
    assert "5 events will NEVER be applied" in ahead.stdout
    assert await deployment.position(0) == before
    said = await deployment.run(*RESET, "earliest", "--partition", "0", answer="y\n")
    assert said.exit_code == 0, said.output
    assert (await deployment.position(0))["purchases"].next_offset == 0


async def test_a_reset_is_refused_while_workers_run(deployment: Deployment) -> None:
    consumer = aiokafka.AIOKafkaConsumer(
        "purchases", **deployment.settings.kafka_client_options(), group_id=deployment.settings.group
    )
    await consumer.start()
    try:
        result = await deployment.run(*RESET, "latest", "--yes")
        assert result.exit_code == 1
        assert "1 live members" in result.stderr
        assert (await deployment.position(0))["purchases"].next_offset == 4
        assert (await deployment.run(*RESET, "latest", "--yes", "--force")).exit_code == 0
        assert (await deployment.position(0))["purchases"].next_offset == 10
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*RESET, "11"), "offset 11 is outside of the log, which has 0 to"),
        ((*RESET, "yesterday"), "none of earliest, latest, stored"),
        ((*RESET, "stored", "--partition", "1"), "no position is stored"),
        ((*RESET, "latest", "--partition", "2"), "there is no partition 2"),
        (("position", "reset", "--topic", "warnings", "--to", "latest"), "warnings has no positions"),
    ],
)
async def test_what_cannot_be_set_is_refused(deployment: Deployment, arguments: tuple[str, ...], words: str) -> None:
    result = await deployment.run(*arguments, "--yes")
    assert result.exit_code == 1
    assert words in result.stderr.replace("\n", " ")
    assert (await deployment.position(0))["purchases"].next_offset == 4


async def test_a_position_that_is_right_already_is_left_alone(deployment: Deployment) -> None:
    result = await deployment.run(*RESET, "4", "--partition", "0", "--yes")
    assert "nothing would change" in result.stdout
    assert (await deployment.json("position", "show"))[0]["commits"] == 1


async def test_a_running_worker_goes_on_at_the_new_position(tmp_path: Path) -> None:
    """Its next commit is refused; it drops its batch and opens the partition again."""
    with embedded_services() as fresh:
        async with cluster(fresh.kafka_bootstrap, fresh.redis_url, "live", tmp_path) as group:
            group.start_worker()
            for number in range(5):
                await group.send("purchases", "u1", number, START_MS + number * 1000)
            await group.settled(60)
            settings = load_settings(kafka_bootstrap=group.kafka, redis_url=group.redis, partitions=4, group="live")
            deployment, place = Deployment(settings), str(partition_of("u1", 4))
            (state,) = await deployment.json("position", "show", "--partition", place)
            assert {topic["state"] for topic in state["topics"]} == {"ok"}
            assert [topic["next_offset"] for topic in state["topics"] if topic["topic"] == "purchases"] == [5]
            result = await deployment.run(*RESET, "2", "--partition", place, "--yes", "--force")
            assert result.exit_code == 0, result.output
            await group.send("purchases", "u1", 5, START_MS + 5000)
            group.sent["u1"] += 3  # offsets 2 to 4 are read again; these workers know nothing of recent ids
            assert await group.settled(60) == group.sent
