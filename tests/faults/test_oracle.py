"""The oracle agrees with a good run and finds every fault in a spoiled one."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest

from app.settings import Settings
from features.packing import pack, unpack
from features.record import RECORD
from messages.journal import journal_entry
from messages.records import Record as Kept
from policy.policy import load, load_default
from store.contract import TopicPosition
from tests.faults.findings import Findings
from tests.faults.finished import EPOCH, Run
from tests.faults.logs import Log, Logs
from tests.faults.oracle import audit
from tests.faults.stream import Stream

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
SPAN_MS = 150 * DAY_MS
SETTINGS = Settings(partitions=1)
STREAM = Stream(3, 40, START_MS, 4_000, SPAN_MS)


@pytest.fixture(autouse=True, scope="module")
def _policies_read_once() -> Iterator[None]:
    """Reading YAML is most of the time of an audit this small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.broadcasts.load", cache(load))
        patch.setattr("app.core.load_default", cache(load_default))
        yield


@pytest.fixture(scope="module")
def good() -> Logs:
    run = Run(SETTINGS, START_MS + SPAN_MS)
    run.work_off(STREAM)
    return run.finish()


def audited(logs: Logs) -> Findings:
    return audit(SETTINGS, logs, 8, together=0)


def spoiled(good: Logs, spoil: Callable[[Logs], Any]) -> Findings:
    """What the oracle says once the run was spoiled."""
    logs = deepcopy(good)
    spoil(logs)
    return audited(logs)


def test_a_good_run_has_no_differences(good: Logs) -> None:
    found = audited(good)
    assert found.differences == []
    assert found.total == 0
    assert found.records == sum(record.topic not in ("market", "policies") for record in STREAM)
    assert found.applied + found.duplicates + found.dead_letters == found.records
    assert min(found.duplicates, found.late, found.dead_letters, found.checked) > 0
    assert found.decisions == found.published == len(good.published)
    assert "0 differences" in str(found)


def test_larger_batches_come_to_the_same_and_what_differs_is_looked_at_again(good: Logs) -> None:
    found, exact = audit(SETTINGS, good, 8), audited(good)
    assert dataclasses.replace(found, seconds=0) == dataclasses.replace(exact, seconds=0)
    logs = deepcopy(good)
    gone = logs.published.pop(40)
    found = audit(SETTINGS, logs, 8)
    assert found.total == 1
    assert found.differences[0].startswith(f"{gone.topic}: {gone.id} for ")


def test_what_is_published_once_more_is_counted_and_is_no_difference(good: Logs) -> None:
    def repeat(logs: Logs) -> None:
        later = [dataclasses.replace(one, offset=one.offset + 10**6) for one in logs.published[-30:]]
        logs.published += later
        logs.letters.append(logs.letters[0])
        logs.journal.insert(7, logs.journal[3])

    found = spoiled(good, repeat)
    assert (found.repeated, found.letters_repeated, found.reordered, found.total) == (30, 1, 0, 0)


def test_batches_that_only_the_clock_made_and_a_recreated_topic_are_followed() -> None:
    run = Run(SETTINGS, START_MS)
    stream = list(Stream(5, 30, START_MS, 1_500, 600_000))
    users = [record for record in stream if record.topic not in ("market", "policies")]
    run.batch(users[:700], clock=START_MS + 300_000)
    before = len(run.logs.published)
    run.batch([], clock=START_MS + 400_000)
    run.batch([], clock=START_MS + 8 * DAY_MS)
    assert len(run.logs.published) > before
    run.recreate("bills", "second")
    run.batch(users[700:])
    logs = run.finish()
    assert audited(logs).differences == []
    del logs.inputs["bills", EPOCH]
    assert any("were not saved" in text for text in audited(logs).differences)


def test_an_event_that_no_batch_took_is_lost(good: Logs) -> None:
    def append(logs: Logs) -> None:
        log = logs.inputs["purchases", EPOCH]
        (last,) = log.records(log.end - 1, log.end)
        log.append(dataclasses.replace(last, offset=log.end))

    end = good.inputs["purchases", EPOCH].end
    found = spoiled(good, append)
    assert f"purchases[0]: LOST offsets {end} to {end}, which no entry has" in found.differences


