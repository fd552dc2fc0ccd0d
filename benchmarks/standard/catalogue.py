"""Which engines there are, and how the process of each is started."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.standard.engines import kafka_streams
from benchmarks.standard.task import Task


@dataclass(frozen=True)
class Engine:
    """One way to do the standard job.

    `lacking()` says what is not installed, "" where it can run; a slow engine gets a short stream, because rates are
    what is compared. An engine that does not raise warnings is not checked.
    """

    name: str
    guarantee: str
    command: Callable[[Task], list[str]]
    lacking: Callable[[], str] = lambda: ""
    slow: bool = False
    warns: bool = True


def _module(name: str) -> Callable[[Task], list[str]]:
    return lambda task: [sys.executable, "-m", f"benchmarks.standard.engines.{name}", task.argument()]


def _package(name: str) -> Callable[[], str]:
    return lambda: "" if importlib.util.find_spec(name) else f"the package {name}"


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("ours", "exactly once; Redis", _module("ours")),
        Engine(
            "kafka_streams",
            "at least once; changelog in Kafka; Java, warm",
            partial(kafka_streams.command, guarantee="at_least_once"),
            kafka_streams.lacking,
        ),
        Engine(
            "kafka_streams_eos",
            "exactly once; changelog in Kafka; Java, warm",
            partial(kafka_streams.command, guarantee="exactly_once_v2"),
            kafka_streams.lacking,
        ),
        Engine("bytewax", "none that outlives the process", _module("bytewax_flow"), _package("bytewax")),
        Engine("quix", "at least once; changelog in Kafka", _module("quix"), _package("quixstreams")),
        Engine("plain", "at least once; Redis", _module("plain")),
        Engine("faust_take", "events may get lost; Redis", _module("faust_take"), slow=True),
        Engine("faust_per_event", "events may get lost; Redis", _module("faust_per_event"), slow=True),
        Engine("floor", "none: reads and decodes only", _module("floor"), warns=False),
    )
}
