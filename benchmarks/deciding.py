"""What deciding costs: by event, by decision, by call, and how it grows with the conditions and features of a policy.

`python -m benchmarks.deciding` decides the mix of `benchmarks.book`, in processor time, so that others on the machine
disturb less; the best of several rounds counts. `kernel` advances the records, `judging` looks at every event's row in
columns, and `decisions` are what the rows that decide something add, up to the bytes that are published.
"""

import argparse
import gc
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml

import decisions.decide
import policy.judge
from app.kernels import DECIDING
from benchmarks import book
from benchmarks.decoding import batches_of
from decisions.in_force import InForce
from features.catalogue import RECORD_FEATURES
from features.kernel import compile_kernels
from features.market import Market
from messages.columns import Events
from messages.decoding import Decoder
from messages.money import Money
from messages.outputs import SEVERITIES
from policy.policy import Policy, default_text, load, load_default
from replay.engine import Book
from replay.preparing import Rows
from scoring.scorecard import Scorecard

USERS = 5_000
SIZES = (8_000, 1_000, 100, 10)
CONDITIONS = (5, 25, 50, 100)
#: Features that a policy of a hundred conditions reads.
READ = (20, 40, 60, 80, 100)
ROUNDS = 3
#: Calls of small batches that are looked at: their cost hardly differs.
MOST_CALLS = 500
#: What a condition is made of: no row holds it, and none of its parts can be left out.
FEATURES = ("spend_sum_7d", "spend_sum_30d", "spend_sum_90d", "owed", "repaid_90d", "income_estimate", "fund_months")


