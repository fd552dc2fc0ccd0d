"""An encoded message, ready to be published."""

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """Bytes for one topic; equal messages are equal publications."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
