"""Dead letters: choosing some of them, and sending them once more to where they came from."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.kafka import publisher, read_topics
from app.settings import Settings
from messages.outputs import DEAD_LETTERS
from messages.topics import INPUTS

#: Letters that are sent before the broker's word for them is awaited.
AT_ONCE = 1_000
_SENDABLE = {spec.name for spec in INPUTS}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are wanted; what is None does not matter.

    `topic`, `partition` and `offsets` (first and last) are the place of the refused record; `since` and `until` bound
    the time at which it became a letter, in ms, the end not included.
    """

    topic: str | None = None
    error: str | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None
    since: int | None = None
    until: int | None = None

    def wants(self, letter: Any) -> bool:
        """Whether a record of the topic of dead letters is one of these."""
        headers = dict(letter.headers)
        wanted = (("topic", self.topic), ("error", self.error), ("partition", self.partition))
        if any(value is not None and headers.get(name) != str(value).encode() for name, value in wanted):
            return False
        if self.since is not None and letter.timestamp < self.since:
            return False
        if self.until is not None and letter.timestamp >= self.until:
            return False
        if self.offsets is None:
            return True
        offset = headers.get("offset", b"")
        return offset.isdigit() and self.offsets[0] <= int(offset) <= self.offsets[1]


@dataclass(slots=True)
class Replayed:
    """What was sent, by topic, and what was not, by reason."""

    sent: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


async def chosen(settings: Settings, choice: Choice) -> AsyncGenerator[Any, None]:
    """The wanted letters that are there now, as records of aiokafka; who does not read to the end closes it.

    Raises:
        KafkaUnavailable: when no broker answers, or the topic does not exist.
    """
    async with aclosing(read_topics(settings, [DEAD_LETTERS], from_start=True, follow=False)) as letters:
        async for letter in letters:
            if choice.wants(letter):
                yield letter


async def replay(settings: Settings, choice: Choice, *, dry_run: bool) -> Replayed:
    """Send the letters to the topics they came from, with their own keys and bytes.

    Each refused record is sent once, however often its letter was published.

    Raises:
        KafkaUnavailable: when no broker answers or one refuses; letters before that may have been sent.
    """
    found, known = Replayed(), set[bytes]()
    async with publisher(settings) as target, aclosing(chosen(settings, choice)) as letters:
        async for letter in letters:
            headers = dict(letter.headers)
            topic = headers.get("topic", b"").decode(errors="replace")
            reason = _obstacle(topic, headers, known)
            if reason:
                found.skipped[reason] += 1
                continue
            found.sent[topic] += 1
            if not dry_run:
                await target.send(topic, letter.key, letter.value)
                if found.sent.total() % AT_ONCE == 0:
                    await target.settle()
        await target.settle()
    return found


def _obstacle(topic: str, headers: dict[str, bytes], known: set[bytes]) -> str:
    """Why a letter is not sent; "" where it is, and then its id is noted."""
    if topic not in _SENDABLE:
        return "name no topic of events that they came from"
    if "original-bytes" in headers or "original-key-bytes" in headers:
        return "were cut because they were too long to keep: the producer must publish them again"
    identity = headers.get("id", b"")
    if identity in known:
        return "are copies of a letter that is sent already"
    if identity:
        known.add(identity)
    return ""
