"""CRC-32 as zlib computes it (polynomial 0xEDB88320), in compiled code, eight bytes a step."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from messages.compiled import inlined

_POLYNOMIAL = 0xEDB88320


def _tables() -> NDArray[np.uint32]:
    """u4[8, 256]: the remainder of each byte that is followed by 0 to 7 others."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (_POLYNOMIAL if remainder & 1 else 0)
        tables[0, byte] = remainder
    for behind in range(1, 8):
        before = tables[behind - 1]
        tables[behind] = (before >> np.uint32(8)) ^ tables[0][before & np.uint32(255)]
    return tables


TABLES = _tables()


@inlined
def crc32(words: Any, count: int, tables: Any) -> Any:
    """The checksum, u4 as u8, of the first `count` words of u8[n], as little-endian bytes; `tables` are TABLES."""
    byte, checksum = np.uint64(255), np.uint64(0xFFFFFFFF)
    for k in range(count):
        mixed = words[np.uint64(k)] ^ checksum
        checksum = np.uint64(
            tables[np.uint64(7), mixed & byte]
            ^ tables[np.uint64(6), (mixed >> np.uint64(8)) & byte]
            ^ tables[np.uint64(5), (mixed >> np.uint64(16)) & byte]
            ^ tables[np.uint64(4), (mixed >> np.uint64(24)) & byte]
            ^ tables[np.uint64(3), (mixed >> np.uint64(32)) & byte]
            ^ tables[np.uint64(2), (mixed >> np.uint64(40)) & byte]
            ^ tables[np.uint64(1), (mixed >> np.uint64(48)) & byte]
            ^ tables[np.uint64(0), mixed >> np.uint64(56)]
        )
    return checksum ^ np.uint64(0xFFFFFFFF)
