"""The chain of offsets of one topic partition: what comes next, and whether a fetch joins on."""

from dataclasses import dataclass
from enum import Enum


class Fetch(Enum):
    """How a fetch relates to the next offset."""

    JOINS = "it begins at or before the next offset, and reaches it"
    STALE = "all of it was handed over before"
    GAP = "it begins beyond the next offset, for the first time: seek there and look again"
    HOLE = "it begins beyond the next offset although it was sought: the log has nothing in between"


@dataclass(slots=True)
class Chain:
    """From one start of the partition's owner (`ticket`) to its end.

    `end` is the end of the log as the newest fetch saw it, None before the first, `seen_ms` when that was (by this
    machine's clock), `fetched_ms` when the newest records came, and `reached` how far it is read, offsets without
    records (transaction markers, compacted ones) included.
    """

    ticket: int
    next: int
    end: int | None = None
    reached: int = 0
    seen_ms: int = 0
    fetched_ms: int = 0
    _looked_at: int | None = None

    def judge(self, first: int, last: int) -> Fetch:
        """Judge a fetch of the offsets `first` to `last`. After GAP the caller seeks to `next`."""
        if last < self.next:
            return Fetch.STALE
        if first <= self.next:
            return Fetch.JOINS
        if self._looked_at == self.next:
            return Fetch.HOLE
        self._looked_at = self.next
        return Fetch.GAP

    def look_again(self) -> None:
        """Do not believe the next hole at once."""
        self._looked_at = None

    def hand_over(self, last: int) -> tuple[int, int]:
        """Everything up to `last` goes to the owner: the offsets that this covers, from and to (exclusive)."""
        start, self.next = self.next, last + 1
        self._looked_at = None
        return start, self.next

    def unread(self, taken: int) -> int:
        """Records that the owner, who has all up to `taken`, does not have yet; at least 1 while that is unknown.

        Those that were handed over and are still on their way to it are among them, and until the next fetch also
        offsets that turn out to have no record.
        """
        if self.end is None:
            return 1
        return max(0, self.end - max(self.next, self.reached)) + max(0, self.next - taken)
