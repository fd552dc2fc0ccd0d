"""What the demo found, read back from the service's topics, store and metrics."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from app.exposition import Sample, total
from app.inspection import in_force_now, load_records, score
from app.kafka import partition_of, read_topics
from app.sending import Sent
from app.settings import Settings
from features.catalogue import INDEX
from replay.report import count_lines
from scoring.evaluation import auc, ks
from store.redis import RedisStore


@dataclass(frozen=True, slots=True)
class Outputs:
    """Messages in the output topics: decisions by topic, label and outcome as metrics count, dead letters by class."""

    decisions: Counter[tuple[str, str, str]]
    dead_letters: Counter[str]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well the default probability ranked the clients."""

    clients: int
    defaulted: int
    auc: float
    ks: float
    model: str
    note: str


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that the summary tells."""

    sent: Sent
    samples: list[Sample]
    outputs: Outputs
    ranking: Ranking
    seconds: float

    @property
    def applied(self) -> int:
        """Events applied."""
        return int(total(self.samples, "duewatch_events_total", disposition="applied"))

    @property
    def duplicates(self) -> int:
        """Events dropped because they came again."""
        return int(total(self.samples, "duewatch_events_total", disposition="duplicate"))

    @property
    def accounted(self) -> bool:
        """Whether every published event is applied, a duplicate or a dead letter that can be read."""
        letters = self.outputs.dead_letters.total()
        return self.applied + self.duplicates + letters == self.sent.published


async def read_outputs(settings: Settings) -> Outputs:
    """Count what the service has published."""
    outputs = Outputs(Counter(), Counter())
    topics = ["warnings", "limit-adjustments", "dead-letters"]
    seen: set[str] = set()
    async for record in read_topics(settings, topics, from_start=True, follow=False):
        if record.topic == "dead-letters":
            outputs.dead_letters[dict(record.headers)["error"].decode()] += 1
            continue
        message = json.loads(record.value)
        if message["id"] in seen:
            continue
        seen.add(message["id"])
        if record.topic == "warnings":
            outputs.decisions[record.topic, message["trigger"], message["status"]] += 1
        else:
            outputs.decisions[record.topic, message["direction"], message["direction"]] += 1
    return outputs


async def evaluate(settings: Settings, outcomes: Mapping[str, bool]) -> Ranking:
    """Score all clients as the store has them after their last statement, and hold that against what became of them."""
    in_force, note = await in_force_now(settings)
    by_partition: dict[int, list[str]] = {}
    for user in sorted(outcomes):
        by_partition.setdefault(partition_of(user, settings.partitions), []).append(user)
    labels: list[bool] = []
    probabilities: list[float] = []
    store = RedisStore(settings.redis_address())
    try:
        for number, users in by_partition.items():
            view = store.partition(number)
            records = await load_records(view, users)
            await view.close()
            features = score(records, records["last_seen"].astype(np.int64), in_force)
            probabilities += features[:, INDEX["default_probability"]].tolist()
            labels += [outcomes[user] for user in users]
    finally:
        await store.close()
    truth, scores = np.array(labels), np.array(probabilities)
    return Ranking(len(labels), int(truth.sum()), auc(truth, scores), ks(truth, scores), in_force.model.version, note)


def summary(found: Found, seconds: float) -> Iterator[str]:
    """The summary in Rich's markup, one line each."""
    letters = found.outputs.dead_letters
    sign = "=" if found.accounted else "≠"
    yield ""
    yield f"[bold]Summary[/] after {seconds:.0f} s"
    yield (
        f"events      {found.applied:,} applied + {found.duplicates:,} duplicates + {letters.total():,} dead letters "
        f"{sign} {found.sent.published:,} published"
    )
    rate = found.sent.published / found.seconds
    yield f"throughput  {rate:,.0f} events/s end to end: broker, store, worker, trainer and this program on one machine"
    yield "dead letters " + (", ".join(f"{name} {count}" for name, count in sorted(letters.items())) or "none")
    for line in count_lines(found.outputs.decisions):
        yield f"{line}"
    ranking = found.ranking
    yield f"ranking     AUC {ranking.auc:.3f}, KS {ranking.ks:.3f}: default probability after the September statement"
    yield f"            against the {ranking.defaulted} of {ranking.clients:,} clients that defaulted in October"
    yield f"            (model {ranking.model}, which has learned from due dates missed before)"
    if ranking.note:
        yield ranking.note
    yield ""
    yield "[bold]Next[/]"
    yield "  duewatch demo --keep                                      leave it running, and explore"
    yield "  duewatch replay YOUR-EVENTS.jsonl --scores scores.csv     your own events, without Kafka"
    yield "  duewatch --help                                           everything else"
