"""What decoding costs: the scanner against the validators alone, over topics and sizes of batches.

`python -m benchmarks.decoding` decodes the mix of `benchmarks.book` in processor time, so that others on the machine
disturb less; both ways take turns on the same records, and the best of several rounds counts.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks import book
from messages.columns import Events, Source
from messages.decoding import DAY_MS, Decoder
from messages.money import Money
from messages.records import RawRecords, Record
from messages.scanner import compile_scanner
from messages.validating import Validators

USERS = 5_000
ROUNDS = 5
SIZES = (1, 10, 100, 2_000, 8_000)
Batch = Sequence[tuple[Source, RawRecords]]
_DECODER = Decoder(Money())
_VALIDATORS = Validators(Money(), DAY_MS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    given = parser.parse_args()
    compile_scanner()
    published = [*book.opening(USERS), *book.life(USERS, given.events)]
    gc.collect()
    gc.freeze()
    print(f"{len(published):,} events of {USERS:,} users; us of processor time per event\n")
    print(f"{'whole mix':24}{'events':>9}{'scanner':>9}{'validators':>12}{'times':>7}{'doubtful':>10}")
    for size in SIZES:
        some = published[2 * USERS :][: min(given.events, 2_000 * size)]
        report(f"batches of {size:,}", list(batches_of(some, size)))
    print("\nby topic, batches of 8,000")
    for topic in dict.fromkeys(one.topic for one in published):
        report(topic, list(batches_of([one for one in published if one.topic == topic], 8_000)))
    print("\nbatches of 8,000, by step")
    steps(list(batches_of(published, 8_000)))


def batches_of(published: Sequence[book.Published], size: int) -> Iterator[Batch]:
    """`size` consecutive events at a time, by topic, their offsets counted over all topics."""
    for start in range(0, len(published), size):
        topics: dict[str, list[Record]] = {}
        for offset, one in enumerate(published[start : start + size], start):
            topics.setdefault(one.topic, []).append(Record(one.value, one.key, offset))
        yield [(Source(topic, 0), RawRecords.of(records)) for topic, records in topics.items()]


def report(name: str, batches: Sequence[Batch]) -> None:
    events = sum(len(records) for batch in batches for _, records in batch)
    calls = [call for batch in batches for call in batch]
    doubtful = sum(np.count_nonzero(~_DECODER._scanner.scan(*call).accepted) for call in calls)
    fast, slow = best(
        lambda: [_DECODER.decode(*call) for call in calls], lambda: [_VALIDATORS.validate(*call) for call in calls]
    )
    each = 1e6 / events
    print(f"{name:24}{events:>9,}{fast * each:>9.2f}{slow * each:>12.2f}{slow / fast:>7.1f}{doubtful / events:>10.2%}")


def steps(batches: Sequence[Batch]) -> None:
    """What follows decoding: the topics of a batch as one, in the order of their offsets, and who the users are."""
    events = sum(len(records) for batch in batches for _, records in batch)
    decoded = [[_DECODER.decode(*call).events for call in batch] for batch in batches]
    joined = [Events.concatenate(parts) for parts in decoded]
    orders = [np.argsort(one.offset, kind="stable") for one in joined]
    todo: Mapping[str, Callable[[], object]] = {
        "records as columns": lambda: [
            RawRecords.of(list(map(Record, records.values, records.keys, records.offsets.tolist())))
            for batch in batches
            for _, records in batch
        ],
        "decode": lambda: [_DECODER.decode(*call) for batch in batches for call in batch],
        "concatenate": lambda: [Events.concatenate(parts) for parts in decoded],
        "take": lambda: [one.take(order) for one, order in zip(joined, orders, strict=True)],
        "list of users": lambda: [list(one.users) for one in joined],
    }
    for name, seconds in zip(todo, best(*todo.values()), strict=True):
        print(f"{name:24}{events:>9,}{seconds / events * 1e6:>9.2f}")


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
