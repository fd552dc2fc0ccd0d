"""CRC-32 in compiled code, eight bytes a step: with zlib's polynomial, and with Castagnoli's as Kafka has it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from messages.compiled import inlined, part
from messages.words import word_at

_u8: Any = np.uint64
_BYTE, _ONES = _u8(255), _u8(0xFFFFFFFF)


def _tables(polynomial: int) -> NDArray[np.uint32]:
    """u4[8, 256]: the remainder of each byte that 0 to 7 others follow; the polynomial's lowest bit comes first."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (polynomial if remainder & 1 else 0)
        tables[0, byte] = remainder
    for behind in range(1, 8):
        before = tables[behind - 1]
        tables[behind] = (before >> np.uint32(8)) ^ tables[0][before & np.uint32(255)]
    return tables


#: Of zlib's CRC-32 and of CRC-32C.
TABLES, TABLES_C = _tables(0xEDB88320), _tables(0x82F63B78)


@inlined
def _eight(mixed: Any, tables: Any) -> Any:
    """The remainder of eight bytes, as a word."""
    return _u8(
        tables[_u8(7), mixed & _BYTE]
        ^ tables[_u8(6), (mixed >> _u8(8)) & _BYTE]
        ^ tables[_u8(5), (mixed >> _u8(16)) & _BYTE]
        ^ tables[_u8(4), (mixed >> _u8(24)) & _BYTE]
        ^ tables[_u8(3), (mixed >> _u8(32)) & _BYTE]
        ^ tables[_u8(2), (mixed >> _u8(40)) & _BYTE]
        ^ tables[_u8(1), (mixed >> _u8(48)) & _BYTE]
        ^ tables[_u8(0), mixed >> _u8(56)]
    )


@inlined
def crc32(words: Any, count: int, tables: Any) -> Any:
    """The checksum, u4 as u8, of the first `count` words of u8[n], as little-endian bytes."""
    checksum = _ONES
    for k in range(count):
        checksum = _eight(words[_u8(k)] ^ checksum, tables)
    return checksum ^ _ONES


@part
def crc32_of_bytes(text: Any, start: int, end: int, tables: Any) -> Any:
    """The checksum, u4 as u8, of u1[] from `start` up to `end`."""
    checksum, at = _ONES, start
    while at + 8 <= end:
        checksum = _eight(word_at(text, at) ^ checksum, tables)
        at += 8
    while at < end:
        checksum = _u8(tables[_u8(0), (checksum ^ _u8(text[_u8(at)])) & _BYTE]) ^ (checksum >> _u8(8))
        at += 1
    return checksum ^ _ONES
