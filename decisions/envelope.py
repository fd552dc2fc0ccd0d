"""A decision's envelope: its id, its user, its time, what caused it, and the versions in force."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from features.kernel import Advanced
from messages.columns import Events
from messages.encoding import decision_id, encode
from messages.message import Message
from policy.policy import Policy
from policy.row import Draft
from scoring.model import Model

Cause = Mapping[str, Any]


def seal(
    drafts: Sequence[tuple[int, Draft]],
    advanced: Advanced,
    events: Events,
    users: Sequence[str],
    policy: Policy,
    model: Model,
) -> list[Message]:
    """The messages of drafts, each given with the row of the batch that led to it.

    The id depends on what was decided, by which rule, and on the event's place in its topic (or on user and time of
    the timer): the same decision has the same id however often it is worked out.
    """
    rows = np.array([row for row, _ in drafts], np.intp)
    happened = (advanced.row[rows].tolist(), advanced.time[rows].tolist(), advanced.event[rows].tolist())
    messages = []
    for (_, draft), row, time, event in zip(drafts, *happened, strict=True):
        user = users[row]
        place, cause = _of_event(events, event) if event >= 0 else _of_timer(user, time)
        decision = {
            "id": decision_id(draft.kind, draft.rule, *place),
            "user_id": user,
            "time": time * 1000,
            "cause": cause,
            "policy": policy.version,
            "model": model.version,
            **draft.body,
        }
        messages.append(encode(draft.topic, decision))
    return messages


def _of_event(events: Events, event: int) -> tuple[tuple[str | int, ...], Cause]:
    """What the id is made of, and the cause."""
    source, offset = events.sources[int(events.source[event])], int(events.offset[event])
    return (source.topic, source.epoch, source.partition, offset), {
        "event_id": events.ids[event],
        "topic": source.topic,
        "partition": source.partition,
        "offset": offset,
        "epoch": source.epoch,
    }


def _of_timer(user: str, time: int) -> tuple[tuple[str | int, ...], Cause]:
    return (user, time), {"timer": time * 1000}
