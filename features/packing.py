"""Records as bytes: what the store keeps. Most of a record is zero, so only its non-zero words are kept.

A packed record is the schema (u2), a hash of the layout (u4) that guards against a layout changed without a new schema,
a checksum (u4, CRC-32 of what follows), then a bitmap of the non-zero 8-byte words, itself in words, and those words;
little endian.
"""

import struct
from binascii import crc32 as crc32_of
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from features.record import RECORD, SCHEMA_VERSION
from messages.blobs import Blobs
from messages.checksum import TABLES, crc32
from messages.compiled import Rows, compiled, signed
from messages.words import copy

#: A whole record as one opaque item.
_BYTES = np.dtype((np.void, RECORD.itemsize))
_HEAD = struct.Struct("<HII")
HEAD_BYTES = _HEAD.size


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


_Words = Annotated[Any, Rows(np.uint64)]
_Bytes = Annotated[Any, Rows(np.uint8)]
_Ends = Annotated[Any, Rows(np.int64)]
_Tables = Annotated[Any, Rows(np.uint32, 2)]
_Records = Annotated[Any, Rows(np.uint64, 2)]


@compiled
def _pack(
    words: _Records,
    rows: Annotated[Any, Rows(np.uint32)],
    schema: int,
    layout: int,
    tables: _Tables,
    body: _Words,
    body_bytes: _Bytes,
    out: _Bytes,
    ends: _Ends,
) -> None:
    """Pack rows `rows` of `words` (u8[u, w]) into `out` (u1), one after the other; packed row i ends at `ends[i]`.

    `body` (u8) has room for one packed row without its head, `body_bytes` is the same memory as bytes.
    """
    width = words.shape[1]
    end = 0
    for i in range(len(rows)):
        row, place = np.uint64(rows[i]), np.uint64((width + 63) // 64)
        for group in range((width + 63) // 64):
            present, first = np.uint64(0), np.uint64(64 * group)
            for k in range(min(64, width - 64 * group)):
                word = words[row, first + np.uint64(k)]
                body[place] = word
                is_there = np.uint64(word != 0)
                present |= is_there << np.uint64(k)
                place += is_there
            body[np.uint64(group)] = present
        used = signed(place)
        checksum = crc32(body_bytes, 0, 8 * used, tables)
        for k in range(2):
            out[end + k] = (schema >> (8 * k)) & 255
        for k in range(4):
            out[end + 2 + k] = (layout >> (8 * k)) & 255
            out[end + 6 + k] = (signed(checksum) >> (8 * k)) & 255
        copy(body_bytes, 0, 8 * used, out, end + HEAD_BYTES)
        end += HEAD_BYTES + 8 * used
        ends[i] = end


@compiled
def _unpack(
    packed: _Bytes,
    ends: _Ends,
    schema: int,
    layout: int,
    tables: _Tables,
    body: _Words,
    body_bytes: _Bytes,
    words: _Records,
) -> int:
    """Spread packed rows (u1, row i ends at `ends[i]`) over `words`; empty ones give zeros.

    `body` and `body_bytes` as in `_pack`. Returns the first row that is not sound and of this schema and layout, or -1.
    """
    width = words.shape[1]
    groups, start = (width + 63) // 64, 0
    for i in range(len(words)):
        size = ends[i] - start
        count = (size - HEAD_BYTES) // 8
        if size == 0:
            for k in range(width):
                words[i, k] = np.uint64(0)
            continue
        if size < HEAD_BYTES or (size - HEAD_BYTES) % 8 != 0 or count < groups or count > groups + width:
            return i
        found, checksum, said = 0, 0, 0
        for k in range(4):
            found |= signed(packed[start + 2 + k]) << (8 * k)
            said |= signed(packed[start + 6 + k]) << (8 * k)
        if found != layout or signed(packed[start]) | signed(packed[start + 1]) << 8 != schema:
            return i
        copy(packed, start + HEAD_BYTES, 8 * count, body_bytes, 0)
        checksum = signed(crc32(body_bytes, 0, 8 * count, tables))
        if checksum != said:
            return i
        row, place, last = np.uint64(i), np.uint64(groups), np.uint64(count)
        for group in range(groups):
            present, first = body[np.uint64(group)], np.uint64(64 * group)
            for k in range(min(64, width - 64 * group)):
                # Without a branch, which would be guessed wrongly for every third word.
                is_there = present >> np.uint64(k) & np.uint64(1)
                words[row, first + np.uint64(k)] = body[place] * is_there
                place += is_there
                if place > last:
                    return i
        if place != last:
            return i
        start = ends[i]
    return -1


def pack(records: NDArray[np.void]) -> list[bytes]:
    """RECORD[u] as one bytes object each."""
    return pack_rows(records, np.arange(len(records), dtype=np.uint32)).tolist()


def pack_rows(records: NDArray[np.void], rows: NDArray[np.uint32]) -> Blobs:
    """The rows `rows` of RECORD[u], packed."""
    words = np.ascontiguousarray(records).view(np.uint64).reshape(len(records), RECORD.itemsize // 8)
    return pack_words(words, SCHEMA_VERSION, RECORD, rows)


def pack_words(
    words: NDArray[np.uint64], schema: int, layout: np.dtype[np.void], rows: NDArray[np.uint32] | None = None
) -> Blobs:
    """Rows of u8[u, w] as packed records of `layout`, which is that of `schema` and at most w words long."""
    chosen = np.arange(len(words), dtype=np.uint32) if rows is None else rows
    # One word more than can be used: zero words are written before they are passed over.
    body = _body(words.shape[1])
    out = np.empty(len(chosen) * (HEAD_BYTES + body.nbytes), np.uint8)
    ends = np.zeros(len(chosen), np.int64)
    _pack(words, chosen, schema, layout_hash(layout), TABLES, body, body.view(np.uint8), out, ends)
    return Blobs(out, ends)


def _body(width: int) -> NDArray[np.uint64]:
    return np.zeros((width + 63) // 64 + width + 1, np.uint64)


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
    words = out.view(np.uint64).reshape(len(out), RECORD.itemsize // 8)
    usual = layouts.get(SCHEMA_VERSION) == RECORD and b"" not in blobs
    if not (usual and _spread(blobs, SCHEMA_VERSION, RECORD, words)):
        _unpack_each(blobs, out, layouts)
    out["schema"] = SCHEMA_VERSION


def _spread(blobs: Sequence[bytes | None], schema: int, layout: np.dtype[np.void], words: NDArray[np.uint64]) -> bool:
    """Fill `words` (u8[k, w]); False where a blob is not sound and of this schema and layout."""
    whole, body = Blobs.of([blob or b"" for blob in blobs]), _body(words.shape[1])
    known = schema, layout_hash(layout)
    return bool(_unpack(whole.buffer, whole.ends, *known, TABLES, body, body.view(np.uint8), words) < 0)


def _unpack_each(
    blobs: Sequence[bytes | None], out: NDArray[np.void], layouts: Mapping[int, np.dtype[np.void]]
) -> None:
    """The same where schemas differ or something is wrong, which is found and said."""
    for i, blob in enumerate(blobs):
        if blob is None:
            out[i] = np.zeros((), RECORD)
            continue
        schema = _schema(blob, layouts)
        layout = layouts[schema]
        words = np.zeros((1, (layout.itemsize + 7) // 8), np.uint64)
        if not _spread([blob], schema, layout, words):
            raise DamagedRecord("a record is shorter or longer than it says")
        old = np.ascontiguousarray(words.view(np.uint8)[:, : layout.itemsize]).view(layout)[:, 0]
        new = old if old.dtype == RECORD else migrate(old)
        out.view(_BYTES)[i : i + 1] = new.view(_BYTES)


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
    if crc32_of(memoryview(blob)[_HEAD.size :]) != checksum:
        raise DamagedRecord("the checksum does not match")
    return int(schema)


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
