"""Batches of Kafka records to columns of events; a bad record is refused with a reason and touches no other.

The scanner takes what is certainly acceptable, all records of a topic in one compiled loop. The validators decide on
the others, one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from messages.columns import Events, Source
from messages.inputs import USER_TOPICS
from messages.money import Money
from messages.records import RawRecords
from messages.scanner import Scanner
from messages.validating import Validators
from messages.verdict import Refusal

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """Accepted events in the order of their records, and the refused records in theirs."""

    events: Events
    refused: list[Refusal]


class Decoder:
    """Decodes records of the user topics for one book.

    `money` converts amounts to the book's currency. An event whose time is more than `max_ahead_ms` after its record's
    arrival is refused, because it would push the watermark past everybody else's events.
    """

    def __init__(self, money: Money, max_ahead_ms: int = DAY_MS) -> None:
        self._scanner = Scanner(money, max_ahead_ms)
        self._validators = Validators(money, max_ahead_ms)

    def decode(self, source: Source, records: RawRecords) -> Decoded:
        """Columns of the acceptable events among `records` of one partition. Raises ValueError for an unknown topic."""
        if source.topic not in USER_TOPICS:
            raise ValueError(f"{source.topic!r} is not a topic of user events")
        scanned = self._scanner.scan(source, records)
        if len(scanned.events) == len(records):
            return Decoded(scanned.events, [])
        doubtful = np.flatnonzero(~scanned.accepted)
        validated = self._validators.validate(source, records.take(doubtful))
        places = np.concatenate([np.flatnonzero(scanned.accepted), doubtful[validated.kept]])
        events = Events.concatenate([scanned.events, validated.events]).take(np.argsort(places))
        return Decoded(events, validated.refused)

    def decode_many(self, batches: Iterable[tuple[Source, RawRecords]]) -> Decoded:
        """All batches decoded, one after the other."""
        return merge([self.decode(source, records) for source, records in batches])


def merge(parts: Sequence[Decoded]) -> Decoded:
    """Several decoded batches as one, in the given order."""
    events = Events.concatenate([part.events for part in parts])
    return Decoded(events, [refusal for part in parts for refusal in part.refused])
