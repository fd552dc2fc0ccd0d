"""Commands as Redis expects them on the wire (RESP arrays of bulk strings); thousands of records in one pass."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from messages.blobs import Blobs
from messages.compiled import Rows, compiled, part
from messages.words import copy
from store.contract import PackedRecords

#: More than a bulk string needs besides its bytes: a dollar sign, ten digits, and two line ends.
_FRAME = 16


_Bytes = Annotated[Any, Rows(np.uint8)]
_Ends = Annotated[Any, Rows(np.int64)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A command that is encoded already, in pieces."""

    wire: Sequence[bytes | memoryview]


Command = Sequence[bytes] | Encoded


def packed(commands: Iterable[Command]) -> bytes:
    """Encode commands, one after the other."""
    parts: list[bytes | memoryview] = []
    for command in commands:
        if isinstance(command, Encoded):
            parts += command.wire
        else:
            parts.append(b"*%d\r\n" % len(command))
            parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"".join(parts)


def set_values(values: Mapping[bytes, bytes], records: Iterable[tuple[bytes, Mapping[str, bytes]]]) -> Encoded:
    """`MSET` of all `values`, and of every record under its prefix and its user's name; one of them at least."""
    parts: list[bytes | memoryview] = [b"$%d\r\n%b\r\n" % (len(word), word) for pair in values.items() for word in pair]
    count = len(values)
    for prefix, of_users in records:
        if isinstance(of_users, PackedRecords):
            names, blobs = of_users.names, of_users.blobs
        else:
            names, blobs = Blobs.of(map(str.encode, of_users)), Blobs.of(of_users.values())
        if len(names):
            parts.append(_framed(prefix, names, blobs))
            count += len(names)
    return Encoded((b"*%d\r\n$4\r\nMSET\r\n" % (1 + 2 * count), *parts))


def _framed(prefix: bytes, names: Blobs, values: Blobs) -> memoryview:
    """Give each name, behind the prefix, and its value as bulk strings."""
    size = int(names.ends[-1]) + int(values.ends[-1]) + (len(prefix) + 2 * _FRAME) * len(names)
    out = np.empty(size, np.uint8)
    end = _pairs(np.frombuffer(prefix, np.uint8), names.buffer, names.ends, values.buffer, values.ends, out)
    return out[:end].data


@compiled
def _pairs(prefix: _Bytes, names: _Bytes, name_ends: _Ends, values: _Bytes, value_ends: _Ends, out: _Bytes) -> int:
    """Write each name, behind the prefix, and its value as bulk strings; returns where they end."""
    position = name_start = value_start = 0
    for i in range(len(value_ends)):
        position = _opened(len(prefix) + name_ends[i] - name_start, out, position)
        copy(prefix, 0, len(prefix), out, position)
        position += len(prefix)
        copy(names, name_start, name_ends[i] - name_start, out, position)
        position = _closed(out, position + name_ends[i] - name_start)
        position = _opened(value_ends[i] - value_start, out, position)
        copy(values, value_start, value_ends[i] - value_start, out, position)
        position = _closed(out, position + value_ends[i] - value_start)
        name_start, value_start = name_ends[i], value_ends[i]
    return position


@part
def _opened(size: int, out: Any, at: int) -> int:
    """Write what stands before a bulk string of `size` bytes at `at`; returns where that ends."""
    digits, rest = 1, size // 10
    while rest > 0:
        digits, rest = digits + 1, rest // 10
    out[at] = 36  # $
    for k in range(digits):
        out[at + digits - k] = 48 + size % 10
        size //= 10
    return _closed(out, at + digits + 1)


@part
def _closed(out: Any, at: int) -> int:
    """Write the end of a line at `at`; returns where that ends."""
    out[at], out[at + 1] = 13, 10
    return at + 2
