"""The process that reads, routes and decodes ahead of the one that decides; `replay.ahead` starts it.

It is told what to do on the standard input and writes what it prepared to the standard output (`replay.pipe`): batches,
and after the last one None, or the error that kept it from going on.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import IO

from messages.decoding import Decoder
from messages.money import Money
from messages.texts import Texts
from replay.files import UnreadableFile
from replay.pipe import Cut, receive, send
from replay.preparing import Prepared, prepared


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be prepared."""

    files: Sequence[Path]
    money: Money  # for the decoder
    size: int  # of a batch, rows
    directory: Path  # what the files' names are relative to


def work(task: Task, out: IO[bytes]) -> None:
    """Send all of it. Raises BrokenPipeError where nobody takes it any more."""
    ended: Exception | None = None
    try:
        for batch in prepared(task.files, Decoder(task.money), task.size):
            send(out, _light(batch))
    except BrokenPipeError:
        raise
    except (UnreadableFile, OSError, ValueError) as error:
        ended = error
    send(out, ended)


def _light(batch: Prepared) -> Prepared:
    """The same without the bytes of the rows that no text of its events needs."""
    events = batch.events
    users, ids, references = (Texts.of(texts).apart() for texts in (events.users, events.ids, events.references))
    return replace(batch, events=replace(events, users=users, ids=ids, references=references))


def main() -> None:
    """Do what the standard input says."""
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever is printed must not get among the messages
    try:
        task: Task = receive(sys.stdin.buffer)
    except Cut:
        return  # whoever started this process is gone
    os.chdir(task.directory)
    try:
        work(task, out)
    except BrokenPipeError:
        # What could not be written would be tried again at the end, with a complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


if __name__ == "__main__":
    # What is sent names its classes by their module, which this module is not while it is the main one.
    import_module("replay.preparer").main()
