from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from messages.compiled import Rows, compiled
from messages.digest import BLOCK, hashed, hashed_again, new_cache
from messages.hashing import stable_hash
from messages.words import PADDING
from tests.messages.twins import uncompiled

texts = st.lists(st.text(min_size=1, max_size=BLOCK).filter(lambda text: len(text.encode()) <= BLOCK), max_size=20)


@compiled
def hash_all(
    text: Annotated[Any, Rows(np.uint8)],
    starts: Annotated[Any, Rows(np.int64)],
    block: Annotated[Any, Rows(np.uint64)],
    cache: Annotated[Any, Rows(np.uint64, 2)],
    once: Annotated[Any, Rows(np.uint64)],
    again: Annotated[Any, Rows(np.uint64)],
) -> None:
    for i in range(len(once)):
        once[i] = hashed(text, starts[i], starts[i + 1] - starts[i], block)
        again[i] = hashed_again(text, starts[i], starts[i + 1] - starts[i], block, cache)


def hashes(texts: Sequence[str], cache: NDArray[np.uint64], kernel: Any = hash_all) -> tuple[list[int], list[int]]:
    encoded = [text.encode() for text in texts]
    starts = np.cumsum([0, *map(len, encoded)])
    once, again = np.zeros((2, len(texts)), np.uint64)
    buffer = np.frombuffer(b"".join([*encoded, PADDING]), np.uint8)
    kernel(buffer, starts, np.zeros(16, np.uint64), cache, once, again)
    return once.tolist(), again.tolist()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts)
def test_the_kernel_hashes_like_hashlib(texts: list[str]) -> None:
    cache, expected = new_cache(), [stable_hash(text) for text in texts]
    assert hashes(texts, cache) == (expected, expected)
    assert hashes(texts, cache) == (expected, expected)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(texts)
def test_the_uncompiled_kernel_hashes_like_hashlib(texts: list[str]) -> None:
    expected = [stable_hash(text) for text in texts]
    with np.errstate(over="ignore"):
        assert hashes(texts, new_cache(), uncompiled(hash_all)) == (expected, expected)


def test_every_length_up_to_a_block_is_hashed() -> None:
    lengths = ["x" * length for length in range(1, BLOCK + 1)]
    expected = [stable_hash(text) for text in lengths]
    assert hashes(lengths, new_cache()) == (expected, expected)


def test_texts_that_displace_each_other_keep_their_hashes() -> None:
    many = [f"m-{i}" for i in range(200_000)]
    cache = new_cache()
    assert len(many) > 2 * len(cache)
    expected = [stable_hash(text) for text in many]
    assert hashes(many, cache)[1] == expected
    assert hashes(many[::-1], cache)[1] == expected[::-1]


def test_texts_that_only_differ_in_trailing_zeros_are_different() -> None:
    zeros = ["a", "a\0", "a\0\0", "a" * 8, "a" * 8 + "\0"]
    cache, expected = new_cache(), [stable_hash(text) for text in zeros]
    assert hashes(zeros * 2, cache) == (expected * 2, expected * 2)
