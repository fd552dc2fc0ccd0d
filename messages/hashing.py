"""Stable 64-bit hashes of identifiers: the same on every machine and in every run."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_fresh = blake2b(digest_size=8).copy


def stable_hash(text: str) -> int:
    """Unsigned 64-bit hash of `text`, never 0 (0 means absent): the 8-byte BLAKE2b digest, little endian."""
    digest = _fresh()
    digest.update(text.encode())
    return int.from_bytes(digest.digest(), "little") or 1


def hash_column(texts: Iterable[str]) -> NDArray[np.uint64]:
    """`stable_hash` of each text as u8[n]: for columns whose values hardly repeat, where a cache would not help."""
    digests = []
    for text in texts:
        # A copied state is half as dear as a new one: construction parses its arguments each time.
        digest = _fresh()
        digest.update(text.encode())
        digests.append(digest.digest())
    hashes = np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)
    hashes[hashes == 0] = 1
    return hashes


class HashCache(dict[str | None, int]):
    """Remembers hashes of values that repeat; `cache[text]` computes what is not known yet, `cache[None]` is 0.

    It holds at most `limit` entries: when full it starts anew, which costs one more hash per value and bounds memory.
    """

    def __init__(self, limit: int = 131_072) -> None:
        super().__init__({None: 0})
        self._limit = limit

    def __missing__(self, text: str | None) -> int:
        if text is None:
            return 0
        if len(self) >= self._limit:
            self.clear()
            self[None] = 0
        value = self[text] = stable_hash(text)
        return value
