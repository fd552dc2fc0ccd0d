"""Publishing files of contract events, in slices of event time."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from app.kafka import Publisher, publisher
from app.settings import Settings
from replay.files import FileRecord, Misfit, read_records, route

#: A slice is awaited before the next: topics are never further apart than this (ms of event time). It stays below the
#: lateness that policies allow, so that no event is late for having been sent to another topic.
SLICE_MS = 1_800_000
SLICE_EVENTS = 2_000


@dataclass(slots=True)
class Sent:
    """What was published so far."""

    by_topic: Counter[str] = field(default_factory=Counter)
    misfits: list[tuple[Path, Misfit]] = field(default_factory=list)

    @property
    def published(self) -> int:
        """Events that the broker acknowledged or will within the slice."""
        return self.by_topic.total()


async def send_files(
    settings: Settings,
    paths: Iterable[Path],
    *,
    topic: str | None = None,
    speed: float | None = None,
    report: Callable[[Sent], None] = lambda _sent: None,
) -> Sent:
    """Publish the events of the files in their order.

    Args:
        settings: where the brokers are.
        paths: see `replay.files`.
        topic: send everything there, also what belongs to no topic.
        speed: event time per real time; None for as fast as possible.
        report: called after each slice.

    Raises:
        KafkaUnavailable: when the brokers cannot be reached.
        UnreadableFile: when a file cannot be read.
    """
    sent = Sent()
    async with publisher(settings) as target:
        slices = _Slices(target, speed)
        for path in paths:
            for record in read_records(path):
                routed = route(record)
                if isinstance(routed, Misfit) and topic is None:
                    sent.misfits.append((path, routed))
                    continue
                name = topic if topic is not None else str(routed)
                if await slices.add(name, record):
                    report(sent)
                sent.by_topic[name] += 1
        await slices.finish()
    report(sent)
    return sent


class _Slices:
    """Ends a slice where event time has moved on, or where it has grown long."""

    def __init__(self, target: Publisher, speed: float | None) -> None:
        self._target, self._speed = target, speed
        self._began: tuple[int, float] | None = None  # event time and clock of the first event
        self._newest = self._edge = 0
        self._count = 0

    async def add(self, topic: str, record: FileRecord) -> bool:
        """Send one record; True where a slice ended before it."""
        ended = self._count >= SLICE_EVENTS or record.time > self._edge
        if ended:
            await self.finish()
            self._newest = max(self._newest, record.time)
            self._edge = self._newest + SLICE_MS
            await self._keep_pace()
        self._count += 1
        await self._target.send(topic, record.key, record.value)
        return ended

    async def finish(self) -> None:
        """Wait for the slice's acknowledgements."""
        await self._target.settle()
        self._count = 0

    async def _keep_pace(self) -> None:
        if self._speed is None or not self._newest:
            return
        if self._began is None:
            self._began = (self._newest, time.monotonic())
        start, clock = self._began
        await asyncio.sleep(max(0.0, clock + (self._newest - start) / 1000 / self._speed - time.monotonic()))
