"""What decoding costs: with the scanner and by the validators alone, by topic and by size of batch.

    python -m benchmarks.decoding

Decodes the mix of `benchmarks.book`. Both ways take turns on the same records; processor time is measured, and the best
of several rounds counts.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks import book
from features.kernel import compile_kernels
from messages.columns import Events, Source
from messages.decoding import DAY_MS, Decoder
from messages.money import Money
from messages.records import RawRecords, Record
from messages.scanner import Scanner
from messages.validating import Validators

USERS = 5_000
ROUNDS = 5
SIZES = (1, 10, 100, 2_000, 8_000)
_DECODER = Decoder(Money())
_SCANNER = Scanner(Money(), DAY_MS)
_VALIDATORS = Validators(Money(), DAY_MS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    given = parser.parse_args()
    compile_kernels()
    published = [*book.opening(USERS), *book.life(USERS, given.events)]
    gc.collect()
    gc.freeze()
    print(f"{len(published):,} events of {USERS:,} users; us of processor time\n")
    print(f"{'whole mix':24}{'events':>9}{'a call':>9}{'an event':>10}{'validators':>12}{'times':>7}{'doubtful':>10}")
    for size in SIZES:
        some = published[2 * USERS :][: min(given.events, 2_000 * size)]
        report(f"{size:,} of a topic", list(batches_of(some, size)))
    print("\n8,000 of each topic")
    for topic in dict.fromkeys(one.topic for one in published):
        report(topic, list(batches_of([one for one in published if one.topic == topic], 8_000)))
    print("\n8,000 of all topics together, an event by step")
    steps(published)


def batches_of(published: Sequence[book.Published], size: int) -> Iterator[tuple[Source, RawRecords]]:
    """`size` events of a topic at a time, and what is left of each; offsets are counted over all topics."""
    waiting: dict[str, list[Record]] = {}
    for offset, one in enumerate(published):
        records = waiting.setdefault(one.topic, [])
        records.append(Record(one.value, one.key, offset))
        if len(records) == size:
            yield Source(one.topic, 0), RawRecords.of(waiting.pop(one.topic))
    for topic, records in waiting.items():
        yield Source(topic, 0), RawRecords.of(records)


def report(name: str, batches: Sequence[tuple[Source, RawRecords]]) -> None:
    """A line: the scanner's way, the validators' way, and how many records the scanner leaves to them."""
    events = sum(len(records) for _, records in batches)
    doubtful = sum(int(np.count_nonzero(~_SCANNER.scan([batch]).accepted)) for batch in batches)
    fast, slow = best(
        lambda: [_DECODER.decode(*batch) for batch in batches],
        lambda: [_VALIDATORS.validate(*batch) for batch in batches],
    )
    call, each, otherwise = fast / len(batches) * 1e6, fast / events * 1e6, slow / events * 1e6
    share = doubtful / events
    print(f"{name:24}{events:>9,}{call:>9,.0f}{each:>10.2f}{otherwise:>12.2f}{slow / fast:>7.1f}{share:>10.2%}")


def steps(published: Sequence[book.Published]) -> None:
    """What comes before and after: records as columns, the topics as one batch in order, and who the users are."""
    chunks = [published[start : start + 8_000] for start in range(0, len(published), 8_000)]
    records = [[Record(one.value, one.key, offset) for offset, one in enumerate(chunk)] for chunk in chunks]
    batches = [list(batches_of(chunk, 8_000)) for chunk in chunks]
    decoded = [[_DECODER.decode(*batch).events for batch in each] for each in batches]
    joined = [Events.concatenate(parts) for parts in decoded]
    orders = [np.argsort(events.offset, kind="stable") for events in joined]
    ways: dict[str, Callable[[], object]] = {
        "records as columns": lambda: [RawRecords.of(each) for each in records],
        "decode": lambda: [_DECODER.decode(*batch) for each in batches for batch in each],
        "join the topics": lambda: [Events.concatenate(parts) for parts in decoded],
        "put in order": lambda: [events.take(order) for events, order in zip(joined, orders, strict=True)],
        "name the users": lambda: [list(events.users) for events in joined],
    }
    for name, seconds in zip(ways, best(*ways.values()), strict=True):
        print(f"{name:24}{len(published):>9,}{seconds / len(published) * 1e6:>19.2f}")


def best(*ways: Callable[[], object]) -> list[float]:
    """Seconds of processor time of each way, at its best of several rounds in turn."""
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for way in ways:
            begin = time.process_time()
            way()
            taken.append(time.process_time() - begin)
        rounds.append(taken)
    return [min(column) for column in zip(*rounds, strict=True)]


if __name__ == "__main__":
    main()
