"""An encoded message, ready to be published."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for one topic; equal messages are equal publications."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