def _edited(logs: Logs, index: int, **changes: Any) -> None:
    entry = journal_entry(logs.journal[index])
    logs.journal[index] = json.dumps(entry.model_dump(mode="json") | changes).encode()


def _moved(logs: Logs, index: int, by: int) -> int:
    """Let an entry begin at other offsets of purchases."""
    entry = journal_entry(logs.journal[index]).model_dump(mode="json")
    entry["topics"][0]["begin"] += by
    logs.journal[index] = json.dumps(entry).encode()
    begin: int = entry["topics"][0]["begin"]
    return begin


def test_an_event_that_was_passed_over_is_lost(good: Logs) -> None:
    begins: list[int] = []
    found = spoiled(good, lambda logs: begins.append(_moved(logs, 5, 1)))
    assert f"purchases[0], entry 6: LOST offsets {begins[0] - 1} to {begins[0] - 1}" in found.differences
    assert any("cannot be decided again" in text for text in found.differences)


def test_an_event_that_two_batches_took_was_applied_twice(good: Logs) -> None:
    begins: list[int] = []
    found = spoiled(good, lambda logs: begins.append(_moved(logs, 5, -1)))
    assert f"purchases[0], entry 6: TWICE offsets {begins[0]} to {begins[0]}" in found.differences


def _touch(logs: Logs, change: Callable[[np.void], None]) -> str:
    """Change the stored record of somebody who was never forgotten."""
    user = max(logs.stored.records, key=lambda user: len(logs.stored.records[user]))
    records = np.zeros(1, RECORD)
    unpack([logs.stored.records[user]], records)
    change(records[0])
    (logs.stored.records[user],) = pack(records)
    return user


def test_a_record_to_which_an_event_was_applied_twice_is_found_without_the_kernels_too(good: Logs) -> None:
    def twice(record: np.void) -> None:
        record["events"] += 1
        record["purchases"] += 1

    found = spoiled(good, lambda logs: _touch(logs, twice))
    assert any("the stored record differs: " in text for text in found.differences)
    assert any("events applied, the topics have" in text for text in found.differences)


def test_features_are_recomputed_without_the_kernels(good: Logs) -> None:
    logs = deepcopy(good)
    user = _touch(logs, lambda record: record.__setitem__("amount_total", record["amount_total"] + 100))
    found = audit(SETTINGS, logs, 10**6)
    assert any(text.startswith(f"user {user}: spend_mean_all is ") for text in found.differences)


def test_a_record_with_one_other_byte_is_found(good: Logs) -> None:
    def flip(logs: Logs) -> None:
        user = next(iter(logs.stored.records))
        record = bytearray(logs.stored.records[user])
        record[-1] ^= 1
        logs.stored.records[user] = bytes(record)

    assert any("the stored record differs" in text for text in spoiled(good, flip).differences)


def test_a_missing_user_and_one_too_many_are_found(good: Logs) -> None:
    def exchange(logs: Logs) -> None:
        logs.stored.records["stranger"] = logs.stored.records.pop(next(iter(logs.stored.records)))

    found = spoiled(good, exchange)
    assert any("no record is stored" in text for text in found.differences)
    assert "user stranger: a record is stored, there should be none" in found.differences


def test_a_missing_decision_is_found(good: Logs) -> None:
    gone = good.published[40]
    found = spoiled(good, lambda logs: logs.published.remove(gone))
    assert (found.total, found.published) == (1, len(good.published) - 1)
    assert found.differences[0].startswith(f"{gone.topic}: {gone.id} for ")


def test_a_decision_that_nobody_made_is_found(good: Logs) -> None:
    def invent(logs: Logs) -> None:
        logs.published.append(dataclasses.replace(logs.published[0], id="invented"))

    assert any("invented had not to be published" in text for text in spoiled(good, invent).differences)


@pytest.mark.parametrize("part", ["key", "value", "headers"])
def test_a_decision_with_other_bytes_is_found(good: Logs, part: str) -> None:
    def change(logs: Logs) -> None:
        changes: dict[str, Any] = {part: b"otherwise"}
        logs.published[40] = dataclasses.replace(logs.published[40], **changes)

    (difference,) = spoiled(good, change).differences
    assert difference.endswith(f"{good.published[40].id} has another {part}")


