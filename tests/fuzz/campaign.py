"""Many records through the decoder and what follows it, in parts that give the same whatever does them."""

import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context

from messages.columns import Events
from tests.fuzz import corpus, deciding, decoding, documents, stored
from tests.fuzz.decoding import Broken
from tests.fuzz.records import TOPICS, Generator

#: Records of one part; each part has a seed of its own.
PART = 20_000
_BATCHES = (1, 2, 7, 63, 64, 65, 128, 200, 500)
#: So many accepted events are decided, then so many times as many are not: deciding twice costs ten times decoding.
DECIDED, SKIPPED = 1_000, 29


@dataclass
class Report:
    """What became of the records, by topic and "accepted" or error class, and what did not hold."""

    records: int = 0
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {topic: Counter() for topic in TOPICS})
    decided: int = 0
    decisions: int = 0
    cpu_seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # "target accepted" and "target refused"

    def add(self, other: "Report") -> None:
        """Take in another part's report."""
        self.records += other.records
        for topic, outcomes in other.outcomes.items():
            self.outcomes[topic] += outcomes
        self.decided += other.decided
        self.decisions += other.decisions
        self.cpu_seconds += other.cpu_seconds
        self.broken += other.broken
        self.others += other.others

    @property
    def accounted(self) -> int:
        """Records that were accepted or refused."""
        return sum(outcomes.total() for outcomes in self.outcomes.values())

    def lines(self) -> Iterator[str]:
        """A table of rates by topic and outcome."""
        kinds = [kind for kind, _ in sum(self.outcomes.values(), Counter[str]()).most_common()]
        yield f"{'topic':15}{'records':>10}" + "".join(f"{kind:>23}" for kind in kinds)
        for topic, outcomes in [*self.outcomes.items(), ("all", sum(self.outcomes.values(), Counter[str]()))]:
            total = outcomes.total()
            shares = "".join(f"{outcomes[kind]:>13,} {outcomes[kind] / max(total, 1):>8.2%}" for kind in kinds)
            yield f"{topic:15}{total:>10,}{shares}"


def run(records: int, seed: int, processes: int) -> Iterator[Report]:
    """The report of each part of a campaign, in order; the same for the same seed and number of records."""
    parts = [(seed, number, min(PART, records - number * PART)) for number in range(-(-records // PART))]
    if processes == 1:
        yield from map(run_part, parts)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(run_part, parts)


def run_part(part: tuple[int, int, int]) -> Report:
    """Part `number` of a campaign: `size` records."""
    seed, number, size = part
    began = time.process_time()
    report, chance = Report(), random.Random(seed * 1_000_003 + number)
    generator = Generator(chance.getrandbits(64))
    waiting: list[Events] = []
    skip = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while report.records < size:
            batch = generator.batch(min(chance.choice(_BATCHES), size - report.records))
            report.records += len(batch)
            try:
                checked = decoding.check(batch)
            except Broken as broken:
                _keep(report, broken, corpus.DECODER, number)
                continue
            report.outcomes[batch[0].topic] += checked.outcomes
            skip -= len(checked.events)
            if skip <= 0:
                waiting.append(checked.events)
            if sum(map(len, waiting)) >= DECIDED or (report.records >= size and waiting):
                _decide(report, waiting, chance)
                waiting, skip = [], DECIDED * SKIPPED
                generator.renew()
    report.cpu_seconds = time.process_time() - began
    return report


def _decide(report: Report, waiting: list[Events], chance: random.Random) -> None:
    report.decided += sum(map(len, waiting))
    try:
        report.decisions += deciding.check(waiting, chance)
    except Exception as error:
        report.broken.append(f"deciding: {error!r}")


def _keep(report: Report, broken: Broken, target: str, number: int) -> None:
    report.broken.append(str(broken))
    if broken.record is not None:
        corpus.add(target, f"found in part {number}", corpus.of_record(broken.record))
        report.outcomes[broken.record.topic]["broken"] += 1


def run_others(count: int, seed: int) -> Report:
    """`count` values for every other target, and a fortieth of that for the slow ones that parse YAML."""
    report = Report()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for target in stored.TARGETS:
            for i in range(count // 40 if target == "policies" else count):
                value = stored.value_of(target, seed * 1_000_003 + i)
                try:
                    report.others[f"{target} {'accepted' if stored.check(target, value) else 'refused'}"] += 1
                except Broken as broken:
                    report.broken.append(str(broken))
                    corpus.add(target, "found", {"value": corpus.of_bytes(value)})
        for i in range(count // 40):
            text = documents.text_of(seed * 1_000_003 + i)
            try:
                accepted = documents.check(text, random.Random(i))
                report.others[f"policy {'accepted' if accepted else 'refused'}"] += 1
            except Broken as broken:
                report.broken.append(str(broken))
                value = text.encode("utf-8", "surrogatepass")
                corpus.add(corpus.POLICY, "found", {"value": corpus.of_bytes(value)})
    return report


def say(text: str) -> None:
    """One line for the person who looks on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
