"""A decision's envelope: its id, its user, its time, what caused it, and the versions in force."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.kernel import Advanced
from messages.columns import Events
from messages.encoding import decision_id, encode
from messages.message import Message
from messages.texts import Texts
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
    event, time = advanced.event[rows], advanced.time[rows].tolist()
    owners = list(map(users.__getitem__, advanced.row[rows].tolist()))
    causes = _of_events(events, event[event >= 0])
    messages = []
    for (_, draft), user, moment, index in zip(drafts, owners, time, event.tolist(), strict=True):
        place, cause = next(causes) if index >= 0 else _of_timer(user, moment)
        decision = {
            "id": decision_id(draft.kind, draft.rule, *place),
            "user_id": user,
            "time": moment * 1000,
            "cause": cause,
            "policy": policy.version,
            "model": model.version,
            **draft.body,
        }
        messages.append(encode(draft.topic, decision))
    return messages


def _of_events(events: Events, chosen: NDArray[np.int32]) -> Iterator[tuple[tuple[str | int, ...], Cause]]:
    """What the id is made of, and the cause, of each of the `chosen` events."""
    ids = Texts.of(events.ids).take(chosen).tolist()
    numbers = events.source[chosen].tolist(), events.offset[chosen].tolist()
    for event_id, number, offset in zip(ids, *numbers, strict=True):
        source = events.sources[number]
        yield (
            (source.topic, source.epoch, source.partition, offset),
            {
                "event_id": event_id,
                "topic": source.topic,
                "partition": source.partition,
                "offset": offset,
                "epoch": source.epoch,
            },
        )


def _of_timer(user: str, time: int) -> tuple[tuple[str | int, ...], Cause]:
    return (user, time), {"timer": time * 1000}
