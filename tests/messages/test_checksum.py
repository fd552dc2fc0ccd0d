"""Checksums, against the libraries that define them."""

from binascii import crc32 as of_zlib

import numpy as np
from aiokafka.record.util import calc_crc32c
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messages.checksum import TABLES, TABLES_C, crc32


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 1_200), st.integers(0, 9), st.integers(0, 2**32 - 1))
@example(255, 1, 0)
@example(256, 0, 0)
@example(2 * 256 + 8 + 7, 3, 0)
def test_checksums_are_those_of_zlib_and_of_kafkas_library(length: int, start: int, seed: int) -> None:
    text = np.random.default_rng(seed).integers(0, 256, start + length + 9, np.uint8)
    covered = text[start : start + length].tobytes()
    assert int(crc32(text, start, start + length, TABLES)) == of_zlib(covered)
    assert int(crc32(text, start, start + length, TABLES_C)) == calc_crc32c(covered)
