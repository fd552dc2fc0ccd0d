"""How fast `duewatch replay` works off a file: events a second, and microseconds of processor time an event by stage.

    python -m benchmarks.replaying
    python -m benchmarks.replaying --users 5000 --events 300000

Replays a synthetic book (`benchmarks/book.py`) without learning and without files to write. What is timed begins once
all accounts are open. `the rest` is finding users' rows, putting events in order, and counting.
"""

import argparse
import gc
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from app.core import decoder, first_in_force
from app.kernels import DECIDING
from app.settings import load_settings
from benchmarks import book
from decisions.decide import decide
from features.kernel import compile_kernels
from messages.message import Message
from messages.verdict import Refusal
from replay import engine as engine_module
from replay.engine import Engine
from replay.files import FileRecord, chunks, route_all
from replay.sinks import ScoreRows

SIZE = 8_000
STAGES = ("read", "route", "decode", "decide")


class _Nowhere:
    def decisions(self, messages: Sequence[Message]) -> None:
        pass

    def scores(self, rows: ScoreRows) -> None:
        pass

    def dead_letters(self, refusals: Sequence[Refusal]) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[5_000, 500_000])
    parser.add_argument("--events", type=int, default=400_000)
    given = parser.parse_args()
    compile_kernels(*DECIDING)
    print(f"{'users':>8}{'events/s':>10}" + "".join(f"{name:>11}" for name in (*STAGES, "the rest", "decisions")))
    for users in given.users:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "book.jsonl")
            with path.open("wb") as file:
                events = itertools.chain(book.opening(users), book.life(users, given.events))
                file.writelines(event.value + b"\n" for event in events)
            _measure(path, users)


def _measure(path: Path, users: int) -> None:
    settings, spent = load_settings(), dict[str, float]()
    engine = Engine(first_in_force(settings), decoder(settings), _Nowhere(), wants_scores=False)
    whole: Any = engine
    whole._decoder.decode_many = _timed(whole._decoder.decode_many, spent, "decode")
    parts: Any = engine_module
    parts.route_all, parts.decide = _timed(route_all, spent, "route"), _timed(decide, spent, "decide")
    gc.collect()
    gc.freeze()
    began, used, before, decided = time.perf_counter(), time.process_time(), 0, 0
    for batch in _reading(chunks(path, SIZE), spent):
        if engine.tally.records >= 2 * users and not before:
            before = engine.tally.records
            decided = engine.tally.counts.total()
            spent.clear()
            began, used = time.perf_counter(), time.process_time()
        engine.feed(batch)
    events = engine.tally.records - before
    total = time.process_time() - used
    stages = [spent.get(name, 0.0) for name in STAGES]
    columns = "".join(f"{seconds / events * 1e6:11.2f}" for seconds in stages)
    rest = (total - sum(stages)) / events * 1e6
    share = (engine.tally.counts.total() - decided) / events
    print(f"{users:8,}{events / (time.perf_counter() - began):10,.0f}{columns}{rest:11.2f}{share:11.1%}")


def _reading(batches: Iterator[list[FileRecord]], spent: dict[str, float]) -> Iterator[list[FileRecord]]:
    following = _timed(lambda: next(batches, None), spent, "read")
    while batch := following():
        yield batch


def _timed(function: Callable[..., Any], spent: dict[str, float], stage: str) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[stage] = spent.get(stage, 0.0) + time.process_time() - began

    return timed


if __name__ == "__main__":
    main()
