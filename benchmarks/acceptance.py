"""All that is aimed at, measured in one run and held against the aims.

    python -m benchmarks acceptance
    python -m benchmarks acceptance --quick --json figures

Runs the other parts one after the other, each with what the aims ask for, and ends with a table: what was aimed at, the
median that was found, and whether that is enough. Latency is measured at half of the rate that the whole product path
has just reached, which was with nothing beside it, and at half of what is applied beside the load generator. It takes
more than an hour; `--quick` is a first look. Nothing else should run on the machine.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPEAT = 5
LATENCY_USERS, LATENCY_SECONDS = 20_000, 20
STREAMS = ("ours", "kafka_streams", "kafka_streams_eos")


@dataclass(frozen=True)
class Point:
    """One aim; `least` says whether more is better."""

    name: str
    aim: float
    found: float
    unit: str
    least: bool = True

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.found >= self.aim if self.least else self.found <= self.aim


def main(argv: Sequence[str] | None = None) -> int:
    """Run everything; returns 1 where an aim was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=REPEAT, help="rounds, of which the medians count")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the table there, beside it each part's figures"
    )
    parser.add_argument("--quick", action="store_true", help="a first look: one round")
    given = parser.parse_args(argv)
    if given.quick:
        given.repeat = 1
    with TemporaryDirectory() as kept:
        place = Path(kept) if given.json is None else given.json.parent
        points = list(_points(_Parts(place), given.repeat))
    print()
    print(table(points))
    if given.json:
        given.json.write_text(json.dumps([{**asdict(point), "met": point.met} for point in points], indent=1) + "\n")
    return int(not all(point.met for point in points))


def table(points: Sequence[Point]) -> str:
    """For people, a line each."""
    lines = [f"{'':64}{'aim':>12}{'found':>12}"]
    for point in points:
        bound = "at least" if point.least else "at most"
        aim, found = _number(point.aim), _number(point.found)
        lines.append(f"{point.name:56}{bound:>8}{aim:>12}{found:>12} {point.unit:9}{'met' if point.met else 'MISSED'}")
    return "\n".join(lines)


def main_of(part: str) -> Callable[[Sequence[str]], int]:
    """What runs a part; some need packages that only the benchmark extra has."""
    runs: Callable[[Sequence[str]], int] = import_module(f"benchmarks.{part}").main
    return runs


class _Parts:
    """Runs parts and reads their figures."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, name: str, part: str, *arguments: Any) -> Any:
        """Run one part; returns what it wrote. Raises SystemExit where it failed."""
        file = self._directory / f"{name}.json"
        print(f"\n== {name}: {' '.join(map(str, arguments))} ==", flush=True)
        if main_of(part)([*map(str, arguments), "--json", str(file)]):
            raise SystemExit(f"{name} failed")
        return json.loads(file.read_text())

    def keep(self, name: str, figures: Any) -> None:
        """Write what several parts found together, as `benchmarks.plots` reads it."""
        (self._directory / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def _points(parts: _Parts, repeat: int) -> Iterator[Point]:
    times = ("--repeat", repeat)
    others = ("bytewax", "faust_per_event", "floor")
    small = parts.run("standard-5k", "standard.__main__", "--users", 5_000, "--engines", *STREAMS, *others, *times)
    yield from _ahead(small, {"kafka_streams": 2.0, "kafka_streams_eos": 3.0, "bytewax": 5.0, "faust_per_event": 100.0})
    yield _standard(small, 250_000)
    large = parts.run("standard-500k", "standard.__main__", "--users", 500_000, "--engines", *STREAMS, *times)
    yield from _ahead(large, {"kafka_streams": 2.5, "kafka_streams_eos": 2.5})
    yield _standard(large, 100_000)
    parts.keep("standard", {"standard": [*small["standard"], *large["standard"]]})

    few = parts.run("product-5k", "product", "--users", 5_000, *times)
    capacity = _rate(few)
    yield Point("whole product path, 5,000 users", 60_000, capacity, "events/s")
    many = parts.run("product-500k", "product", "--users", 500_000, *times)
    yield Point("whole product path, 500,000 users", 40_000, _rate(many), "events/s")
    # The more events, the less do the moments count in which one worker has ended and the other has not.
    workers = ("--partitions", 8, "--workers", 1, 2, "--events", 3_000_000)
    pair = parts.run("workers", "product", "--users", 5_000, *workers, *times)
    alone, together = (_rate([run for run in pair if run["workers"] == number]) for number in (1, 2))
    yield Point("two workers, times one, 8 partitions", 1.7, together / alone, "times")
    parts.keep("product", [*few, *many, *pair])
    replayed = parts.run("replaying", "replaying", "--users", 5_000, *times)
    ahead = statistics.median(run["rate"] for run in replayed if run["processes"] > 1)
    yield Point("replay, 5,000 users", 200_000, ahead, "events/s")

    half_of_that, half_beside = ("--rates", *[round(capacity / 2, -3)] * repeat), ("--shares", *[0.5] * repeat)
    yield from _warnings(parts, "latency", "at half of the product path's rate", *half_of_that)
    yield from _warnings(parts, "latency-beside", "at half of what is applied beside the load", *half_beside)
    yield from _warnings(parts, "latency-one", "at half of it with one partition", "--partitions", 1, *half_beside)

    grown = parts.run("deciding", "deciding")
    yield Point("judging with 100 conditions, times 5", 20.0, grown["conditions"], "times", least=False)
    yield Point("judging with 100 features read, times 20", 5.0, grown["features"], "times", least=False)
    started = parts.run("startup", "startup", "--apache-kafka", "--rounds", repeat)
    yield Point("a worker is ready, with kernels kept", 5.0, started["warm"], "s", least=False)
    yield Point("a worker is ready, with none kept", 10.0, started["cold"], "s", least=False)


def _warnings(parts: _Parts, name: str, when: str, *arguments: Any) -> Iterator[Point]:
    """How long a warning takes."""
    measured = parts.run(name, "latency", "--users", LATENCY_USERS, "--seconds", LATENCY_SECONDS, *arguments)
    for quantile, aim in (("p50", 15.0), ("p99", 50.0), ("p99.9", 150.0)):
        value = statistics.median(one["milliseconds"][quantile] for one in measured)
        yield Point(f"a warning {when}, {quantile}", aim, value, "ms", least=False)


def _ahead(found: Mapping[str, Any], aims: Mapping[str, float]) -> Iterator[Point]:
    """Of the standard job: how many times as fast as others."""
    (stream,) = found["standard"]
    for name, aim in aims.items():
        engine = stream["engines"].get(name)
        if engine is None:
            raise SystemExit(f"{name} cannot run here, and it is what the aims compare with")
        yield Point(f"standard job, {stream['users']:,} users, times {name}", aim, engine["ours_is"], "times")


def _standard(found: Mapping[str, Any], aim: float) -> Point:
    (stream,) = found["standard"]
    return Point(f"standard job, {stream['users']:,} users", aim, stream["engines"]["ours"]["median"], "events/s")


def _rate(runs: Sequence[Mapping[str, float]]) -> float:
    """Median of events a second."""
    return statistics.median(run["events"] / run["seconds"] for run in runs)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
