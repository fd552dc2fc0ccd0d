"""One connection to one Redis server, with commands sent in one go and errors in the store's own terms."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio import Connection
from redis.exceptions import RedisError

from store.address import RedisAddress
from store.contract import CorruptState, StoreUnavailable
from store.exchange import Exchange
from store.wire import Command, packed


class Server(NamedTuple):
    """Where one node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Link:
    """A connection that is made at the first call, and made anew by the next call after any failure."""

    def __init__(self, address: RedisAddress, server: Server) -> None:
        self.server = server
        self.connections = 0  # made so far
        self._connecting = self._closed = False
        self._timeout = address.timeout
        self._connection: Connection = address.connection(server.host, server.port)
        self._exchange: Exchange | None = None
        self._lock = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether the connection of the last call is kept; one that was lost since is kept until the next call."""
        return self._exchange is not None

    @property
    def lost(self) -> bool:
        """Whether the connection of the last call was lost since; the next call tells so, unless `renew` is called."""
        return self._exchange is not None and self._exchange.lost

    @property
    def next_connection(self) -> int:
        """Number of the connection that the next call uses, as far as is known, once `renew` was called."""
        return self.connections if self.connected and not self.lost else self.connections + 1

    async def ask(self, *commands: Command, continued: bool = False) -> list[Any]:
        """Send `commands` together and return their replies in order.

        `continued` demands the connection of the call before, for commands that rest on its WATCH. Raises CorruptState
        where a key holds another type than it should, and StoreUnavailable on every other failure or refusal; after
        StoreUnavailable it may be unknown what was done.
        """
        replies = await self.send(commands, continued=continued)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise self.translated(reply) from reply
        return replies

    async def send(self, commands: Sequence[Command], *, continued: bool = False) -> list[Any]:
        """Like `ask`, but refusals stand among the replies, as RedisError.

        The connection ends with a refusal, unless it is for a key of another type.
        """
        async with self._lock:
            try:
                if self._exchange is None:
                    if continued:
                        raise StoreUnavailable(f"Redis at {self.server}: the connection was lost between two steps")
                    self._exchange = await self._connect()
                replies = await self._exchange.of(packed(commands), len(commands))
            except (RedisError, OSError, TimeoutError) as error:
                await self._drop()
                raise self.translated(error) from error
            except BaseException:
                # Cancelled half-way: replies still on their way would be taken for those of the next call.
                await self._drop()
                raise
            if any(isinstance(reply, RedisError) and not _is_wrong_type(reply) for reply in replies):
                # It may have become a replica, or be another server now: a new connection may lead elsewhere.
                await self._drop()
            return replies

    async def _connect(self) -> Exchange:
        self.connections += 1
        self._connecting, self._closed = True, False
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        finally:
            self._connecting = False
        if self._closed:
            raise StoreUnavailable(f"Redis at {self.server}: the connection was closed while it was made")
        return Exchange(self._connection, self._timeout)

    def translated(self, error: Exception) -> CorruptState | StoreUnavailable:
        """Give an error of redis-py's in the store's own terms."""
        text = f"Redis at {self.server}: {type(error).__name__}: {error}"
        return CorruptState(text) if _is_wrong_type(error) else StoreUnavailable(text)

    async def renew(self) -> None:
        """Let the next call make a connection where this one is known to be lost, for who has been told already."""
        if self.lost:
            await self._drop()

    async def _drop(self) -> None:
        self._exchange = None
        await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection; a later call would open it again."""
        self._exchange, self._closed = None, True
        # Half a connection cannot be closed: whoever makes it closes it. And what is lost when a connection fails to
        # end well was acknowledged before.
        if not self._connecting:
            with suppress(RedisError, OSError):
                await self._connection.disconnect()


def _is_wrong_type(error: Exception) -> bool:
    return "WRONGTYPE" in str(error)
