"""A broker of one topic on a real socket, which answers, refuses or breaks off as a test wants it."""

import asyncio
import struct
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Literal

from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.record.memory_records import MemoryRecords

PRODUCE, METADATA, VERSIONS = 0, 3, 18
#: What becomes of a request to append: "lost" breaks off before, "late" after the records are in the log; the answer of
#: "cut" is a part of one.
Act = Literal["answer", "lost", "late", "cut"]


class Wire:
    """Partitions 0 to 3 of the topic "journal"; `acts` are what becomes of the next requests, then all are answered."""

    def __init__(self) -> None:
        self.acts: deque[Act] = deque()
        self.logs: defaultdict[int, list[bytes]] = defaultdict(list)
        self.requests: list[tuple[str, list[int]]] = []  # who asked, and the partitions
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; after `stop` at the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Break all connections off and listen no more."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = BytesIO(await reader.readexactly(size))
                key, _, number, client = [field.decode(request) for field in RequestHeader_v1.SCHEMA.fields]
                answer = struct.pack(">i", number) + self._answer(key, client, request)
                writer.write(struct.pack(">i", len(answer)) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _answer(self, key: int, client: str, request: BytesIO) -> bytes:
        answer: Any
        if key == VERSIONS:
            answer = ApiVersionResponse_v0(0, [(PRODUCE, 0, 7), (METADATA, 1, 1), (VERSIONS, 0, 0)])
        elif key == METADATA:
            partitions = [(0, number, 1, [1], [1]) for number in range(4)]
            answer = MetadataResponse_v1([(1, "127.0.0.1", self.port, None)], 1, [(0, "journal", False, partitions)])
        else:
            return self._append(client, ProduceRequest_v7.decode(request))
        encoded: bytes = answer.encode()
        return encoded

    def _append(self, client: str, asked: Any) -> bytes:
        ((topic, batches),) = asked.topics
        self.requests.append((client, [partition for partition, _ in batches]))
        act = self.acts.popleft() if self.acts else "answer"
        if act == "lost":
            raise ConnectionError
        said = []
        for partition, text in batches:
            said.append((partition, 0, len(self.logs[partition]), -1, 0))
            self.logs[partition] += [record.value for record in MemoryRecords(text).next_batch()]
        if act == "late":
            raise ConnectionError
        answer: bytes = ProduceResponse_v7([(topic, said)], 0).encode()
        return answer[:-7] if act == "cut" else answer


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    """One that listens."""
    broker = Wire()
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()
