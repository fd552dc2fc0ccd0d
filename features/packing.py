"""Records as bytes: what the store keeps. Most of a record is zero, so only its non-zero words are kept.

A packed record is the schema (u2), a hash of the layout (u4) that guards against a layout changed without a new schema,
a checksum (u4, CRC-32 of what follows), then a bitmap of the non-zero 8-byte words, itself in words, and those words;
little endian.
"""

import struct
from binascii import crc32
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.record import RECORD, SCHEMA_VERSION
from messages.compiled import Rows, compiled, signed

#: A whole record as one opaque item.
_BYTES = np.dtype((np.void, RECORD.itemsize))
_HEAD = struct.Struct("<HII")


class DamagedRecord(ValueError):
    """Bytes that are no packed record."""


class NewerSchema(ValueError):
    """A record written by a newer version of this program; the remedy is to run that version."""


@cache
def layout_hash(layout: np.dtype[np.void]) -> int:
    """Unsigned 32-bit hash of names, types and offsets of `layout`."""
    return int.from_bytes(blake2b(_described(layout).encode(), digest_size=4).digest(), "little")


def _described(layout: np.dtype[Any]) -> str:
    """`layout` spelled out the same way under every version of numpy."""
    if layout.subdtype is not None:
        base, shape = layout.subdtype
        return f"{_described(base)}{shape}"
    if layout.fields is None:
        return layout.str
    fields = (f"{name}@{layout.fields[name][1]}:{_described(layout.fields[name][0])}" for name in layout.names or ())
    return f"{{{','.join(fields)};{layout.itemsize}}}"


#: Layout by schema version: older ones stay here so that their records can be migrated.
LAYOUTS: dict[int, np.dtype[np.void]] = {SCHEMA_VERSION: RECORD}


