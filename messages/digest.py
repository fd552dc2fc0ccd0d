"""`stable_hash` inside of kernels: BLAKE2b (RFC 7693) of one block, and a cache of what it gave."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from messages.compiled import part
from messages.words import first_of

#: Bytes of one block: the longest text that can be hashed here, and the longest identifier.
BLOCK = 128
_u8: Any = np.uint64
_ROUNDS = 12
_START = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
#: A digest of 8 bytes, no key, no tree.
_PARAMETERS = _u8(0x01010008)
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    np.uint8,
)
#: Texts of more bytes are not cached.
_CACHED = 32
_SLOT_BITS = 16
_SHIFT = _u8(64 - _SLOT_BITS)
_STIR = tuple(map(_u8, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)))


def new_cache() -> NDArray[np.uint64]:
    """u8[slots, 6], empty: per slot a text's length, its words, its hash. What falls into a slot displaces the old.

    It takes 3 MB once it is full.
    """
    return np.zeros((1 << _SLOT_BITS, 6), np.uint64)


@part
def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    a = a + b + x
    d = d ^ a
    d = d >> _u8(32) | d << _u8(32)
    c = c + d
    b = b ^ c
    b = b >> _u8(24) | b << _u8(40)
    a = a + b + y
    d = d ^ a
    d = d >> _u8(16) | d << _u8(48)
    c = c + d
    b = b ^ c
    b = b >> _u8(63) | b << _u8(1)
    return a, b, c, d


@part
def hashed(text: Any, at: int, length: int, m: Any) -> Any:
    """`stable_hash` of the `length` bytes of u1[] from `at` on, 1 to `BLOCK`; u8[16] `m` is scratch."""
    for i in range(16):
        m[i] = first_of(text, at + 8 * i, length - 8 * i) if 8 * i < length else _u8(0)
    h0 = _START[0] ^ _PARAMETERS
    a0, a1, a2, a3 = h0, _START[1], _START[2], _START[3]
    b0, b1, b2, b3 = _START[4], _START[5], _START[6], _START[7]
    c0, c1, c2, c3 = _START[0], _START[1], _START[2], _START[3]
    d0, d1, d2, d3 = _START[4] ^ _u8(length), _START[5], ~_START[6], _START[7]
    for turn in range(_ROUNDS):
        a0, b0, c0, d0 = _mix(a0, b0, c0, d0, m[_SIGMA[turn, 0]], m[_SIGMA[turn, 1]])
        a1, b1, c1, d1 = _mix(a1, b1, c1, d1, m[_SIGMA[turn, 2]], m[_SIGMA[turn, 3]])
        a2, b2, c2, d2 = _mix(a2, b2, c2, d2, m[_SIGMA[turn, 4]], m[_SIGMA[turn, 5]])
        a3, b3, c3, d3 = _mix(a3, b3, c3, d3, m[_SIGMA[turn, 6]], m[_SIGMA[turn, 7]])
        a0, b1, c2, d3 = _mix(a0, b1, c2, d3, m[_SIGMA[turn, 8]], m[_SIGMA[turn, 9]])
        a1, b2, c3, d0 = _mix(a1, b2, c3, d0, m[_SIGMA[turn, 10]], m[_SIGMA[turn, 11]])
        a2, b3, c0, d1 = _mix(a2, b3, c0, d1, m[_SIGMA[turn, 12]], m[_SIGMA[turn, 13]])
        a3, b0, c1, d2 = _mix(a3, b0, c1, d2, m[_SIGMA[turn, 14]], m[_SIGMA[turn, 15]])
    digest = h0 ^ a0 ^ c0
    return digest if digest != _u8(0) else _u8(1)


@part
def hashed_again(text: Any, at: int, length: int, m: Any, cache: Any) -> Any:
    """`hashed` of a text that is likely to come again: looked up in, or added to, a `new_cache`."""
    if length > _CACHED:
        return hashed(text, at, length, m)
    w0 = first_of(text, at, length)
    w1 = first_of(text, at + 8, length - 8) if length > 8 else _u8(0)
    w2 = first_of(text, at + 16, length - 16) if length > 16 else _u8(0)
    w3 = first_of(text, at + 24, length - 24) if length > 24 else _u8(0)
    slot = (w0 * _STIR[0] ^ w1 * _STIR[1] ^ w2 * _STIR[2] ^ w3 * _STIR[3]) * _STIR[0] >> _SHIFT
    if (
        cache[slot, 0] != _u8(length)
        or cache[slot, 1] != w0
        or cache[slot, 2] != w1
        or cache[slot, 3] != w2
        or cache[slot, 4] != w3
    ):
        cache[slot, 0] = _u8(length)
        cache[slot, 1] = w0
        cache[slot, 2] = w1
        cache[slot, 3] = w2
        cache[slot, 4] = w3
        cache[slot, 5] = hashed(text, at, length, m)
    return cache[slot, 5]
