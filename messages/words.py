"""Bytes eight at a time: parts of kernels that read texts as little-endian 64-bit words.

A text that is read here has at least `PADDING` behind it, so that no word reaches past the buffer. All arithmetic is
unsigned: numba turns a signed and an unsigned operand into a float.
"""

from typing import Any

import numpy as np

from messages.compiled import part, signed

#: What a buffer has to end with. Zeros end every token of the scanner, too.
PADDING = bytes(32)
_u8: Any = np.uint64

_EIGHT, _ONE, _SEVEN, _TOP = _u8(8), _u8(1), _u8(7), _u8(56)
#: By number of bytes, 0 to 8: the bits of so many.
_KEPT = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_EACH = _u8(0x0101010101010101)  # 1 in each byte; the others likewise
_HIGHEST = _u8(0x8080808080808080)
_QUOTES = _u8(0x2222222222222222)
_BACKSLASHES = _u8(0x5C5C5C5C5C5C5C5C)
_LEAST_VISIBLE = _u8(0x2121212121212121)
#: Times 1 << 8 * k it has k in its highest byte.
_PLACES = _u8(0x0001020304050607)


@part
def word_at(text: Any, at: int) -> Any:
    """The eight bytes of u1[] from `at` on."""
    # The compiler makes one load of these eight, provided that no index can be negative.
    i = _u8(at)
    return (
        _u8(text[i])
        | _u8(text[i + _ONE]) << _EIGHT
        | _u8(text[i + _u8(2)]) << _u8(16)
        | _u8(text[i + _u8(3)]) << _u8(24)
        | _u8(text[i + _u8(4)]) << _u8(32)
        | _u8(text[i + _u8(5)]) << _u8(40)
        | _u8(text[i + _u8(6)]) << _u8(48)
        | _u8(text[i + _SEVEN]) << _TOP
    )


@part
def first_of(text: Any, at: int, count: int) -> Any:
    """The first `count` of the eight bytes from `at` on, the others zero; 8 for more than 8."""
    return word_at(text, at) & _KEPT[min(count, 8)]


@part
def visible_end(text: Any, at: int) -> int:
    """The first place from `at` on whose byte is a quote, a backslash, or no visible ASCII."""
    while True:
        word = word_at(text, at)
        quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
        # The highest bit of a byte shows a hit. Borrows and carries go upwards: the lowest hit is always a true one.
        hits = (quotes - _EACH) & ~quotes | (backslashes - _EACH) & ~backslashes
        hits = (hits | (word - _LEAST_VISIBLE) & ~word | (word + _EACH) | word) & _HIGHEST
        if hits != _u8(0):
            lowest = (hits & (~hits + _ONE)) >> _SEVEN
            return at + signed((lowest * _PLACES) >> _TOP)
        at += 8


@part
def same(one: Any, at: int, other: Any, other_at: int, count: int) -> bool:
    """Whether the `count` bytes of u1[] `one` from `at` on are those of `other` from `other_at` on."""
    done = 0
    while done < count:
        if first_of(one, at + done, count - done) != first_of(other, other_at + done, count - done):
            return False
        done += 8
    return True