def test_a_decision_published_once_more_with_other_bytes_is_found(good: Logs) -> None:
    def again(logs: Logs) -> None:
        logs.published.append(dataclasses.replace(logs.published[40], value=b"otherwise", offset=10**6))

    found = spoiled(good, again)
    assert (found.repeated, found.total) == (1, 1)


def _exchange_order(logs: Logs) -> list[int]:
    """Let two decisions of one user in one topic lie in the other order."""
    (most, _), *_ = Counter((one.topic, one.key) for one in logs.published).most_common(1)
    places = [i for i, one in enumerate(logs.published) if (one.topic, one.key) == most][-2:]
    one, other = (logs.published[place] for place in places)
    logs.published[places[0]] = dataclasses.replace(one, offset=other.offset)
    logs.published[places[1]] = dataclasses.replace(other, offset=one.offset)
    return places


def test_decisions_of_a_user_in_another_order_are_found(good: Logs) -> None:
    found = spoiled(good, _exchange_order)
    assert found.total == found.reordered == 1
    assert found.differences[0].endswith("were never published in the order decided")


def test_an_order_put_right_by_publishing_again_is_only_counted(good: Logs) -> None:
    def put_right(logs: Logs) -> None:
        places = _exchange_order(logs)
        both = [logs.published[place] for place in places]
        logs.published += [dataclasses.replace(one, offset=10**6 + i) for i, one in enumerate(both)]

    found = spoiled(good, put_right)
    assert (found.total, found.reordered, found.repeated) == (0, 1, 2)


def test_a_missing_dead_letter_and_a_changed_one_are_found(good: Logs) -> None:
    def spoil(logs: Logs) -> None:
        logs.letters[1] = dataclasses.replace(logs.letters[1], headers=b"otherwise")
        del logs.letters[0]

    found = spoiled(good, spoil)
    assert found.total == 2
    assert any("dead-letters" in text and "was not published" in text for text in found.differences)


def test_a_hole_in_the_journal_is_found(good: Logs) -> None:
    found = spoiled(good, lambda logs: logs.journal.pop(4))
    assert "journal[0]: entries 5 to 5 are missing" in found.differences
    assert any("LOST offsets" in text for text in found.differences)


def test_an_entry_of_the_journal_in_two_versions_is_found(good: Logs) -> None:
    def another(logs: Logs) -> None:
        logs.journal.append(logs.journal[4])
        _edited(logs, -1, clock=1)

    assert "journal[0]: entry 5 was published with different bytes" in spoiled(good, another).differences


def test_a_wrong_watermark_and_an_unknown_policy_are_found(good: Logs) -> None:
    found = spoiled(good, lambda logs: _edited(logs, 4, watermark=17))
    assert any("entry 5: watermark 17, not " in text for text in found.differences)
    found = spoiled(good, lambda logs: _edited(logs, 4, policy="unheard-of"))
    assert any("entry 5: version 'unheard-of' was never published" in text for text in found.differences)


def test_a_wrong_timer_limit_position_and_header_are_found(good: Logs) -> None:
    def spoil(logs: Logs) -> None:
        stored = logs.stored
        stored.timers[next(iter(stored.timers))] += 1
        user, limit = next(iter(stored.limits.items()))
        stored.limits[user] = dataclasses.replace(limit, limit=limit.limit + 1)
        stored.position = {**stored.position, "bills": TopicPosition(1, EPOCH)}
        stored.header = dataclasses.replace(stored.header, commits=1)

    found = spoiled(good, spoil)
    assert found.total == 4
    for part in ("stored timer", "stored limit", "stored position", "stored header"):
        assert any(part in text for text in found.differences)


def test_a_log_gives_back_what_was_put_into_it() -> None:
    kept = [Kept(b"one", b"k", 3, 7), Kept(None, None, 4, 8), Kept(b"", b"", 9, 9)]
    log = Log(3, kept)
    assert (log.begin, log.end, len(log)) == (3, 10, 3)
    assert log.records(3, 10) == kept
    assert log.records(4, 9) == kept[1:2]
    with pytest.raises(ValueError, match="comes after"):
        log.append(kept[0])
