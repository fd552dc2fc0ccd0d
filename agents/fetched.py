"""What was fetched of a partition and waits to be taken: records as columns, or the client library's own result.

aiokafka makes objects of every record; here an answer's bytes are kept, and its records are found in them by a kernel.
"""

import time
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.types import TP

from messages.records import RawRecords
from messages.unpacking import unpacked


class Found:
    """Records of one partition that an answer brought, in the place of aiokafka's FetchResult.

    They are `records` of what was asked for from offset `first` on; the next offset to fetch is `reached`.
    """

    __slots__ = ("_assignment", "_first", "_reached", "_records", "_state", "_until")

    def __init__(
        self, assignment: Any, state: Any, records: RawRecords, first: int, reached: int, until: float
    ) -> None:
        """Other partitions of the broker are not asked for before `until` (monotonic) while this waits."""
        self._assignment, self._state = assignment, state
        self._records, self._first, self._reached = records, first, reached
        self._until = until

    def calculate_backoff(self) -> float:
        """Seconds that are left to take it, before the broker is asked for others without it."""
        return max(self._until - time.monotonic(), 0)

    def take(self) -> RawRecords | None:
        """The records, and the partition's position behind them; None where somebody else moved it meanwhile."""
        if not self._assignment.active or self._state.paused or self._state.position != self._first:
            return None
        self._state.consumed_to(self._reached)
        return self._records


def take(fetcher: Any, wanted: set[TP]) -> dict[TP, RawRecords]:
    """Everything that waits of `wanted`, which then may be asked for again.

    `fetcher` is aiokafka's, whose `fetched_records` this replaces. Raises KafkaError where the broker refused a
    partition, or its records are damaged, unless there are others, which come first.
    """
    taken = dict[TP, RawRecords]()
    for tp, waiting in list(fetcher._records.items()):
        if tp not in wanted:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if isinstance(waiting, fetcher_module.FetchError) and taken:
            break
        del fetcher._records[tp]
        fetcher._notify(fetcher._wait_consume_future)
        if isinstance(waiting, Found):
            records = waiting.take()
        elif isinstance(waiting, fetcher_module.FetchResult):
            records = _taken_from_library(waiting)
        else:
            waiting.check_raise()
        if records is not None and len(records):
            taken[tp] = records
    return taken


def by_library(fetcher: Any, assignment: Any, tp: TopicPartition, answer: bytes, first: int) -> Any:
    """The records of an answer as aiokafka keeps them, a FetchResult; None where not one batch is whole."""
    records = fetcher_module.MemoryRecords(answer)
    if not records.has_next():
        return None
    parsed = fetcher_module.PartitionRecords(
        tp,
        records,
        None,
        first,
        fetcher._key_deserializer,
        fetcher._value_deserializer,
        fetcher._check_crcs,
        fetcher._isolation_level,
    )
    return fetcher_module.FetchResult(
        tp, partition_records=parsed, assignment=assignment, backoff=fetcher._prefetch_backoff
    )


def _taken_from_library(waiting: Any) -> RawRecords | None:
    parsed = waiting._partition_records
    parsed._records_iterator = _columns_of(parsed)
    columns = waiting.getall()
    return columns[0] if columns else None


def _columns_of(parsed: Any) -> Iterator[RawRecords]:
    """The records of a PartitionRecords of aiokafka's, and its position behind them.

    Raises KafkaError where aiokafka does.
    """
    found = unpacked(parsed._records.answer, parsed.next_fetch_offset)
    if found is None:
        parsed._consumer_record = _as_it_is
        records = RawRecords.of(list(parsed._unpack_records()))
    else:
        records, parsed.next_fetch_offset = found
    if len(records):
        yield records


def _as_it_is(_partition: Any, record: Any) -> Any:
    return record


class _Answer:
    """aiokafka's MemoryRecords, which keep the bytes to themselves, with the bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self._records = MemoryRecords(answer)
        self.has_next, self.next_batch = self._records.has_next, self._records.next_batch
        self.size_in_bytes = self._records.size_in_bytes


#: The fetchers of this process make these. Nothing changes for the consumers that do not look into them.
fetcher_module.MemoryRecords = _Answer
