"""A network between one worker and the brokers that can be cut."""

import asyncio
from typing import Literal

CHUNK = 1 << 16


class Proxy:
    """Passes connections to `port` on to `target`, both on loopback."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self, how: Literal["swallow", "drop"]) -> None:
        """Let nothing through: connections stay and nothing moves, or all are reset and new ones refused."""
        self._flows.clear()
        if how == "drop":
            self._refuses = True
            self._reset()

    def mend(self) -> None:
        """Let everything through again, also what waited."""
        self._refuses = False
        self._flows.set()

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._flows.wait()
            from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(to_target)
            pumps = [
                asyncio.create_task(self._pump(reader, to_target)),
                asyncio.create_task(self._pump(from_target, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                self._writers.discard(to_target)
                to_target.transport.abort()
        except OSError:
            pass  # the broker is away, which is what the client is told by the reset
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return
