"""What a worker is put together from; `app` gives it, tests replace parts of it."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agents.health import Health
from agents.meters import Meters, SilentMeters
from agents.publishing import Publisher
from agents.refusals import DeadLetterLimit
from decisions.work import Work
from messages.columns import Source
from messages.decoding import Decoded
from messages.journal import JournalEntry
from messages.message import Message
from messages.records import RawRecords
from messages.verdict import Refusal
from store.contract import PartitionStore, Store


class Decoder(Protocol):
    """`messages.decoding.Decoder`."""

    def decode(self, source: Source, records: RawRecords) -> Decoded:
        """Columns of the acceptable events, and the refused records."""
        ...

    def decode_each(self, batches: Sequence[tuple[Source, RawRecords]]) -> list[Decoded]:
        """The same of each of several batches."""
        ...


class Versioned(Protocol):
    """A policy, market or model."""

    @property
    def version(self) -> str:
        """Names its content."""
        ...


class Terms(Protocol):
    """`features.terms.Terms`."""

    @property
    def allowed_lateness(self) -> int:
        """Seconds of event time."""
        ...


class Policy(Versioned, Protocol):
    """`policy.policy.Policy`."""

    @property
    def terms(self) -> Terms:
        """The constants of the kernels."""
        ...


class InForce(Protocol):
    """`decisions.in_force.InForce`."""

    @property
    def policy(self) -> Policy:
        """The policy."""
        ...

    @property
    def market(self) -> Versioned:
        """The market."""
        ...

    @property
    def model(self) -> Versioned:
        """The model."""
        ...


class Broadcasts(Protocol):
    """Where policy, market and model come from: `agents.broadcasts.KafkaBroadcasts`."""

    async def start(self) -> None:
        """Begin to read."""
        ...

    async def stop(self) -> None:
        """Read no more."""
        ...

    async def read(self) -> None:
        """Return once everything published before the start was read."""
        ...

    def in_force(self) -> InForce:
        """What the next batch takes."""
        ...

    async def recall(self, policy: str, market: str, model: str) -> InForce | None:
        """What was in force under these versions; None where one of them is not known any more."""
        ...


class Journal(Protocol):
    """`agents.journal.KafkaJournal`."""

    async def entries(self, partition: int, since: int) -> list[JournalEntry]:
        """All entries of a partition from this offset of its journal on; entries may repeat themselves."""
        ...

    def records(
        self, partition: int, entries: Sequence[JournalEntry]
    ) -> AsyncGenerator[tuple[JournalEntry, dict[str, list[Any]]], None]:
        """Each of `entries`, which follow on each other, with its records by topic.

        Raises JournalBroken and KafkaError.
        """
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


class Outcome(Protocol):
    """`decisions.decide.Outcome`: rows are those of the records that `decide` was given."""

    @property
    def touched(self) -> NDArray[np.uint32]:
        """Rows to write."""
        ...

    @property
    def retired(self) -> Sequence[int] | NDArray[np.uint32]:
        """Rows whose users are to be forgotten."""
        ...

    @property
    def decisions(self) -> Sequence[Message]:
        """What to publish, in order."""
        ...

    @property
    def caused(self) -> NDArray[np.int32]:
        """By decision, the index of the event that led to it; -1 for a timer."""
        ...

    @property
    def watermark(self) -> int:
        """Seconds of event time."""
        ...

    @property
    def disposition(self) -> NDArray[np.uint8]:
        """Per event: 0 duplicate, 1 applied, 2 applied late."""
        ...

    @property
    def counts(self) -> Any:
        """What to count; for the meters."""
        ...


class Decide(Protocol):
    """`decisions.decide.decide_each`."""

    def __call__(self, works: Sequence[Work], in_force: Any) -> Sequence[Outcome]:
        """Advance the records of each work in place and decide."""
        ...


class Residents(Protocol):
    """`store.residents.Residents`."""

    @property
    def records(self) -> NDArray[np.void]:
        """RECORD by row; ask anew after `rows`."""
        ...

    @property
    def users(self) -> Sequence[str]:
        """User by row."""
        ...

    async def rows(self, users: Sequence[str]) -> NDArray[np.uint32]:
        """Rows of users, loaded where they are not resident."""
        ...

    def users_of(self, rows: NDArray[np.uint32]) -> list[str]:
        """Users of rows."""
        ...

    def packed(self, rows: NDArray[np.uint32]) -> Mapping[str, bytes]:
        """Packed records by user; ends the batch."""
        ...

    def moved_timers(self, rows: NDArray[np.uint32]) -> dict[str, int]:
        """Next timers by user, where the store has another; from now on they count as stored."""
        ...

    def forget(self, rows: NDArray[np.uint32]) -> None:
        """Give rows up."""
        ...

    def clear(self) -> None:
        """Forget everybody."""
        ...


#: A partition may decide so many events at once however many others the worker owns: less would not be worth a commit.
SMALLEST_SHARE = 250


def now_ms() -> int:
    """Milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


def _nothing(_: str) -> None:
    """Stand where a fault test may end the process."""


@dataclass(frozen=True, kw_only=True)
class Deps:
    """A worker's parts.

    `reached` hears the named points of a batch's way: "dead-letters", "decided", "committed", "journaled", "published",
    "acknowledged".
    """

    store: Store
    residents: Callable[[PartitionStore, int], Residents]
    decoder: Decoder
    decide: Decide
    broadcasts: Broadcasts
    publisher: Publisher
    journal: Journal
    dead_letter: Callable[[Refusal], Message]
    meters: Meters = field(default_factory=SilentMeters)
    health: Health = field(default_factory=Health)
    clock_ms: Callable[[], int] = now_ms
    refusals: DeadLetterLimit = field(default_factory=DeadLetterLimit)
    reached: Callable[[str], None] = _nothing
    time_mode: Literal["clock", "event"] = "clock"
    batch_size: int = 8_000
    resident_records: int = 24_000
    tick_seconds: float = 1.0

    def share(self, partitions: int) -> "Deps":
        """What one of so many partitions of a worker gets: memory is bounded per worker, whatever it owns."""
        return replace(
            self,
            batch_size=max(self.batch_size // partitions, min(self.batch_size, SMALLEST_SHARE)),
            resident_records=max(self.resident_records // partitions, 1),
        )
