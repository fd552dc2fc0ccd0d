"""Runs engines one after the other, round after round, so that whatever else the machine does hits all alike."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.embedded import child_process, stop_process
from benchmarks.processor_time import processor_seconds
from benchmarks.servers import Servers
from benchmarks.standard.catalogue import Engine
from benchmarks.standard.events import purchases
from benchmarks.standard.job import Warned, expected_warnings
from benchmarks.standard.loading import Topics, fill
from benchmarks.standard.results import Run
from benchmarks.standard.task import WORD, Task
from messages.inputs import USER_TOPICS
from messages.journal import JOURNAL

#: The topic of all events, and the one with the first few of them for slow engines.
WHOLE, SHORT = "purchases", "purchases-short"
#: An engine that has not ended after so many seconds has failed.
PATIENCE = 600.0
#: How often it is looked whether an engine has said something: the processor time is told that exactly.
LOOK_SECONDS = 0.005


class EngineFailed(Exception):
    """An engine did not finish; the message has the end of what it printed."""


class Course:
    """Streams of so many users in the topics of one broker, and everything to run engines over them."""

    def __init__(self, servers: Servers, users: int, events: int, short: int, partitions: int) -> None:
        self._servers, self._users, self._partitions = servers, users, partitions
        self._topics = Topics(servers.bootstrap, partitions)
        self._topics.make([*USER_TOPICS, SHORT, JOURNAL])
        stream = fill(servers.bootstrap, WHOLE, purchases(events, users))
        beginning = fill(servers.bootstrap, SHORT, stream[:short])
        self._counts = {WHOLE: len(stream), SHORT: len(beginning)}
        self._expected = {WHOLE: expected_warnings(stream), SHORT: expected_warnings(beginning)}
        self._runs = 0

    @property
    def expected(self) -> int:
        """Warnings that the whole stream leads to."""
        return len(self._expected[WHOLE])

    def run(self, engine: Engine, options: Mapping[str, str]) -> Run:
        """Run an engine once, from nothing. Raises EngineFailed."""
        self._runs += 1
        name = f"standard-{engine.name.replace('_', '-')}-{self._users}-{self._runs}"
        topic = SHORT if engine.slow else WHOLE
        directory = self._servers.directory / name
        directory.mkdir()
        task = Task(
            bootstrap=self._servers.bootstrap,
            redis_url=self._servers.redis_url,
            topic=topic,
            warnings=f"{name}-warnings",
            group=name,
            events=self._counts[topic],
            users=self._users,
            partitions=self._partitions,
            directory=str(directory),
            options=dict(options),
        )
        self._servers.empty_store()
        self._topics.remake(JOURNAL)
        self._topics.make([task.warnings])
        seconds, processor = _timed(engine.command(task), directory / "engine.log", self._servers.pids)
        found = self._topics.warnings(task.warnings)
        self._topics.delete(name)
        verdict = _verdict(found, self._expected[topic]) if engine.warns else "none"
        ids = {warned.event_id for warned in found}
        return Run(engine.name, task.events, seconds, processor, len(ids), len(found) - len(ids), verdict)


def _verdict(found: Sequence[Warned], expected: Mapping[str, str]) -> str:
    """Whether these are the warnings that there had to be."""
    by_id = {warned.event_id: warned.user_id for warned in found}
    missing, surplus = expected.keys() - by_id.keys(), by_id.keys() - expected.keys()
    if missing or surplus:
        return f"{len(missing)} missing, {len(surplus)} too many"
    return "same" if by_id == dict(expected) else "of other users"


def _timed(command: Sequence[str], log: Path, servers: Mapping[str, int]) -> tuple[float, dict[str, float]]:
    """Run an engine's process; returns its seconds and the processor time of everybody in between."""
    before: dict[str, float] = {}
    process = child_process(command, log)  # ends with this one, whatever happens to it
    try:
        pids = {"engine": process.pid, **servers}
        for words in _lines(process, log):
            if words[0] == "begin":
                before = {name: processor_seconds(pid) for name, pid in pids.items()}
            elif words[0] == "end" and before:
                used = {name: processor_seconds(pid) - before[name] for name, pid in pids.items()}
                return float(words[1]), used
    finally:
        stop_process(process, 15)
    raise EngineFailed(f"it printed:\n{log.read_text(errors='replace')[-3_000:]}")


def _lines(process: subprocess.Popen[bytes], log: Path) -> Iterator[list[str]]:
    """What follows the word on each line that begins with it; until the process ends, or patience does."""
    deadline, unread = time.monotonic() + PATIENCE, ""
    with log.open(errors="replace") as printed:
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            *lines, unread = (unread + printed.read()).split("\n")
            for line in lines:
                word, *rest = line.split() or [""]
                if word == WORD:
                    yield rest
            if ended:
                return
            time.sleep(LOOK_SECONDS)
