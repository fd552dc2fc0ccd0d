"""The journal: how the topics of a partition interleaved, batch by batch.

Within a topic the offsets say in which order events were decided; between topics only the moment at which each arrived
does. What a batch decided can therefore be decided again only by who knows its order. The journal keeps that, with
everything else that a batch was decided with, so the topics alone tell how every decision came about.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import numpy as np
from pydantic import Field

from messages.columns import Events
from messages.encoding import attributes
from messages.inputs import Contract
from messages.message import Message

JOURNAL = "journal"

Offset = Annotated[int, Field(ge=0)]


class TopicRange(Contract):
    """What a batch took of one topic: offsets from `begin` up to, not including, `end`."""

    topic: str
    epoch: str = Field(description="Identity of the topic's incarnation; empty where the broker does not tell.")
    begin: Offset
    end: Offset


class JournalEntry(Contract):
    """One batch. The entries of a partition are numbered from 1 on, and each begins where the one before it ended.

    Only one that says `reset` need not: somebody has set the position by hand. It has no events.
    """

    type: Literal["batch"] = "batch"
    partition: Offset
    number: Annotated[int, Field(ge=1)]
    clock: Offset = Field(description="What the batch took for now, ms; 0: event time only.")
    watermark: Offset = Field(description="After the batch, s since 1970 UTC.")
    policy: str = Field(description="Version in force, as are the next two.")
    market: str
    model: str
    topics: tuple[TopicRange, ...]
    order: Annotated[str, Field(pattern="^[0-9]*$")] = Field(
        description="A digit per accepted event, in the order decided: the index of its topic in `topics`."
    )
    reset: bool = False


class _Range(msgspec.Struct):
    topic: str
    epoch: str
    begin: int
    end: int


class _Entry(msgspec.Struct, tag="batch"):
    """The contract's fields in its order; the contract itself costs ten times as much per batch."""

    partition: int
    number: int
    clock: int
    watermark: int
    policy: str
    market: str
    model: str
    topics: list[_Range]
    order: str
    reset: bool


_encode = msgspec.json.Encoder().encode


def journal_message(
    partition: int,
    number: int,
    clock: int,
    watermark: int,
    versions: tuple[str, str, str],
    ranges: Mapping[str, tuple[str, int, int]],
    events: Events,
) -> Message:
    """The entry of a batch as a message for `partition` of the journal.

    `versions` are those of policy, market and model; `ranges` gives epoch, begin and end by topic; every source of
    `events` is one of these topics. Raises ValueError for more than ten topics or a source of none of them.
    """
    topics = list(ranges)
    if len(topics) > 10:
        raise ValueError(f"an entry's order has one digit per event: {len(topics)} topics are too many")
    digit_of_source = np.zeros(len(events.sources), np.uint8)
    for used in np.unique(events.source).tolist():
        digit_of_source[used] = ord("0") + topics.index(events.sources[used].topic)
    entry = _Entry(
        partition, number, clock, watermark, *versions,
        topics=[_Range(topic, epoch, begin, end) for topic, (epoch, begin, end) in ranges.items()],
        order=digit_of_source[events.source].tobytes().decode() if len(events) else "",
        reset=False,
    )  # fmt: skip
    return _message(entry)


def entry_message(entry: JournalEntry) -> Message:
    """The message of an entry: the same bytes for the same entry."""
    fields = {name: getattr(entry, name) for name in _Entry.__struct_fields__}
    fields["topics"] = [_Range(piece.topic, piece.epoch, piece.begin, piece.end) for piece in entry.topics]
    return _message(_Entry(**fields))


def _message(entry: _Entry) -> Message:
    headers = attributes(JournalEntry, f"{entry.partition}:{entry.number}")
    return Message(JOURNAL, str(entry.partition).encode(), _encode(entry), headers)


def journal_entry(value: bytes) -> JournalEntry:
    """Read an entry. Raises pydantic.ValidationError."""
    return JournalEntry.model_validate_json(value)
