"""What the runs of the standard job showed: a table for people, and JSON for the documents."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.standard.catalogue import ENGINES

PROCESSES = ("engine", "broker", "redis")


@dataclass(frozen=True)
class Run:
    """One engine's run. `processor` is in seconds, by process: "engine", "broker", "redis"."""

    engine: str
    events: int
    seconds: float
    processor: Mapping[str, float]
    warnings: int
    repeated: int  # warnings that were published more than once
    verdict: str  # "same", "none" where the engine raises none, else what is wrong

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Figures of one engine's runs over one stream."""
    rates = sorted(run.rate for run in runs)
    verdicts = sorted({run.verdict for run in runs})
    return {
        "events": runs[0].events,
        "runs": len(runs),
        "min": rates[0],
        "median": statistics.median(rates),
        "max": rates[-1],
        "processor_us_per_event": {
            name: statistics.median(run.processor[name] / run.events for run in runs) * 1e6 for name in PROCESSES
        },
        "warnings": sorted({run.warnings for run in runs}),
        "repeated": max(run.repeated for run in runs),
        "verdict": "; ".join(verdicts),
        "guarantee": ENGINES[runs[0].engine].guarantee,
    }


def summaries(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Figures by engine, in the order of first runs; `ours_is` says how many times as fast ours is."""
    by_engine: dict[str, list[Run]] = {}
    for run in runs:
        by_engine.setdefault(run.engine, []).append(run)
    found = {name: summary(of_engine) for name, of_engine in by_engine.items()}
    for one in found.values():
        one["ours_is"] = found["ours"]["median"] / one["median"] if "ours" in found else None
    return found


def table(found: Mapping[str, Mapping[str, Any]], expected: int) -> str:
    """The table of one stream; `expected` is the number of warnings that the whole of it leads to."""
    head = f"{'':22}{'events/s':>30}   {'ours is':>8}   {'processor us/event':>24}   warnings"
    columns = f"{'engine':22}{'min':>10}{'median':>10}{'max':>10}   {'':>8}   {'engine':>8}{'broker':>8}{'redis':>8}"
    lines = [head, f"{columns}   ({expected:,} in the whole stream)"]
    for name, one in found.items():
        rates = "".join(f"{one[which]:>10,.0f}" for which in ("min", "median", "max"))
        ratio = "" if one["ours_is"] is None else f"{one['ours_is']:.2f} x"
        used = "".join(f"{one['processor_us_per_event'][process]:>8.2f}" for process in PROCESSES)
        lines.append(f"{name:22}{rates}   {ratio:>8}   {used}   {_warnings(one)}")
    return "\n".join(lines)


def _warnings(one: Mapping[str, Any]) -> str:
    if one["verdict"] == "none":
        return "-"
    told = f"{' or '.join(f'{count:,}' for count in one['warnings'])}: {one['verdict']}"
    return told + (f", up to {one['repeated']:,} published again" if one["repeated"] else "")
