"""Commands as Redis expects them on the wire (RESP arrays of bulk strings); thousands of records in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from messages.blobs import Blobs
from messages.compiled import Rows, compiled
from messages.words import copy
from store.contract import PackedRecords

#: More than a bulk string needs besides its bytes: a dollar sign, ten digits, and two line ends.
_FRAME = 16


_Bytes = Annotated[Any, Rows(np.uint8)]
_Ends = Annotated[Any, Rows(np.int64)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A command that is encoded already."""

    wire: bytes


Command = Sequence[bytes] | Encoded


def packed(commands: Sequence[Command]) -> bytes:
    """Encode commands, one after the other."""
    parts: list[bytes] = []
    for command in commands:
        if isinstance(command, Encoded):
            parts.append(command.wire)
        else:
            parts.append(b"*%d\r\n" % len(command))
            parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"".join(parts)


def set_records(prefix: bytes, records: Mapping[str, bytes]) -> Encoded:
    """`MSET` of every record under `prefix` and its user's name."""
    if isinstance(records, PackedRecords):
        users, blobs = records.users, records.blobs
    else:
        users, blobs = list(records), Blobs.of(records.values())
    keys = Blobs.of([prefix + user.encode() for user in users])
    out = np.empty(int(keys.ends[-1] + blobs.ends[-1]) + 2 * _FRAME * len(users), np.uint8)
    size = _pairs(keys.buffer, keys.ends, blobs.buffer, blobs.ends, out)
    return Encoded(b"*%d\r\n$4\r\nMSET\r\n%b" % (1 + 2 * len(users), out[:size].tobytes()))


@compiled
def _pairs(keys: _Bytes, key_ends: _Ends, values: _Bytes, value_ends: _Ends, out: _Bytes) -> int:
    """Write each key and its value as bulk strings; returns the bytes written."""
    position = key_start = value_start = 0
    for i in range(len(key_ends)):
        for part in range(2):
            start = value_start if part else key_start
            end = value_ends[i] if part else key_ends[i]
            size, digits, rest = end - start, 1, (end - start) // 10
            while rest > 0:
                digits, rest = digits + 1, rest // 10
            out[position] = 36  # $
            for k in range(digits):
                out[position + digits - k] = 48 + size % 10
                size //= 10
            position += digits + 1
            out[position], out[position + 1] = 13, 10
            position += 2
            if part:
                copy(values, start, end - start, out, position)
            else:
                copy(keys, start, end - start, out, position)
            position += end - start
            out[position], out[position + 1] = 13, 10
            position += 2
        key_start, value_start = key_ends[i], value_ends[i]
    return position
