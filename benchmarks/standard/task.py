"""What one run of an engine is told, and what it tells: the same for all engines, so that all are timed alike.

An engine is a process. It gets a `Task` as its only argument, in JSON, and writes two lines to its standard output:

    standard-job begin                   the first record is in its hands
    standard-job end 3.512 1000000       the last one's state and warnings are where the engine's guarantee has them

with the seconds in between by its own clock, and the events. Joining the group, compiling and the first fetch are
not part of that. At each line the runner notes how much processor time the engine and the servers have used. After the
second line an engine may go on; the runner ends it.
"""

import sys
import time
from typing import Any

import msgspec

WORD = "standard-job"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    bootstrap: str
    redis_url: str
    topic: str  # holds exactly `events` events
    warnings: str  # topic for the warnings
    group: str  # of this run only
    events: int
    users: int
    partitions: int
    directory: str  # for whatever the engine writes; deleted afterwards
    options: dict[str, str] = {}

    def argument(self) -> str:
        """As the argument of an engine's process."""
        return msgspec.json.encode(self).decode()


def task_of(argv: list[str]) -> Task:
    """The task of this process. Raises msgspec.ValidationError."""
    return msgspec.json.decode(argv[1], type=Task)


class Stopwatch:
    """Tells the runner of begin and end."""

    def __init__(self, events: int) -> None:
        self._left, self._events = events, events
        self._begun = 0.0

    def begin(self) -> None:
        """The first record is there; later calls do nothing."""
        if not self._begun:
            self._begun = time.perf_counter()
            self._say("begin")

    def finished(self, events: int) -> bool:
        """So many more events are finished; tells the end, and returns True, with the last one."""
        self._left -= events
        if self._left > 0 or not self._begun:
            return False
        self._say("end", f"{time.perf_counter() - self._begun:.6f}", self._events - self._left)
        self._begun = 0.0
        return True

    @property
    def left(self) -> int:
        """Events that are not finished."""
        return self._left

    def _say(self, *words: Any) -> None:
        print(f"\n{WORD}", *words, flush=True)  # Faust leaves control characters on the line


def this_task() -> Task:
    """The task of this process, from its arguments."""
    return task_of(sys.argv)
