"""CRC-32 in compiled code, with zlib's polynomial, and with Castagnoli's as Kafka has it.

A step takes eight bytes and has to wait for the one before. So four stretches are read side by side, each as if nothing
came before it, and then joined: the remainder of what stands together is that of the last stretch, and of the ones
before with so many zeros behind them, bit by bit added up (modulo 2).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from messages.compiled import inlined, part
from messages.words import word_at

_u8: Any = np.uint64
_BYTE, _ONES = _u8(255), _u8(0xFFFFFFFF)
#: Bytes of each of the four stretches.
_STRETCH = 64


def _tables(polynomial: int) -> NDArray[np.uint32]:
    """u4[12, 256]: by byte, the remainder where 0 to 7 zeros follow; by byte of a remainder, where a stretch does.

    The lowest byte of a remainder comes first, and so does the polynomial's lowest bit.
    """
    tables = np.zeros((12, 256), np.uint32)
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (polynomial if remainder & 1 else 0)
        tables[0, byte] = remainder
    for behind in range(1, 8):
        tables[behind] = _one_behind(tables[behind - 1], tables[0])
    for place in range(4):
        remainders = np.arange(256, dtype=np.uint32) << np.uint32(8 * place)
        for _ in range(_STRETCH):
            remainders = _one_behind(remainders, tables[0])
        tables[8 + place] = remainders
    return tables


def _one_behind(remainders: NDArray[np.uint32], of_bytes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Remainders after one zero more."""
    after: NDArray[np.uint32] = (remainders >> np.uint32(8)) ^ of_bytes[remainders & np.uint32(255)]
    return after


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
def _behind(remainder: Any, tables: Any) -> Any:
    """The remainder after `_STRETCH` zeros."""
    return _u8(
        tables[_u8(8), remainder & _BYTE]
        ^ tables[_u8(9), (remainder >> _u8(8)) & _BYTE]
        ^ tables[_u8(10), (remainder >> _u8(16)) & _BYTE]
        ^ tables[_u8(11), remainder >> _u8(24)]
    )


@part
def crc32(text: Any, start: int, end: int, tables: Any) -> Any:
    """The checksum, u4 as u8, of u1[] from `start` up to `end`."""
    checksum, at = _ONES, start
    while at + 4 * _STRETCH <= end:
        first, second, third, fourth = checksum, _u8(0), _u8(0), _u8(0)
        for k in range(at, at + _STRETCH, 8):
            first = _eight(word_at(text, k) ^ first, tables)
            second = _eight(word_at(text, k + _STRETCH) ^ second, tables)
            third = _eight(word_at(text, k + 2 * _STRETCH) ^ third, tables)
            fourth = _eight(word_at(text, k + 3 * _STRETCH) ^ fourth, tables)
        checksum = _behind(_behind(_behind(first, tables) ^ second, tables) ^ third, tables) ^ fourth
        at += 4 * _STRETCH
    while at + 8 <= end:
        checksum = _eight(word_at(text, at) ^ checksum, tables)
        at += 8
    while at < end:
        checksum = _u8(tables[_u8(0), (checksum ^ _u8(text[_u8(at)])) & _BYTE]) ^ (checksum >> _u8(8))
        at += 1
    return checksum ^ _ONES
