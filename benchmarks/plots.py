"""Draws what the benchmarks measured, for docs/performance.md.

    python -m benchmarks --json DIRECTORY
    python -m benchmarks.plots DIRECTORY docs/img

Draws a picture of every part whose figures lie in DIRECTORY: standard.json, product.json, latency.json, scale.json.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

OURS, OTHERS, PALE = "#2060b0", "#8a8f98", "#d5d8dd"


def standard(measured: Any) -> Any:
    """Events per second by engine: the median as a bar, from the least to the most as a line."""
    figure, axes = plt.subplots(1, len(measured["standard"]), figsize=(11, 4.2), squeeze=False)
    for axis, stream in zip(axes[0], measured["standard"], strict=True):
        engines = {name: one for name, one in stream["engines"].items() if name != "floor"}
        names = sorted(engines, key=lambda name: engines[name]["median"])
        medians = [engines[name]["median"] for name in names]
        spread = [
            [median - engines[name]["min"] for name, median in zip(names, medians, strict=True)],
            [engines[name]["max"] - median for name, median in zip(names, medians, strict=True)],
        ]
        colours = [OURS if name == "ours" else OTHERS for name in names]
        axis.barh(names, medians, xerr=spread, color=colours, ecolor="#333", capsize=3)
        for name, median in zip(names, medians, strict=True):
            axis.text(median, name, f"  {median:,.0f}", va="bottom", fontsize=8)
        axis.set_title(f"{stream['users']:,} users")
        axis.set_xlabel("thousand events per second")
        axis.xaxis.set_major_locator(MaxNLocator(6))
        axis.xaxis.set_major_formatter(lambda value, _place: f"{value / 1000:g}")
        axis.margins(x=0.18)
    return figure


def product(measured: Any) -> Any:
    """Processor time of an event by who spends it, and the rate, for each number of users, partitions and workers."""
    runs: dict[str, list[Any]] = {}
    for run in measured:
        what = f"{run['users']:,} users\n{run['partitions']} partitions\n{run['workers']} worker(s)"
        runs.setdefault(what, []).append(run)
    figure, (rates, used) = plt.subplots(1, 2, figsize=(11, 4.2))
    names = list(runs)
    for place, name in enumerate(names):
        each = sorted(run["events"] / run["seconds"] for run in runs[name])
        rates.bar(place, each[len(each) // 2], color=OURS, width=0.6)
        rates.plot([place, place], [each[0], each[-1]], color="#333")
    bottom = [0.0] * len(names)
    for part, colour in (("workers", OURS), ("broker", OTHERS), ("redis", PALE)):
        spent = [_median([run["processor"][part] / run["events"] * 1e6 for run in runs[name]]) for name in names]
        used.bar(range(len(names)), spent, 0.6, bottom=bottom, color=colour, label=part)
        bottom = [low + more for low, more in zip(bottom, spent, strict=True)]
    for axis, title in ((rates, "events per second"), (used, "processor time of an event, us")):
        axis.set_xticks(range(len(names)), names)
        axis.set_title(title)
    used.legend(frameon=False)
    return figure


def latency(measured: Any) -> Any:
    """Share of the warnings that a consumer has within so many milliseconds of the event's due time, by rate."""
    figure, axis = plt.subplots(figsize=(8, 4.2))
    for number, one in enumerate(measured):
        bounds, counts = zip(*one["histogram"], strict=True)
        total, so_far, shares = sum(counts), 0, list[float]()
        for count in counts:
            so_far += count
            shares.append(so_far / total)
        axis.step(bounds, shares, where="post", label=f"{one['rate']:,.0f} events/s", color=f"C{number}")
    axis.set_xscale("log")
    axis.set_xlim(1, 10_000)
    axis.set_xlabel("milliseconds until a consumer has the warning")
    axis.set_ylabel("share of the warnings")
    axis.grid(color=PALE)
    axis.legend(frameon=False)
    return figure


def scale(measured: Any) -> Any:
    """Redis's memory per user, and the time until workers work, by the number of users."""
    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(11, 4.2))
    users = [one["users"] for one in measured]
    memory.plot(users, [one["redis_bytes"] for one in measured], "o-", color=OURS, label="Redis's memory")
    memory.plot(users, [one["packed_bytes"] for one in measured], "--", color=OTHERS, label="the packed record")
    memory.set_title("bytes per user")
    seconds.plot(users, [one["start_seconds"] for one in measured], "o-", color=OURS, label="a worker starts")
    seconds.plot(users, [one["join_seconds"] for one in measured], "s--", color=OTHERS, label="a second one joins")
    seconds.set_title("seconds until all partitions work")
    for axis in (memory, seconds):
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("users")
        axis.grid(color=PALE)
        axis.legend(frameon=False)
    return figure


PLOTS: dict[str, Callable[[Any], Any]] = {
    "standard": standard,
    "product": product,
    "latency": latency,
    "scale": scale,
}


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what is there; returns 1 where nothing is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, help="where the JSON files lie")
    parser.add_argument("pictures", type=Path, help="where the SVG files go")
    given = parser.parse_args(arguments)
    # No dates and no random ids: the same figures make the same file.
    plt.rcParams.update({"svg.hashsalt": "duewatch", "svg.fonttype": "none", "font.family": "sans-serif"})
    drawn = 0
    for name, draw in PLOTS.items():
        source = given.measured / f"{name}.json"
        if source.exists():
            figure = draw(json.loads(source.read_text()))
            figure.tight_layout()
            figure.savefig(given.pictures / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            print(given.pictures / f"{name}.svg")
            drawn += 1
    if not drawn:
        print(f"{given.measured} has none of {', '.join(f'{name}.json' for name in PLOTS)}")
    return 0 if drawn else 1


if __name__ == "__main__":
    raise SystemExit(main())
