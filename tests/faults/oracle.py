"""The oracle: what a run had to lead to, recomputed from the topics alone, against what it published and stored."""

import asyncio
import json
import logging
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core import money
from app.settings import Settings
from features.catalogue import FEATURES, INDEX
from features.packing import pack, unpack
from features.reading import read
from features.record import RECORD
from store.contract import TopicPosition
from tests.faults.findings import Findings
from tests.faults.logs import Incarnation, Kept, Log, Logs, Publication, read_logs
from tests.faults.recount import Expected, Recount, Recounted, Undecidable, check_chain, entries_of, grouped
from tests.oracle.naive import features_of

RECORD_FEATURES = [feature.name for feature in FEATURES if feature.owner == "record"]
_RECORD_COLUMNS = [INDEX[name] for name in RECORD_FEATURES]
_TOLERANCE = 1e-9
#: Events decided at once.
TOGETHER = 4_000

Saved = Mapping[Incarnation, Mapping[int, Iterable[Kept]]]


async def compare(settings: Settings, *, sample: int = 2000, saved: Saved | None = None) -> Findings:
    """Compare a finished run with its recomputation; a process per partition, as many at a time as there are cores.

    `settings` are the workers'. `sample` users are recomputed without the kernels, too. `saved` has the records of
    topics that were deleted and created anew: by topic and epoch, then by partition.
    """
    begun, findings = time.monotonic(), Findings()
    of_each = -(-sample // settings.partitions)
    logs_of: list[dict[Incarnation, Log]] = [
        {name: Log(0, by_partition.get(number, ())) for name, by_partition in (saved or {}).items()}
        for number in range(settings.partitions)
    ]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [
            loop.run_in_executor(pool, _compare_partition, settings, number, of_each, logs_of[number])
            for number in range(settings.partitions)
        ]
        for part in await asyncio.gather(*parts):
            findings.add(part)
    findings.seconds = time.monotonic() - begun
    return findings


def _compare_partition(settings: Settings, number: int, sample: int, saved: Mapping[Incarnation, Log]) -> Findings:
    # The workers have said already which policies they refuse.
    logging.getLogger("agents.broadcasts").setLevel(logging.CRITICAL)
    return audit(settings, asyncio.run(read_logs(settings, number, saved)), sample)


def audit(settings: Settings, logs: Logs, sample: int, together: int = TOGETHER) -> Findings:
    """Compare one partition; batches are decided `together` up to so many events.

    Where that shows a difference, all is done once more with the batches as the journal cuts them.
    """
    begun = time.monotonic()
    findings = _audit(settings, logs, sample, together)
    if findings.total and together:
        exact = _audit(settings, logs, sample, 0)
        if not exact.total:
            exact.differs(f"partition {logs.partition}: cut into larger batches, it differs: {findings.differences[0]}")
        findings = exact
    findings.seconds = time.monotonic() - begun
    return findings


def _audit(settings: Settings, logs: Logs, sample: int, together: int) -> Findings:
    findings = Findings()
    entries = entries_of(logs, findings)
    check_chain(logs, entries, findings)
    findings.journal_entries = len(entries)
    findings.records = sum(len(log) for log in logs.inputs.values())
    findings.users = len(logs.stored.records)
    recount = Recount(settings, logs, findings, share=sample / max(1, findings.users))
    found = recount.found
    try:
        for group in grouped(entries, together):
            recount.decide(group)
    except Undecidable as error:
        findings.differs(f"partition {logs.partition} cannot be decided again from here on: {error}")
    findings.dead_letters = len(found.letters)
    accounted = findings.applied + findings.duplicates + findings.dead_letters
    if accounted != findings.records:
        findings.differs(f"partition {logs.partition}: {findings.records} records, {accounted} accounted for")
    _compare_published(logs, found, findings)
    _compare_stored(logs, found, findings)
    if entries:
        _compare_header(logs, found, entries[-1], findings)
    _compare_without_kernels(settings, logs, found, findings)
    return findings


# --- what was published


def _compare_published(logs: Logs, found: Recounted, findings: Findings) -> None:
    findings.decisions, findings.published = len(found.decided), len(logs.published)
    findings.repeated = _compare_messages(found.decided, logs.published, findings)
    findings.letters_repeated = _compare_messages(found.letters, logs.letters, findings)
    for message in logs.published:
        if message.partition != (0 if message.topic == "training-examples" else logs.partition):
            findings.differs(f"{message.topic}: {message.id} lies in partition {message.partition}")
    _compare_order(logs, found, findings)


def _compare_messages(expected: Mapping[str, Expected], published: list[Publication], findings: Findings) -> int:
    """All of `expected`, and nothing else, in the same words; returns how many came once more."""
    came: set[str] = set()
    for message in published:
        came.add(message.id)
        wanted, where = expected.get(message.id), f"{message.topic}[{message.partition}], offset {message.offset}"
        if wanted is None or wanted.topic != message.topic:
            findings.differs(f"{where}: {message.id} had not to be published")
            continue
        pairs = zip(
            ("key", "value", "headers"), wanted.hashes, (message.key, message.value, message.headers), strict=True
        )
        other = [name for name, want, got in pairs if want != got]
        if other:
            findings.differs(f"{where}: {message.id} has another {' and '.join(other)}")
    for identity in expected.keys() - came:
        findings.differs(f"{expected[identity].topic}: {identity} for {expected[identity].key!r} was not published")
    return len(published) - len(came)


def _compare_order(logs: Logs, found: Recounted, findings: Findings) -> None:
    """A user's decisions have to be published in the order decided, if need be once more after a failure."""
    wanted: defaultdict[tuple[str, bytes], list[str]] = defaultdict(list)
    for identity, expected in found.decided.items():
        wanted[expected.topic, expected.key].append(identity)
    got: defaultdict[tuple[str, bytes], list[str]] = defaultdict(list)
    for message in sorted(logs.published, key=lambda message: (message.topic, message.offset)):
        if message.id in found.decided:
            got[message.topic, found.decided[message.id].key].append(message.id)
    for (topic, key), identities in got.items():
        came = set(identities)
        order = [identity for identity in wanted[topic, key] if identity in came]
        if list(dict.fromkeys(identities)) == order:
            continue
        findings.reordered += 1
        rest = iter(identities)
        if not all(identity in rest for identity in order):
            findings.differs(f"{topic}: decisions for {key!r} were never published in the order decided")


# --- what is stored


def _compare_stored(logs: Logs, found: Recounted, findings: Findings) -> None:
    book, stored = found.book, logs.stored
    rows = np.flatnonzero(book.records["events"][: len(book.users)])
    wanted = dict(zip((book.users[row] for row in rows.tolist()), pack(book.records[rows]), strict=True))
    for user in sorted(wanted.keys() | stored.records.keys()):
        if user not in stored.records:
            findings.differs(f"user {user}: no record is stored")
        elif user not in wanted:
            findings.differs(f"user {user}: a record is stored, there should be none")
        elif wanted[user] != stored.records[user]:
            findings.differs(f"user {user}: the stored record differs: {_fields(wanted[user], stored.records[user])}")
    timers = dict(zip(book.users, book.timers[: len(book.users)].tolist(), strict=True))
    _compare_maps("timer", {user: when for user, when in timers.items() if when}, stored.timers, findings)
    _compare_maps("limit", found.limits, stored.limits, findings)


def _fields(wanted: bytes, stored: bytes) -> str:
    records = np.zeros(2, RECORD)
    try:
        unpack([wanted, stored], records)
    except ValueError as error:
        return str(error)
    names = [name for name in RECORD.names or () if (records[name][0] != records[name][1]).any()]
    return ", ".join(f"{name} {records[name][1]} not {records[name][0]}" for name in names[:3]) or "its packing"


def _compare_maps(name: str, wanted: Mapping[str, Any], stored: Mapping[str, Any], findings: Findings) -> None:
    for user in sorted(wanted.keys() | stored.keys()):
        if wanted.get(user) != stored.get(user):
            findings.differs(f"user {user}: the stored {name} is {stored.get(user)}, not {wanted.get(user)}")


def _compare_header(logs: Logs, found: Recounted, last: Any, findings: Findings) -> None:
    header, where = logs.stored.header, f"partition {logs.partition}"
    told = (header.commits, header.watermark, header.clock, header.policy, header.market, header.model)
    wanted = (last.number, found.watermark, last.clock, last.policy, last.market, last.model)
    if told != wanted:
        findings.differs(f"{where}: the stored header says {told}, the journal {wanted}")
    position = {piece.topic: TopicPosition(piece.end, piece.epoch) for piece in last.topics}
    if dict(logs.stored.position) != position:
        findings.differs(f"{where}: the stored position is {dict(logs.stored.position)}, not {position}")


# --- what does not rest on the kernels


def _compare_without_kernels(settings: Settings, logs: Logs, found: Recounted, findings: Findings) -> None:
    """Applied events of every user, told by their ids; and all record features of sampled users."""
    records = _unpacked(logs, findings)
    distinct = _distinct(found)
    row_of = {user: row for row, user in enumerate(found.book.users)}
    for user, record in records.items():
        row = row_of.get(user)
        applied = int(distinct[row]) if row is not None else 0
        if user not in found.unfit and applied != int(record["events"]):
            findings.differs(f"user {user}: {record['events']} events applied, the topics have {applied}")
    if found.in_force is None:
        return
    terms, market, book_money = found.in_force.policy.terms, found.in_force.market, money(settings)
    for user, life in found.lives.items():
        if user in found.unfit or user not in records:
            continue
        findings.checked += 1
        record = records[user]
        at = int(record["last_seen"])
        got = read(record[None], np.array([at]), terms, market)[0]
        want = features_of([json.loads(value) for value in life], at, terms, market, book_money)
        given = got[_RECORD_COLUMNS]
        wanted = np.array([want[name] for name in RECORD_FEATURES])
        for i in np.flatnonzero(~np.isclose(given, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)).tolist():
            findings.differs(f"user {user}: {RECORD_FEATURES[i]} is {given[i]}, recomputed {wanted[i]}")


def _unpacked(logs: Logs, findings: Findings) -> dict[str, Any]:
    records = {}
    for user, packed in logs.stored.records.items():
        record = np.zeros(1, RECORD)
        try:
            unpack([packed], record)
        except ValueError as error:
            findings.differs(f"user {user}: {error}")
        else:
            records[user] = record[0]
    return records


def _distinct(found: Recounted) -> NDArray[np.int64]:
    """By row the number of different event ids."""
    size = len(found.book.users)
    if not found.seen:
        return np.zeros(size, np.int64)
    seen = np.concatenate(found.seen)
    order = np.lexsort((seen["event"], seen["row"]))
    rows, ids = seen["row"][order], seen["event"][order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (ids[1:] != ids[:-1])
    return np.bincount(rows[new], minlength=size)
