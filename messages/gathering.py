"""Kernels over the places of texts (`messages.texts`), and the one that copies texts out of their buffer."""

from typing import Annotated, Any

import numpy as np

from messages.compiled import Rows, compiled, part, signed


@part
def buffer_of(place: Any) -> int:
    """Number of the buffer that the text at `place` is in."""
    return signed(place >> np.uint64(48))


@part
def start_of(place: Any) -> int:
    """Where in its buffer it starts."""
    return signed(place >> np.uint64(16) & np.uint64(0xFFFFFFFF))


@part
def length_of(place: Any) -> int:
    """How many bytes it has."""
    return signed(place & np.uint64(0xFFFF))


@compiled
def gather(
    buffer: Annotated[Any, Rows(np.uint8)],
    number: int,
    places: Annotated[Any, Rows(np.uint64)],
    ends: Annotated[Any, Rows(np.int64)],
    joined: Annotated[Any, Rows(np.uint8)],
) -> None:
    """Copy the texts that stand in buffer `number` to where they belong in `joined`.

    `places` u8[n] as in `Texts`; text i is to end right before `ends[i]` - 1, whose byte is left as it is.
    """
    for i in range(len(places)):
        if buffer_of(places[i]) == number:
            start, length = start_of(places[i]), length_of(places[i])
            to = ends[i] - 1 - length
            for k in range(length):
                joined[to + k] = buffer[start + k]
