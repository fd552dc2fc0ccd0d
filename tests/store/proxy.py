"""A TCP proxy that makes trouble."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Trouble:
    """What happens once to a request that holds `word`: its first part up to there arrives, then `meanwhile`.

    The rest of it follows only where `continues`; else both ends are cut, after the server has answered all that it
    got where `answered` says so. A client so never sees that answer.
    """

    word: bytes
    meanwhile: Callable[[], Awaitable[object]] | None = None
    continues: bool = False
    answered: bool = False


@asynccontextmanager
async def proxy(port: int, trouble: Trouble) -> AsyncIterator[int]:
    """A proxy to a server on loopback that makes one trouble; gives its port."""
    pending = [trouble]
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        answers = asyncio.create_task(_pass_on(from_server, writer))
        try:
            while request := await reader.read(1 << 20):
                if not pending or trouble.word not in request:
                    to_server.write(request)
                    continue
                pending.clear()
                if trouble.answered:
                    answers.cancel()
                    to_server.write(request)
                    await from_server.read(1 << 20)
                    return
                head, word, rest = request.partition(trouble.word)
                to_server.write(head)
                if trouble.meanwhile is not None:
                    await trouble.meanwhile()
                if not trouble.continues:
                    return
                to_server.write(word + rest)
        finally:
            answers.cancel()
            to_server.close()
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 20):
        writer.write(data)
        await writer.drain()
