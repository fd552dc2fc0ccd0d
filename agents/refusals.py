"""The dead-letter limit: refusing too much of what a topic brings is not our work, but a fault upstream.

A producer that goes wrong would turn a day's events into dead letters, and refused repayments into missed ones. So a
worker stops before that, with everything still in the log, until somebody has mended the producer and decided to let
the bad records go.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from messages.verdict import Refusal

#: What a refusal quotes of the record.
_QUOTED = re.compile(r" \(got [^;]*\)")
_SHOWN = 300


class TooManyRefused(Exception):
    """More of a topic's records are refused than the deployment allows; the message says what and what to do."""


class DeadLetterLimit:
    """Watches each topic's last `window` records, over all partitions of a worker.

    `share` of them may be refused, at most; 1 allows everything. A single bad record stops nothing: more than `share`
    of a whole window have to be bad, however few records came so far.
    """

    def __init__(self, share: float = 1.0, window: int = 1_000) -> None:
        self._share, self._window = share, window
        self._topics: defaultdict[str, _Window] = defaultdict(lambda: _Window(window))

    def check(self, topic: str, offsets: NDArray[np.int64], refused: Sequence[Refusal]) -> None:
        """Take in records of a hand-over by their ascending `offsets`, of which some were `refused`.

        Call it before any of them is decided or becomes a dead letter. Where the hand-over is cut makes no difference.
        Raises TooManyRefused.
        """
        if self._share >= 1:
            return
        kept = self._topics[topic]
        most = kept.add(offsets, refused)
        if most > self._share * self._window:
            raise TooManyRefused(self._words(topic, most, kept))

    def _words(self, topic: str, most: int, kept: "_Window") -> str:
        error, count = kept.errors.most_common(1)[0]
        example = _QUOTED.sub("", kept.examples[error])[:_SHOWN]
        return (
            f"{topic}: {most} of the last {min(kept.seen, self._window)} records were refused, more than "
            f"{self._share:.0%} of {self._window}; most often ({count}) {error}: {example}. Nothing of this hand-over "
            f"was applied or became a dead letter, and a restart stops again. Mend what publishes to {topic}; then let "
            "the records that are there already become dead letters, by DUEWATCH_DEAD_LETTER_SHARE=1 (no limit) until "
            "they have passed."
        )


class _Window:
    """Which of the last records of a topic were refused."""

    def __init__(self, size: int) -> None:
        self.seen = 0
        self.errors: Counter[str] = Counter()  # since the last window without a refusal
        self.examples: dict[str, str] = {}
        self._bad: NDArray[np.bool_] = np.zeros(size, np.bool_)  # oldest first; what was before the first is good

    def add(self, offsets: NDArray[np.int64], refused: Sequence[Refusal]) -> int:
        """Move on over records; the greatest number of refused ones that any window in between holds."""
        self.seen += len(offsets)
        if not refused and not self.errors:
            return 0  # nearly always
        if not self._bad.any():
            self.errors.clear()
            self.examples.clear()
        size = len(self._bad)
        lost = np.array([refusal.offset for refusal in refused], np.int64)
        line = np.concatenate([self._bad, np.isin(offsets, lost)])
        sums = np.concatenate([[0], np.cumsum(line)])
        within = sums[size:] - sums[:-size]
        for refusal in refused:
            self.errors[refusal.error] += 1
            self.examples[refusal.error] = refusal.message
        self._bad = line[len(line) - size :]
        return int(within.max())
