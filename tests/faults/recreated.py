"""The last fault: a topic is deleted and created anew under the positions that the workers have stored."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from app.broker import topic_epochs
from app.kafka import admin_client, read_topics
from app.settings import Settings
from messages.topics import ALL_TOPICS
from tests.faults.applied import until_applied
from tests.faults.commands import duewatch
from tests.faults.group import Group
from tests.faults.oracle import Saved
from tests.faults.sender import Sender

TOPIC = "feedback"
#: Workers see at their next assignment at the latest that the topic is another one; one of them is asked to end then.
NOTICE_SECONDS, REFUSE_SECONDS, RESET_SECONDS = 10.0, 60.0, 60.0
REFUSAL = "PositionRefused"


class NotRefused(Exception):
    """The workers went on with a recreated topic, or could not be made to go on afterwards."""


async def recreate(settings: Settings, group: Group, sender: Sender, say: Callable[[str], None]) -> Saved:
    """Returns the records of the topic as it was.

    Workers must refuse to go on until somebody has reset the position. Raises NotRefused.
    """
    await group.end_doomed()  # one that has yet to die at its point would go on when the others have refused
    sender.held.add(TOPIC)
    await sender.flush()
    await until_applied(settings, say, topics=[TOPIC])
    kept: defaultdict[int, list[Any]] = defaultdict(list)
    async for record in read_topics(settings, [TOPIC], from_start=True, follow=False):
        kept[record.partition].append(record)
    epoch = (await topic_epochs(settings, [TOPIC]))[TOPIC]
    before, wanted, group.wanted = len(group.exits), group.wanted, 0
    await _delete_and_create(settings)
    if not await _all_ended(group, NOTICE_SECONDS):
        say(f"nobody has noticed that {TOPIC} is another topic: ending one worker, so that there is an assignment")
        group.signal(group.oldest(), signal.SIGTERM)
        if not await _all_ended(group, REFUSE_SECONDS):
            raise NotRefused(f"workers go on after {TOPIC} was recreated")
    refused, group.exits[before:] = group.exits[before:], []
    if not refused or not all(REFUSAL in text for text in refused):
        raise NotRefused(f"workers did not end because {TOPIC} was recreated: {refused}")
    say(f"{len(refused)} workers refused, one of them: {refused[0]}")
    await _reset(settings)
    group.wanted = wanted
    sender.held.discard(TOPIC)
    return {(TOPIC, epoch): kept}


async def _delete_and_create(settings: Settings) -> None:
    (spec,) = (spec for spec in ALL_TOPICS if spec.name == TOPIC)
    configs = spec.settings()
    if settings.replication > 2:
        configs["min.insync.replicas"] = str(settings.replication - 1)
    new = NewTopic(TOPIC, settings.partitions, settings.replication, topic_configs=configs)
    async with admin_client(settings) as admin:
        await admin.delete_topics([TOPIC])
        async with asyncio.timeout(RESET_SECONDS):
            while True:
                response = await admin.create_topics([new])
                code = response.topic_errors[0][1]
                if code == 0:
                    return
                if code != TopicAlreadyExistsError.errno:
                    raise NotRefused(f"{TOPIC} could not be created anew: {response.topic_errors}")
                await asyncio.sleep(0.2)


async def _all_ended(group: Group, seconds: float) -> bool:
    """Whether all workers end by themselves within so many seconds; those that live on are left alone."""
    ended = await asyncio.gather(*(group.gone(worker, seconds) for worker in list(group.workers)))
    group.look_after()
    return all(ended)


async def _reset(settings: Settings) -> None:
    """As an operator does it; refused for as long as the group seems to work."""
    printed = ""
    try:
        async with asyncio.timeout(RESET_SECONDS):
            while True:
                code, printed = await duewatch(
                    settings, "position", "reset", "--topic", TOPIC, "--to", "earliest", "--yes"
                )
                if code == 0:
                    return
                await asyncio.sleep(1.0)
    except TimeoutError:
        raise NotRefused(f"the position could not be reset: {printed[-1000:]}") from None