@compiled
def _pack(
    words: Annotated[Any, Rows(np.uint64, 2)],
    out: Annotated[Any, Rows(np.uint64)],
    ends: Annotated[Any, Rows(np.int64)],
) -> None:
    """Pack each row of `words` (u8[u, w]) into `out` (u8), one after the other; `ends[i]` is where row i ends."""
    width = words.shape[1]
    position = 0
    for i in range(len(words)):
        start = position
        position += (width + 63) // 64
        out[start:position] = 0
        for k in range(width):
            word = words[i, k]
            out[position] = word
            present = np.uint64(word != 0)
            out[start + k // 64] |= present << np.uint64(k % 64)
            position += signed(present)
        ends[i] = position


@compiled
def _unpack(
    packed: Annotated[Any, Rows(np.uint64)],
    ends: Annotated[Any, Rows(np.int64)],
    words: Annotated[Any, Rows(np.uint64, 2)],
) -> int:
    """Spread `packed` (u8, row i ends at `ends[i]`) over zeroed `words`; returns the first damaged row, or -1."""
    width = words.shape[1]
    start = 0
    for i in range(len(words)):
        position = start + (width + 63) // 64
        for k in range(width):
            if position > ends[i]:
                return i
            if packed[start + k // 64] >> np.uint64(k % 64) & np.uint64(1):
                if position == ends[i]:
                    return i
                words[i, k] = packed[position]
                position += 1
        if position != ends[i]:
            return i
        start = position
    return -1


def pack(records: NDArray[np.void]) -> list[bytes]:
    """RECORD[u] as one bytes object each."""
    words = np.ascontiguousarray(records).view(np.uint64).reshape(len(records), RECORD.itemsize // 8)
    return pack_words(words, SCHEMA_VERSION, RECORD)


def pack_words(words: NDArray[np.uint64], schema: int, layout: np.dtype[np.void]) -> list[bytes]:
    """Rows of u8[u, w] as packed records of `layout`, which is that of `schema` and at most w words long."""
    # One word more than can be used: zero words are written before they are passed over.
    out = np.empty(len(words) * (words.shape[1] // 64 + 1 + words.shape[1]) + 1, np.uint64)
    ends = np.zeros(len(words), np.int64)
    _pack(words, out, ends)
    layout_id, whole = layout_hash(layout), out[: ends[-1] if len(ends) else 0].tobytes()
    packed, start = [], 0
    for end in (8 * ends).tolist():
        body = whole[start:end]
        packed.append(_HEAD.pack(schema, layout_id, crc32(body)) + body)
        start = end
    return packed


def unpack(
    blobs: Sequence[bytes | None],
    out: NDArray[np.void],
    layouts: Mapping[int, np.dtype[np.void]] = LAYOUTS,
) -> None:
    """Fill `out` (RECORD[k]) from k packed records; None gives an empty record of this schema.

    A record of an older schema is migrated: fields keep their values by name, new ones are zero. Raises NewerSchema,
    and DamagedRecord where bytes are not as they were written; `out` may then be filled in part.
    """
    if len(blobs) != len(out):
        raise ValueError("as many records as blobs are needed")
    by_schema: dict[int, list[int]] = {}
    for i, blob in enumerate(blobs):
        by_schema.setdefault(0 if blob is None else _schema(blob, layouts), []).append(i)
    for schema, rows in by_schema.items():
        if schema == 0:
            out[rows] = np.zeros((), RECORD)
        else:
            old = _spread([blobs[i] or b"" for i in rows], layouts[schema])
            # As plain bytes: numpy copies structured elements field by field.
            new = old if old.dtype == RECORD else migrate(old)
            out.view(_BYTES)[rows] = new.view(_BYTES)
    out["schema"] = SCHEMA_VERSION


def _schema(blob: bytes, layouts: Mapping[int, np.dtype[np.void]]) -> int:
    """Schema of a packed record whose head and checksum are right."""
    if len(blob) < _HEAD.size:
        raise DamagedRecord(f"{len(blob)} bytes are too few for a record")
    schema, layout, checksum = _HEAD.unpack_from(blob)
    if schema > max(layouts):
        raise NewerSchema(f"the record has schema {schema}, this program knows up to {max(layouts)}")
    if schema not in layouts:
        raise DamagedRecord(f"no layout is known for schema {schema}")
    if layout != layout_hash(layouts[schema]):
        raise DamagedRecord(f"the record's layout is not that of schema {schema}")
    if crc32(memoryview(blob)[_HEAD.size :]) != checksum:
        raise DamagedRecord("the checksum does not match")
    return int(schema)


def _spread(blobs: list[bytes], layout: np.dtype[np.void]) -> NDArray[np.void]:
    """Records of `layout` from packed ones."""
    bodies = [blob[_HEAD.size :] for blob in blobs]
    words = np.zeros((len(bodies), (layout.itemsize + 7) // 8), np.uint64)
    sizes = np.array([len(body) for body in bodies], np.int64)
    if (sizes % 8).any() or _unpack(np.frombuffer(b"".join(bodies), np.uint64), np.cumsum(sizes // 8), words) >= 0:
        raise DamagedRecord("a record is shorter or longer than it says")
    return np.ascontiguousarray(words.view(np.uint8)[:, : layout.itemsize]).view(layout)[:, 0]


def migrate(old: NDArray[np.void]) -> NDArray[np.void]:
    """Records of another layout as RECORD: fields by name, arrays from their beginning, nested records likewise."""
    new = np.zeros(len(old), RECORD)
    _copy(old, new)
    return new


def _copy(old: NDArray[np.void], new: NDArray[np.void]) -> None:
    for name in set(old.dtype.names or ()) & set(new.dtype.names or ()):
        source, target = old[name], new[name]
        shared = tuple(slice(min(a, b)) for a, b in zip(source.shape, target.shape, strict=True))
        if target.dtype.names:
            _copy(source[shared], target[shared])
        else:
            target[shared] = source[shared]
