"""One connection to one Redis server, with commands sent in one go and errors in the store's own terms."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio import Connection
from redis.exceptions import RedisError, ResponseError

from store.address import RedisAddress
from store.contract import CorruptState, StoreUnavailable

Command = Sequence[bytes]


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
        self._connection: Connection = address.connection(server.host, server.port)
        self._lock = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether the connection of the last call is still there, as far as is known."""
        return bool(self._connection.is_connected)

    async def ask(self, *commands: Command, continued: bool = False) -> list[Any]:
        """Send `commands` together and return their replies in order.

        `continued` demands the connection of the call before, for commands that rest on its WATCH. Raises CorruptState
        where a key holds another type than it should, and StoreUnavailable on every other failure or refusal; after
        StoreUnavailable it may be unknown what was done.
        """
        async with self._lock:
            if not self.connected:
                if continued:
                    raise StoreUnavailable(f"Redis at {self.server}: the connection was lost between two steps")
                self.connections += 1
            try:
                return await self._exchange(commands)
            except (RedisError, OSError, TimeoutError) as error:
                await self._drop()
                raise self._translated(error) from error
            except BaseException:
                # Cancelled half-way: replies still on their way would be taken for those of the next call.
                await self._drop()
                raise

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        await connection.send_packed_command(packed(commands), check_health=False)
        replies: list[Any] = []
        refused: ResponseError | None = None
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return replies

    def _translated(self, error: Exception) -> CorruptState | StoreUnavailable:
        text = f"Redis at {self.server}: {type(error).__name__}: {error}"
        return CorruptState(text) if "WRONGTYPE" in str(error) else StoreUnavailable(text)

    async def _drop(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection; a later call would open it again."""
        # What is lost when a connection fails to end well was acknowledged before.
        with suppress(RedisError, OSError):
            await self._connection.disconnect()


def packed(commands: Sequence[Command]) -> bytes:
    """Encode commands as Redis expects them (RESP arrays of bulk strings)."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"".join(parts)
