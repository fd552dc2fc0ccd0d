"""A decision's envelope: its id, its user, its time, what caused it, and the versions in force."""

from collections.abc import Sequence
from typing import Any

from features.kernel import Advanced
from messages.columns import Events
from messages.encoding import decision_id, encode
from messages.message import Message
from policy.policy import Policy
from policy.row import Draft
from scoring.model import Model


def seal(
    draft: Draft, index: int, advanced: Advanced, events: Events, users: Sequence[str], policy: Policy, model: Model
) -> Message:
    """The message of a draft that row `index` of the batch led to.

    The id depends on what was decided, by which rule, and on the event's place in its topic (or on user and time of
    the timer): the same decision has the same id however often it is worked out.
    """
    user, time, event = users[int(advanced.row[index])], int(advanced.time[index]), int(advanced.event[index])
    cause: dict[str, Any]
    place: tuple[str | int, ...]
    if event >= 0:
        source, offset = events.sources[int(events.source[event])], int(events.offset[event])
        place = (source.topic, source.epoch, source.partition, offset)
        cause = {
            "event_id": events.ids[event],
            "topic": source.topic,
            "partition": source.partition,
            "offset": offset,
            "epoch": source.epoch,
        }
    else:
        place = (user, time)
        cause = {"timer": time * 1000}
    envelope = {
        "id": decision_id(draft.kind, draft.rule, *place),
        "user_id": user,
        "time": time * 1000,
        "cause": cause,
        "policy": policy.version,
        "model": model.version,
    }
    return encode(draft.topic, envelope | draft.body)
