"""The stored form of what is kept beside the records: header, position, outbox and limit views.

Header and outbox messages are msgpack arrays. A field is only ever added at the end of the header, with a default, so
that two versions of this program can run side by side during an upgrade. Positions and limits are text, for people
and for checkout systems to read.
"""

from typing import Any

import msgspec

from messages.message import Message
from store.contract import CorruptState, Header, LimitView, TopicPosition

#: Raised when a stored form changes its meaning; a form greater than this one is refused.
FORM = 1
#: Digits of the greatest signed 64-bit number.
_LONGEST_OFFSET = 19


class _StoredHeader(msgspec.Struct, array_like=True, frozen=True):
    form: int
    watermark: int
    clock: int
    policy: str
    market: str
    model: str
    commits: int
    journal: int = 0


_encoder = msgspec.msgpack.Encoder()
_message_decoder = msgspec.msgpack.Decoder(tuple[str, bytes | None, bytes, tuple[tuple[str, bytes], ...]])


def encode_header(header: Header) -> bytes:
    """Encode a header."""
    fields = (
        header.watermark,
        header.clock,
        header.policy,
        header.market,
        header.model,
        header.commits,
        header.journal,
    )
    return _encoder.encode((FORM, *fields))


def decode_header(stored: bytes, where: str) -> Header:
    """Read a header; raise CorruptState, naming `where`, for damage or for a form newer than this program's."""
    try:
        fields: Any = msgspec.msgpack.decode(stored)
        if isinstance(fields, list) and fields and isinstance(fields[0], int) and fields[0] > FORM:
            text = f"form {fields[0]} was written by a newer version, this one reads up to {FORM}"
            raise CorruptState(
                f"{where}: {text}; run the newer version again, or restore the Redis snapshot from before"
            )
        found = msgspec.convert(fields, _StoredHeader)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CorruptState(f"{where}: cannot be read: {error}") from error
    versions = (found.policy, found.market, found.model)
    return Header(found.watermark, found.clock, *versions, found.commits, found.journal)


def encode_position(position: TopicPosition) -> bytes:
    """Encode a position as `offset`, or `offset epoch` where the epoch is known."""
    return (f"{position.next_offset} {position.epoch}" if position.epoch else f"{position.next_offset}").encode()


def decode_position(stored: bytes, where: str) -> TopicPosition:
    """Read a position; raise CorruptState, naming `where`, for anything else."""
    try:
        offset, _, epoch = stored.decode().partition(" ")
    except UnicodeDecodeError as error:
        raise CorruptState(f"{where}: cannot be read: {error}") from error
    if not (offset.isascii() and offset.isdecimal() and len(offset) <= _LONGEST_OFFSET):
        raise CorruptState(f"{where}: is not an offset: {stored!r}")
    return TopicPosition(int(offset), epoch)


def encode_message(message: Message) -> bytes:
    """Encode an outbox message, every byte of it."""
    return _encoder.encode((message.topic, message.key, message.value, message.headers))


def decode_message(stored: bytes, where: str) -> Message:
    """Read an outbox message; raise CorruptState, naming `where`, for damage."""
    try:
        return Message(*_message_decoder.decode(stored))
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptState(f"{where}: cannot be read: {error}") from error


def encode_limit(view: LimitView) -> dict[bytes, bytes]:
    """Encode a limit view as the fields of a hash."""
    return {
        b"version": b"%d" % view.version,
        b"limit": b"%d" % view.limit,
        b"frozen": b"%d" % view.frozen,
        b"grade": view.grade.encode(),
        b"default_probability": repr(float(view.default_probability)).encode(),
    }


def decode_limit(user: str, stored: dict[bytes, bytes], where: str) -> LimitView:
    """Read the fields of a hash; raise CorruptState, naming `where`, where one is missing or damaged."""
    try:
        return LimitView(
            user=user,
            limit=int(stored[b"limit"]),
            frozen=bool(int(stored[b"frozen"])),
            grade=stored[b"grade"].decode(),
            default_probability=float(stored[b"default_probability"]),
            version=int(stored[b"version"]),
        )
    except (KeyError, ValueError) as error:
        raise CorruptState(f"{where}: cannot be read: {error!r}") from error
