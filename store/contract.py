"""The store's contract: one view per partition, one atomic commit that a stale owner cannot make.

A partition here is one partition number across all user-keyed topics. Its records, timers, header, position and outbox
move together or not at all. Implementations: `store.memory`, `store.redis`; `tests/store` runs one suite over both.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from messages.blobs import Blobs
from messages.message import Message


class StaleOwner(Exception):
    """Somebody else moved the partition's position: this owner has lost the partition and must drop what it knows."""


class StoreUnavailable(Exception):
    """The store cannot be reached or refuses for now; the same call may succeed later."""


class CorruptState(Exception):
    """What is stored cannot be understood (a newer schema, damaged bytes); the message says what and where.

    Messages reach logs and /readyz, so they do not name the user whom it is about: `user` does, "" for none.
    """

    def __init__(self, message: str, *, user: str = "") -> None:
        super().__init__(message)
        self.user = user


@dataclass(frozen=True, slots=True)
class TopicPosition:
    """Next offset to apply, and the identity of the topic's incarnation that it counts in ("" where unknown)."""

    next_offset: int
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What holds for the partition as a whole.

    `watermark` is in seconds of event time (0: none yet), `clock` the time in milliseconds that the newest batch took
    for now (0: event time only), `policy`, `market` and `model` the versions in force, `commits` a running number, and
    `journal` an offset of the partition's journal that is not after its entry.
    """

    watermark: int = 0
    clock: int = 0
    policy: str = ""
    market: str = ""
    model: str = ""
    commits: int = 0
    journal: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """What a new owner finds: by topic the position, and the messages that may not have been published yet."""

    header: Header
    position: Mapping[str, TopicPosition]
    outbox: Sequence[Message]


class PackedRecords(Mapping[str, bytes]):
    """Packed records by user, all in one buffer: `blobs[i]` is that of the user whose name in UTF-8 is `names[i]`."""

    def __init__(self, names: Blobs, blobs: Blobs) -> None:
        self.names, self.blobs = names, blobs

    @cached_property
    def _by_user(self) -> dict[str, bytes]:
        names = map(bytes.decode, self.names.tolist())
        return dict(zip(names, self.blobs.tolist(), strict=True))

    def __getitem__(self, user: str) -> bytes:
        return self._by_user[user]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_user)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Commit:
    """One batch's outcome. `timers` gives each user's next timer in seconds, 0 for none; who is not named keeps theirs.

    Positions of topics that are not named stay. A retired user loses record and timer, also those of this commit.

    The outbox replaces the one before it: a commit is made only after the previous outbox was published.
    """

    header: Header
    position: Mapping[str, TopicPosition]
    records: Mapping[str, bytes] = field(default_factory=dict)
    retired: Sequence[str] = ()
    timers: Mapping[str, int] = field(default_factory=dict)
    outbox: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class LimitView:
    """What a checkout system reads under `limit:{user}`; the greater version wins.

    One that is `forgotten` is not written: it removes what an earlier version left.
    """

    user: str
    limit: int
    frozen: bool
    grade: str
    default_probability: float
    version: int
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What one server of the store says of itself, as text under its own names; what it does not tell is missing.

    `info` are its figures, `config` its settings, `refused` what the store needs and this login may not do, with the
    server's words. Its clock is `ahead_ms` before this machine's, give or take `within_ms`.
    """

    server: str
    info: Mapping[str, str]
    config: Mapping[str, str]
    refused: Mapping[str, str]
    ahead_ms: float
    within_ms: float


class PartitionStore(Protocol):
    """One owner's view of one partition."""

    async def open(self) -> Opened:
        """Read header, position and outbox; from now on commits are checked against this position."""
        ...

    async def load(self, users: Sequence[str]) -> list[bytes | None]:
        """Packed records in the order of `users`; None where there is none."""
        ...

    async def due(self, until: int, limit: int) -> list[str]:
        """Users whose timer is at most `until` (seconds), earliest first, at most `limit` of them."""
        ...

    async def first_timer(self) -> int:
        """When the earliest timer is (seconds); 0 where there is none."""
        ...

    async def commit(self, commit: Commit) -> None:
        """Apply all of `commit`, or nothing.

        Raises StaleOwner when anybody else committed since this view last opened or committed (even without moving an
        offset) or when it was not opened, and StoreUnavailable when it is unknown whether the commit happened: the
        caller opens again and compares `commits`.
        """
        ...

    def users(self) -> AsyncIterator[str]:
        """Every user with a record, in no particular order."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class Store(Protocol):
    """All partitions of one deployment."""

    def partition(self, number: int) -> PartitionStore:
        """A view for a new owner of partition `number`."""
        ...

    async def project_limits(self, limits: Sequence[LimitView]) -> None:
        """Write `limit:{user}` where the version is newer than the stored one, or remove it where it is forgotten."""
        ...

    async def limit_of(self, user: str) -> LimitView | None:
        """What a checkout system would read; None where nothing was projected."""
        ...

    async def ping(self) -> None:
        """Raise StoreUnavailable where the store does not answer."""
        ...

    async def report(self) -> list[ServerReport]:
        """What every server that holds keys says of itself; nothing is written. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Give all connections back."""
        ...
