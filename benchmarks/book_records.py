"""Records as they are after a life of some weeks, for benchmarks that need many users and not their events."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from benchmarks.book import life, opening
from decisions.in_force import InForce
from features.market import Market
from features.packing import pack
from messages.decoding import Decoder
from messages.message import Message
from messages.money import Money
from messages.verdict import Refusal
from policy.policy import load_default
from replay.engine import Engine, replay
from replay.files import FileRecord
from replay.preparing import Preparing
from replay.sinks import ScoreRows
from scoring.scorecard import Scorecard

BATCH = 8_000


@dataclass(frozen=True)
class Lived:
    """Packed records, and the time of each one's next timer (s; 0: none)."""

    records: list[bytes]
    timers: list[int]

    @property
    def packed_bytes(self) -> float:
        """Bytes of a record, on average."""
        return sum(map(len, self.records)) / len(self.records)


class Nowhere:
    """A sink of replays that keeps nothing."""

    def decisions(self, messages: Sequence[Message]) -> None:
        """Drop them."""

    def scores(self, rows: ScoreRows) -> None:
        """Drop them."""

    def dead_letters(self, refusals: Sequence[Refusal]) -> None:
        """There must be none."""
        assert not refusals


def lived(users: int, events_per_user: int) -> Lived:
    """The records of so many users of the book after so many events each, on average."""
    in_force = InForce(load_default(), Scorecard(), Market())
    engine = Engine(in_force, Nowhere(), wants_scores=False)
    events = list(chain(opening(users), life(users, users * events_per_user)))
    rows = [FileRecord(event.value, None, row) for row, event in enumerate(events)]
    preparing = Preparing(Decoder(Money()))
    replay(engine, (preparing.prepare(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)))
    records = engine.book.records[:users]
    return Lived(pack(records), records["next_timer"].tolist())