@dataclass
class Spent:
    """Seconds of processor time by part, over so many events, decisions and calls."""

    kernel: float = 0.0
    decisions: float = 0.0
    total: float = 0.0
    events: int = 0
    decided: int = 0
    calls: int = 0

    @property
    def judging(self) -> float:
        """What is neither the kernel's nor a decision's."""
        return self.total - self.kernel - self.decisions


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deciding", description=__doc__)
    parser.add_argument("--events", type=int, default=80_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write there how many times as much the most costs")
    given = parser.parse_args(argv)
    compile_kernels(*DECIDING)
    opening, life = list(book.opening(USERS)), list(book.life(USERS, given.events))
    opened = list(decoded(opening, 8_000))
    gc.collect()
    gc.freeze()

    print(f"{USERS:,} users; us of processor time")
    print(f"\n{'events a call':>14}{'kernel':>9}{'judging':>9}{'total':>9} an event{'a decision':>13}", end="")
    print(f"{'judging a call':>16}{'decisions':>11}")
    for size in SIZES:
        some = list(decoded(life[: MOST_CALLS * size], size))
        spent = best(load_default(), opened, some)
        each, call = 1e6 / spent.events, 1e6 / spent.calls
        print(f"{size:>14,}{spent.kernel * each:>9.2f}{spent.judging * each:>9.2f}{spent.total * each:>9.2f}", end="")
        print(f"{spent.decisions / spent.decided * 1e6:>22.1f}{spent.judging * call:>16.0f}", end="")
        print(f"{spent.decided / spent.events:>11.1%}")

    print(f"\n{'conditions':>14}{'judging an event':>18}{'times':>7}{'judging a call of 10':>22}{'times':>7}")
    large, small = list(decoded(life, 8_000)), list(decoded(life[: MOST_CALLS * 10], 10))
    conditions = growth({count: with_conditions(count) for count in CONDITIONS}, opened, large, small)
    print(f"\n{'features read':>14}{'judging an event':>18}{'times':>7}{'judging a call of 10':>22}{'times':>7}")
    features = growth({count: reading(count) for count in READ}, opened, large, small)
    if given.json:
        given.json.write_text(json.dumps({"conditions": conditions, "features": features}) + "\n")
    return 0


def growth(
    policies: Mapping[int, Policy], opened: Sequence[Events], large: Sequence[Events], small: Sequence[Events]
) -> float:
    """Print what judging costs under each of `policies`, and how many times what it costs under the first.

    Returns that of the last: by event or by call, whatever is more.
    """
    first: tuple[float, float] | None = None
    times = 0.0, 0.0
    for count, rules in policies.items():
        one, other = best(rules, opened, large), best(rules, opened, small)
        event, call = one.judging / one.events * 1e6, other.judging / other.calls * 1e6
        first = first or (event, call)
        times = event / first[0], call / first[1]
        print(f"{count:>14}{event:>18.3f}{times[0]:>7.2f}{call:>22.0f}{times[1]:>7.2f}")
    return max(times)


def decoded(published: Sequence[book.Published], size: int) -> Iterator[Events]:
    """The events in batches of `size`, in the order of time."""
    decoder = Decoder(Money())
    for start in range(0, len(published), size):
        events = decoder.decode_many(list(batches_of(published[start : start + size], size))).events
        events = events.take(np.argsort(events.offset, kind="stable"))
        events.offset += start
        yield events


def with_conditions(count: int) -> Policy:
    """The default policy with so many conditions instead of its triggers'."""
    return under(
        f"{FEATURES[i % len(FEATURES)]} >= 0 and {FEATURES[i // len(FEATURES) % len(FEATURES)]} > {10**12 + i}"
        for i in range(count)
    )


def reading(count: int) -> Policy:
    """The default policy with a hundred conditions instead of its triggers', which read so many features."""
    names = [feature.name for feature in RECORD_FEATURES[:count]]
    return under(f"{names[i % count]} > {10**12 + i}" for i in range(max(READ)))


def under(conditions: Iterable[str]) -> Policy:
    """The default policy with these conditions instead of its triggers', up to four levels to a trigger."""
    plain, conditions = yaml.safe_load(default_text()), list(conditions)
    plain["triggers"] = [
        {
            "id": number + 1,
            "name": f"rule_{number}",
            "levels": [
                {"severity": severity, "when": when}
                for severity, when in zip(SEVERITIES, conditions[4 * number : 4 * number + 4], strict=False)
            ],
            "action": "none",
            "reason": {"en": "Never.", "zh": "从不。"},
        }
        for number in range((len(conditions) + 3) // 4)
    ]
    return load(yaml.safe_dump(plain, allow_unicode=True))


def best(rules: Policy, opened: Sequence[Events], life: Sequence[Events]) -> Spent:
    """The round in which judging took least; each begins with a new book."""
    return min((run(rules, opened, life) for _ in range(ROUNDS)), key=lambda spent: spent.judging)


def run(rules: Policy, opened: Sequence[Events], life: Sequence[Events]) -> Spent:
    """Decide the opening of the accounts, then their life, which is timed."""
    work = Work(rules)
    for events in opened:
        work.off(events)
    spent = Spent()
    with timed() as seconds:
        for events in life:
            begin = time.thread_time()
            spent.decided += work.off(events)
            spent.total += time.thread_time() - begin
    spent.events, spent.calls = sum(map(len, life)), len(life)
    spent.kernel, spent.decisions = seconds["advance_each"], seconds["decide"] + seconds["seal"]
    return spent


class Work:
    """A book and how far it has got."""

    def __init__(self, rules: Policy) -> None:
        self.in_force = InForce(rules, Scorecard(), Market())
        self.book, self.rows, self.watermark = Book(), Rows(), 0

    def off(self, events: Events) -> int:
        """Decide one batch; returns the number of decisions."""
        events.columns["row"], opened = self.rows.of(events.users)
        self.book.open(opened)
        latest = int(events.columns["time"].max()) - self.in_force.policy.terms.allowed_lateness
        due = self.book.due(max(self.watermark, latest))
        outcome = decisions.decide.decide(
            self.book.records, events, self.book.users, self.in_force, self.watermark, rows_due=due
        )
        self.watermark = outcome.watermark
        self.book.settle(outcome.touched, outcome.retired)
        return len(outcome.decisions)


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds spent in the parts of deciding, by the name of the function."""
    seconds: dict[str, float] = defaultdict(float)

    def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begin = time.thread_time()
            result = function(*arguments, **named)
            seconds[name] += time.thread_time() - begin
            return result

        return call

    with ExitStack() as patches:
        parts = ((decisions.decide, "advance_each"), (decisions.decide, "seal"), (policy.judge._Batch, "decide"))
        for owner, name in parts:
            patches.enter_context(patch.object(owner, name, around(name, getattr(owner, name))))
        yield seconds


if __name__ == "__main__":
    raise SystemExit(main())
