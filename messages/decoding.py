"""Batches of Kafka records to columns of events; a bad record is refused with a reason and touches no other.

The scanner takes what is certainly acceptable, all records in one compiled loop. The validators decide on the others,
one by one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from messages.columns import Events, Excerpt, Source
from messages.inputs import USER_TOPICS
from messages.money import Money
from messages.records import RawRecords
from messages.scanner import Scanned, Scanner
from messages.validating import Validators
from messages.verdict import Refusal

DAY_MS = 86_400_000


class Decoded(NamedTuple):
    """Accepted events in the order of their records, and the refused records in theirs."""

    accepted: Excerpt
    refused: list[Refusal]

    @property
    def events(self) -> Events:
        """The accepted events."""
        return self.accepted.events


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
        return self.decode_many([(source, records)])

    def decode_many(self, batches: Sequence[tuple[Source, RawRecords]]) -> Decoded:
        """All batches decoded as one, in the given order. Raises ValueError for an unknown topic."""
        scanned = self._scan(batches)
        if scanned.accepted.all():
            return Decoded(Excerpt.of(scanned.events), [])
        parts = self._apart(batches, scanned)
        events = Events.concatenate([part.events for part in parts])
        return Decoded(Excerpt.of(events), [refusal for part in parts for refusal in part.refused])

    def decode_each(self, batches: Sequence[tuple[Source, RawRecords]]) -> list[Decoded]:
        """Each batch decoded; cheaper than one by one. Raises ValueError for an unknown topic."""
        return self._apart(batches, self._scan(batches))

    def _scan(self, batches: Sequence[tuple[Source, RawRecords]]) -> Scanned:
        for source, _ in batches:
            if source.topic not in USER_TOPICS:
                raise ValueError(f"{source.topic!r} is not a topic of user events")
        return self._scanner.scan(batches)

    def _apart(self, batches: Sequence[tuple[Source, RawRecords]], scanned: Scanned) -> list[Decoded]:
        parts, record, event = list[Decoded](), 0, 0
        for source, records in batches:
            accepted = scanned.accepted[record : record + len(records)]
            certain = Excerpt(scanned.events, event, event + int(np.count_nonzero(accepted)))
            parts.append(self._decided(source, records, certain, accepted))
            record, event = record + len(records), certain.stop
        return parts

    def _decided(self, source: Source, records: RawRecords, certain: Excerpt, accepted: NDArray[np.bool_]) -> Decoded:
        """The batch with these certain events, and with the validators' word on its other records."""
        if len(certain) == len(records):
            return Decoded(certain, [])
        doubtful = np.flatnonzero(~accepted)
        validated = self._validators.validate(source, records.take(doubtful))
        places = np.concatenate([np.flatnonzero(accepted), doubtful[validated.kept]])
        whole = Events.concatenate([certain.events, validated.events]).take(np.argsort(places))
        return Decoded(Excerpt.of(whole), validated.refused)
