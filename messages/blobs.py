"""Many byte strings in one buffer, so that what makes or sends thousands of them need not make an object of each."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from messages.indexed import Indexed


@dataclass(frozen=True, slots=True, eq=False)
class Blobs(Indexed[bytes]):
    """Byte strings one after the other: string i ends at `ends[i]`, where the next one begins."""

    buffer: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @staticmethod
    def of(parts: Iterable[bytes]) -> "Blobs":
        """All `parts` in one buffer."""
        each = list(parts)
        buffer = np.frombuffer(b"".join(each), np.uint8)
        return Blobs(buffer, np.fromiter(map(len, each), np.int64, len(each)).cumsum())

    def __len__(self) -> int:
        return len(self.ends)

    def item(self, place: int) -> bytes:
        """Copy one out."""
        start = int(self.ends[place - 1]) if place else 0
        return self.buffer[start : int(self.ends[place])].tobytes()

    def tolist(self) -> list[bytes]:
        """Each as an object of its own."""
        whole, ends = self.buffer[: int(self.ends[-1]) if len(self) else 0].tobytes(), self.ends.tolist()
        return [whole[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
