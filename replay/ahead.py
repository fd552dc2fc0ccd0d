"""Batches prepared by a process of their own, ahead of the one that decides: a replay keeps two processors busy.

The other process (`replay/preparer.py`) is a batch ahead: it waits until that one is taken before it prepares another.
Small batches may be further ahead, as many as fit in the pipe.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO

from messages.decoding import Decoder
from messages.money import Money
from replay.pipe import Cut, receive, send
from replay.preparer import Task
from replay.preparing import Prepared, prepared

_ROOT, _PROGRAM = Path(__file__).resolve().parents[1], "replay.preparer"
#: Bytes that the pipe is to hold, the most that Linux lets anybody have. With the usual 64 kB, the two processes
#: wake each other twenty times for a batch.
_ROOM = 1024 * 1024
#: Bytes of rows. To start a process takes about as long as to prepare so many, and those of this many again.
_WORTH_IT = 16 * 1024 * 1024
#: How many times as large the rows of a compressed file are, roughly.
_PACKED = 10


class ReaderLost(Exception):
    """The process that prepares batches ended before it was through."""


class Ahead(Iterator[Prepared]):
    """The batches of all files, from a process that begins at once and is gone after `close`.

    Taking one raises what `replay.preparing.prepared` does, ReaderLost where the process failed or was killed.
    """

    def __init__(self, files: Sequence[Path], money: Money, size: int) -> None:
        command, pipe = [sys.executable, "-m", _PROGRAM], subprocess.PIPE
        # In a session of its own, an interrupt from the keyboard does not reach it: whoever started it ends it.
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=_ROOT, stdin=pipe, stdout=pipe, start_new_session=True
        )
        if self.process.stdout is not None:
            _widen(self.process.stdout)
        self._through = False
        telling = self.process.stdin
        if telling is not None:
            with suppress(BrokenPipeError), telling:  # whether it lives shows when a batch is taken
                send(telling, Task(files, money, size, Path.cwd()))

    def __next__(self) -> Prepared:
        if self._through or self.process.stdout is None:
            raise StopIteration
        try:
            message: Prepared | Exception | None = receive(self.process.stdout)
        except Cut:
            raise ReaderLost(self._how_it_ended()) from None
        if isinstance(message, Prepared):
            return message
        self._through = True
        if message is None:
            raise StopIteration
        raise message

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()

    def _how_it_ended(self) -> str:
        code = self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"the process that reads ahead {how} before it was through; --no-read-ahead does without it"


@contextmanager
def batches(
    files: Sequence[Path], money: Money, size: int, *, ahead: bool | None = None
) -> Iterator[Iterator[Prepared]]:
    """The rows of all files in batches of `size`, prepared with amounts in the currency of `money`.

    `ahead` says whether a process of its own prepares them, None: where it is worth it; it makes no difference but
    speed. Taking a batch raises UnreadableFile when a file is missing, of an unknown kind, or damaged, and ReaderLost
    when that process failed or was killed.
    """
    if worth_it(files) if ahead is None else ahead:
        with closing(Ahead(files, money, size)) as started:
            yield started
    else:
        yield prepared(files, Decoder(money), size)


def _widen(pipe: IO[bytes]) -> None:
    with suppress(ImportError, AttributeError, OSError):  # not every system can, nor lets everybody: it is slower then
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _ROOM)


def worth_it(files: Sequence[Path]) -> bool:
    """Whether there are two processors, and so many rows that it pays to start another process."""
    return _processors() > 1 and sum(map(_bytes_of_rows, files)) >= _WORTH_IT


def _bytes_of_rows(path: Path) -> int:
    packed = path.suffix.lower() in {".gz", ".parquet"}
    return path.stat().st_size * (_PACKED if packed else 1) if path.exists() else 0


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
