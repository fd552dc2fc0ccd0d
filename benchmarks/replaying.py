"""How fast `duewatch replay` works off a file: events a second, and microseconds of processor time an event by stage.

    python -m benchmarks.replaying
    python -m benchmarks.replaying --users 5000 --events 300000 --repeat 3

Replays a synthetic book (`benchmarks/book.py`) without learning and without files to write, by turns in one process and
in two, as the command does with files of this size. What is timed begins once all accounts are open.

`preparing` and `deciding` are all that is done for an event before and while it is decided; with two processes, what
each of them takes, with handing over and taking. Of preparing, `order` is putting events in order and finding the rows
of their users. Events a second are by the clock on the wall.
"""

import argparse
import gc
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from app.core import first_in_force, money
from app.kernels import DECIDING
from app.settings import load_settings
from benchmarks import book
from decisions.decide import decide
from features.kernel import compile_kernels
from messages.decoding import Decoder
from messages.message import Message
from messages.verdict import Refusal
from replay.ahead import Ahead, batches
from replay.engine import Engine
from replay.files import route_all
from replay.preparing import Prepared, Preparing
from replay.sinks import ScoreRows

SIZE = 8_000
COLUMNS = ("read", "route", "decode", "order", "preparing", "decide", "the rest", "deciding")


class _Nowhere:
    def decisions(self, messages: Sequence[Message]) -> None:
        pass

    def scores(self, rows: ScoreRows) -> None:
        pass

    def dead_letters(self, refusals: Sequence[Refusal]) -> None:
        pass


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[5_000, 500_000])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's events a second there")
    given = parser.parse_args(argv)
    compile_kernels(*DECIDING)
    names = "".join(f"{name:>10}" for name in (*COLUMNS, "decisions"))
    print(f"{'users':>8}{'processes':>10}{'events/s':>10}{names}")
    runs = list[dict[str, float]]()
    for users in given.users:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "book.jsonl")
            with path.open("wb") as file:
                events = itertools.chain(book.opening(users), book.life(users, given.events))
                file.writelines(event.value + b"\n" for event in events)
            for _ in range(given.repeat):
                for ahead in (False, True):
                    rate = _measure(path, users, ahead=ahead)
                    runs.append({"users": users, "processes": 1 + ahead, "rate": rate})
    if given.json:
        given.json.write_text(json.dumps(runs, indent=1) + "\n")
    return 0


def _measure(path: Path, users: int, *, ahead: bool) -> float:
    """Replay the file and print what that took; returns events a second."""
    settings, spent = load_settings(), dict[str, float]()
    engine = Engine(first_in_force(settings), _Nowhere(), wants_scores=False)
    with (
        patch("replay.preparing.route_all", _timed(route_all, spent, "route")),
        patch.object(Decoder, "decode_many", _timed(Decoder.decode_many, spent, "decode")),
        patch.object(Preparing, "prepare", _timed(Preparing.prepare, spent, "prepare")),
        patch("replay.engine.decide", _timed(decide, spent, "decide")),
        batches([path], money(settings), SIZE, ahead=ahead) as prepared,
    ):
        following = _timed(lambda: next(prepared, None), spent, "take")
        for batch in iter(following, None):
            engine.work_off(batch)
            if engine.tally.records >= 2 * users:
                break
        gc.collect()
        gc.freeze()
        spent.clear()
        records, decided = engine.tally.records, engine.tally.counts.total()
        began, used = time.perf_counter(), time.process_time()
        # The other process has prepared just those batches that were taken when one has been taken.
        clock, others = _clock_of(prepared), list[tuple[float, int]]()
        for batch in iter(following, None):
            others.append((clock(), batch.count))
            engine.work_off(batch)
        seconds, used = time.perf_counter() - began, time.process_time() - used
    events = engine.tally.records - records
    stages = {name: time / events * 1e6 for name, time in spent.items()}
    stages["deciding"] = used / events * 1e6
    if ahead:
        (first, skipped), (last, _) = others[0], others[-1]
        stages["preparing"] = (last - first) / (events - skipped) * 1e6
    else:
        stages["preparing"] = stages["take"]
        stages["deciding"] -= stages["take"]
        stages["read"] = stages["take"] - stages["prepare"]
        stages["order"] = stages["prepare"] - stages["route"] - stages["decode"]
    stages["the rest"] = stages["deciding"] - stages["decide"]
    columns = "".join(f"{stages[name]:10.2f}" if name in stages else f"{'':10}" for name in COLUMNS)
    share = (engine.tally.counts.total() - decided) / events
    print(f"{users:8,}{1 + ahead:10}{events / seconds:10,.0f}{columns}{share:10.1%}", flush=True)
    return events / seconds


def _clock_of(prepared: Iterator[Prepared]) -> Callable[[], float]:
    """Reads the processor time (s) of the process that prepares, 0 where it is this one."""
    if not isinstance(prepared, Ahead):
        return lambda: 0.0
    # As clock_getcpuclockid(3) makes it of the number of a process.
    clock = ~prepared.process.pid << 3 | 2
    return lambda: time.clock_gettime(clock)


def _timed(function: Callable[..., Any], spent: dict[str, float], stage: str) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.process_time() - began

    return timed


if __name__ == "__main__":
    raise SystemExit(main())
