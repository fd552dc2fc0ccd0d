"""Timers of a partition: the store is asked only where one may be due."""

from collections.abc import Iterable

from store.contract import PartitionStore

#: Later than any time in seconds.
NEVER = 1 << 62


class Timers:
    """What an owner knows of its partition's timers; it is the only one who sets them."""

    def __init__(self, view: PartitionStore) -> None:
        self._view = view
        self._quiet = 0  # no timer of the store is before this, s

    def forget(self) -> None:
        """The store may hold others than those that were set here."""
        self._quiet = 0

    def set(self, times: Iterable[int]) -> None:
        """The store has taken over timers at `times` (s; 0: none)."""
        self._quiet = min([self._quiet, *filter(None, times)])

    async def due(self, until: int, limit: int) -> list[str]:
        """Users whose timer is at most `until` (s), earliest first (then by name), at most `limit` of them.

        Raises StoreUnavailable.
        """
        if until < self._quiet:
            return []
        found = await self._view.due(until, limit)
        if not found:
            self._quiet = await self._view.first_timer() or NEVER
        return found
