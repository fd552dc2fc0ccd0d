"""Waiting between attempts: longer each time, and never in step with the other workers."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from store.contract import StoreUnavailable

FIRST_SECONDS, MOST_SECONDS = 0.05, 5.0
_T = TypeVar("_T")


class Backoff:
    """Doubles the wait after each failure up to `most` seconds; a random half of it is jitter."""

    def __init__(self, first: float = FIRST_SECONDS, most: float = MOST_SECONDS) -> None:
        self._next, self._most = first, most

    async def wait(self) -> None:
        """Sleep for between half and all of the current wait."""
        seconds, self._next = self._next, min(2 * self._next, self._most)
        await asyncio.sleep(seconds * (0.5 + secrets.randbelow(1_000) / 2_000))


async def until_stored(call: Callable[[], Awaitable[_T]], failed: Callable[[StoreUnavailable], None]) -> _T:
    """What `call` returns, tried again for as long as it raises StoreUnavailable; `failed` hears of each failure."""
    backoff = Backoff()
    while True:
        try:
            return await call()
        except StoreUnavailable as error:
            failed(error)
        await backoff.wait()
