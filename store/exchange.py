"""Requests and their replies on a connection that redis-py has made; one future and one timer for all of them."""

import asyncio
from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as AnswerOverdue

#: Stands for a reply that has not come whole.
_INCOMPLETE = object()


class Exchange(asyncio.Protocol):
    """Takes over an open connection's bytes from redis-py, which has logged in and goes on to close it.

    redis-py reads reply by reply, each with a timeout and several awaits of its own. Here a request has one future,
    and replies are parsed as their bytes come.
    """

    def __init__(self, connection: Connection, timeout: float) -> None:
        # The one private name of redis-py's that is used: it has no public one for what it writes to.
        writer = connection._writer
        if writer is None:
            raise ConnectionLost("Connection is not open.")
        self._transport: asyncio.WriteTransport = writer.transport
        self._stream: Any = self._transport.get_protocol()
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._replies: list[Any] = []
        self._wanted = 0
        self._whole: asyncio.Future[list[Any]] | None = None
        self._failure: RedisError | None = None
        self._moved = 0.0  # when bytes last went or came, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._transport.set_protocol(self)

    @property
    def lost(self) -> bool:
        """Whether it is known that nothing more will come."""
        return self._failure is not None

    async def of(self, request: bytes, replies: int) -> list[Any]:
        """Send `request` and return its replies in order; a refusal stands among them as a RedisError.

        Raises RedisError where the connection is lost or no byte moves for the timeout. After that, or when cancelled,
        replies may still be on their way, and the connection must not be used again.
        """
        if self._failure is not None:
            raise self._failure
        if self._reader.has_data():
            raise InvalidResponse("bytes came that nobody had asked for")
        self._replies, self._wanted = [], replies
        whole: asyncio.Future[list[Any]] = self._loop.create_future()
        self._whole = whole
        self._moved = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look)
        self._transport.write(request)
        try:
            return await whole
        finally:
            self._whole = None

    def data_received(self, data: bytes) -> None:
        """Parse what came; wake who waits once all replies are there."""
        self._moved = self._loop.time()
        self._reader.feed(data)
        if self._whole is None:
            return
        replies, wanted, next_reply = self._replies, self._wanted, self._reader.gets
        try:
            while len(replies) < wanted:
                reply = next_reply()
                if reply is _INCOMPLETE:
                    return
                replies.append(reply)
        except RedisError as error:
            self._fail(error)
        else:
            if not self._whole.done():
                self._whole.set_result(replies)

    def pause_writing(self) -> None:
        """Pass on."""
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """Note that much of a large request has gone; what comes next has the whole timeout."""
        self._moved = self._loop.time()
        self._stream.resume_writing()

    def eof_received(self) -> None:
        """The server has closed the connection: so does the transport."""
        self._fail(ConnectionLost("Connection closed by server."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits, and the stream, on whose end redis-py waits when it closes."""
        self._fail(ConnectionLost(f"Connection lost: {exc}" if exc else "Connection closed."))
        self._stream.connection_lost(exc)

    def _look(self) -> None:
        """See whether bytes have moved lately. The timer is not set for each request, which would cost more."""
        self._timer = None
        if self._whole is None or self._failure is not None:
            return
        left = self._moved + self._timeout - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._fail(AnswerOverdue(f"no answer within {self._timeout} s"))

    def _fail(self, error: RedisError) -> None:
        self._failure = self._failure or error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(self._failure)
