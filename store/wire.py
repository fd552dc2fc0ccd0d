"""Commands as Redis expects them on the wire (RESP arrays of bulk strings); thousands of records in one pass."""

from collections.abc import Iterable, Mapping, Sequence
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
    names: list[bytes] = []
    each: list[Blobs] = []
    for prefix, of_users in records:
        if isinstance(of_users, PackedRecords):
            users, blobs = of_users.users, of_users.blobs
        else:
            users, blobs = list(of_users), Blobs.of(of_users.values())
        if users:
            names += [prefix + user.encode() for user in users]
            each.append(blobs)
    if names:
        parts.append(_framed(Blobs.of(names), each))
    return Encoded((b"*%d\r\n$4\r\nMSET\r\n" % (1 + 2 * (len(values) + len(names))), *parts))


def _framed(keys: Blobs, each: Sequence[Blobs]) -> memoryview:
    """Give each key and its value, those of all of `each`, as bulk strings."""
    size = int(keys.ends[-1]) + sum([int(values.ends[-1]) for values in each]) + 2 * _FRAME * len(keys)
    out = np.empty(size, np.uint8)
    position = done = 0
    for values in each:
        position = _pairs(keys.buffer, keys.ends, done, values.buffer, values.ends, out, position)
        done += len(values)
    return out[:position].data


@compiled
def _pairs(keys: _Bytes, key_ends: _Ends, first: int, values: _Bytes, value_ends: _Ends, out: _Bytes, at: int) -> int:
    """Write keys from the `first` on and their values as bulk strings from `at` on; returns where they end."""
    position, value_start = at, 0
    key_start = key_ends[first - 1] if first > 0 else 0
    for i in range(len(value_ends)):
        for part in range(2):
            start = value_start if part else key_start
            end = value_ends[i] if part else key_ends[first + i]
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
        key_start, value_start = key_ends[first + i], value_ends[i]
    return position
