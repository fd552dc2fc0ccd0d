"""The kernel that copies texts out of their buffer."""

from typing import Annotated, Any

import numpy as np

from messages.compiled import Rows, compiled


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
        place = places[i]
        if np.int64(place >> np.uint64(48)) == number:
            length = np.int64(place & np.uint64(0xFFFF))
            start, to = np.int64(place >> np.uint64(16) & np.uint64(0xFFFFFFFF)), ends[i] - 1 - length
            for k in range(length):
                joined[to + k] = buffer[start + k]
