"""A small book of real accounts with everything in it that a replay has to cope with."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decisions.in_force import InForce
from features.market import Market
from messages.decoding import Decoder
from messages.message import Message
from messages.money import Money
from messages.verdict import Refusal
from policy.policy import default_text, load_default
from replay.engine import Engine
from replay.files import FileRecord
from replay.preparing import Prepared, Preparing
from replay.sinks import ScoreRows
from samples.taiwan import chosen_ids, events
from scoring.learner import Learner
from scoring.scorecard import Scorecard

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "data" / "taiwan-1000.csv.gz"


def book_lines(clients: int = 12) -> list[bytes]:
    """Events of some clients in order of time, with a repeat, bad rows, an indicator and a policy among them."""
    lines = [_line(event) for _, event in events(SAMPLE, set(chosen_ids(SAMPLE, clients)))]
    middle, time = len(lines) // 2, json.loads(lines[len(lines) // 2])["time"]
    indicator = {"type": "market_indicator", "event_id": "m1", "region": "taiwan", "time": time}
    policy = {"type": "policy_published", "event_id": "p1", "name": "default", "time": time, "mode": "active"}
    stricter = default_text().replace("name: default", "name: default  # published once more", 1)
    lines[middle + 40 : middle + 40] = [_line(policy | {"document": stricter})]
    lines[middle + 20 : middle + 20] = [
        lines[middle + 3],
        b"not JSON",
        b'{"type":"purchase"}',
        b'{"type":"unheard_of"}',
    ]
    lines[middle + 10 : middle + 10] = [
        _line(indicator | {"indicator": "unemployment_rate", "value": 9.0, "normal": 4.0})
    ]
    lines[middle:middle] = [_line(policy | {"document": "name: [broken"})]
    return lines


def _line(event: Any) -> bytes:
    return json.dumps(event).encode()


def batches(lines: Sequence[bytes], size: int) -> Iterable[Prepared]:
    """The lines prepared as batches of `size` rows, numbered over all of them."""
    preparing = Preparing(Decoder(Money()))
    for start in range(0, len(lines), size):
        chunk = lines[start : start + size]
        yield preparing.prepare([FileRecord(line, None, row) for row, line in enumerate(chunk, start)])


@dataclass
class Collected:
    """A sink that keeps everything."""

    messages: list[Message] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    rows: io.StringIO = field(default_factory=io.StringIO)

    def decisions(self, messages: Sequence[Message]) -> None:
        self.messages += messages

    def scores(self, rows: ScoreRows) -> None:
        for i, event in enumerate(rows.event_id):
            values = (rows.default_probability[i], rows.spending_anomaly[i], rows.grade[i], rows.limit[i])
            self.rows.write(f"{event},{rows.user_id[i]},{rows.time[i]},{','.join(map(repr, map(float, values)))}\n")

    def dead_letters(self, refusals: Sequence[Refusal]) -> None:
        self.refusals += refusals

    def everything(self) -> bytes:
        """All that came out, as bytes."""
        parts = [message.value for message in self.messages]
        parts += [f"{refusal.offset} {refusal.error} {refusal.message}".encode() for refusal in self.refusals]
        return b"\n".join([*parts, self.rows.getvalue().encode()])


def engine(sink: Collected, *, learning: bool = True) -> Engine:
    """An engine on the shipped policy, whose learner leaves its warm-up early."""
    in_force = InForce(load_default(), Scorecard(), Market())
    learner = Learner(minimum_examples=5, minimum_positives=1) if learning else None
    return Engine(in_force, sink, learner)
