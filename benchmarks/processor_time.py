"""How much processor time a process and its children have used, from /proc; not a number where there is none."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """User and system time of a process, all its threads and living descendants, and dead ones it waited for."""
    seconds, found = 0.0, False
    for one in _family(pid):
        fields = _stat(one)
        if fields:
            # After the name: fields 14 to 17 of proc(5).
            seconds += sum(map(int, fields[11:15] if one == pid else fields[11:13])) / _TICKS
            found = True
    return seconds if found else float("nan")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
