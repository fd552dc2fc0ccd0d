"""The stream for the fault tests is the same every time and has everything in it that it says."""

import json
from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import Any

import pytest

from app.core import decoder
from app.settings import Settings
from decisions.in_force import InForce
from features.market import Market
from messages.broadcasts import parse_broadcast
from messages.columns import Source
from messages.inputs import BROADCAST_TOPICS, USER_TOPICS, PolicyPublished
from messages.outputs import DECISION_TOPICS
from messages.records import RawRecords
from messages.records import Record as Kept
from messages.verdict import Refusal, Refused
from policy.policy import PolicyError, load, load_default
from replay.engine import Engine, replay
from replay.files import FileRecord
from replay.preparing import Preparing
from scoring.scorecard import Scorecard
from tests.faults.stream import Record, Stream
from tests.replay.book import Collected

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
SPAN_MS = 150 * DAY_MS
STREAM = Stream(7, 200, START_MS, 20_000, SPAN_MS)
SHORT = Stream(8, 200, START_MS, 10_000, 900_000)
#: Seen by the broker when the stream is over.
ARRIVED_MS = START_MS + SPAN_MS


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(STREAM)


@pytest.fixture(scope="module")
def accepted(records: list[Record]) -> list[dict[str, Any]]:
    """The good events, in their order, each with its topic."""
    by_topic: defaultdict[str, list[tuple[int, Record]]] = defaultdict(list)
    for place, record in enumerate(records):
        if record.topic in USER_TOPICS:
            by_topic[record.topic].append((place, record))
    good: dict[int, dict[str, Any]] = {}
    for topic, placed in by_topic.items():
        kept = RawRecords.of(Kept(record.value, record.key, place, ARRIVED_MS) for place, record in placed)
        decoded = decoder(Settings()).decode(Source(topic, 0), kept)
        for place in decoded.events.offset.tolist():
            good[place] = json.loads(records[place].value) | {"topic": topic}
    return [good[place] for place in sorted(good)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(records: list[Record]) -> None:
    assert list(STREAM) == records
    others = {record.value for record in islice(Stream(9, 200, START_MS, 20_000, SPAN_MS), 1_000)}
    assert not others & {record.value for record in records[:1_000] if record.value}


def test_there_are_about_as_many_records_as_asked_for_within_the_span(
    records: list[Record], accepted: list[dict[str, Any]]
) -> None:
    assert len(records) == pytest.approx(20_000, rel=0.01)
    times = [event["time"] for event in accepted]
    assert max(times) <= START_MS + SPAN_MS
    in_order = sum(later >= earlier for earlier, later in pairwise(times))
    assert 0.9 * len(times) < in_order < len(times)


def test_every_input_topic_and_every_kind_of_event_occurs(
    records: list[Record], accepted: list[dict[str, Any]]
) -> None:
    assert {record.topic for record in records} == USER_TOPICS.keys() | BROADCAST_TOPICS.keys()
    kinds = {model.model_fields["type"].default for models in USER_TOPICS.values() for model in models}
    assert {event["type"] for event in accepted} == kinds
    repayments = [event for event in accepted if event["type"] == "repayment"]
    assert 0 < sum("bill_id" in event for event in repayments) < len(repayments)
    assert 180 <= len({event["user_id"] for event in accepted}) <= 230


def test_an_event_id_comes_again_only_with_the_same_bytes_and_while_it_is_remembered(
    records: list[Record], accepted: list[dict[str, Any]]
) -> None:
    values: dict[str, dict[str, Any]] = {}
    lives: defaultdict[str, list[str]] = defaultdict(list)
    repeats, at_once = 0, 0
    for event in accepted:
        name, life = event["event_id"], lives[event["user_id"]]
        assert values.setdefault(name, event) == event
        if name in life:
            repeats += 1
            at_once += life[-1] == name
            assert name in life[-6:]
        life.append(name)
    assert repeats == pytest.approx(0.02 * len(records), rel=0.3)
    assert 0 < at_once < repeats


def test_nothing_follows_the_erasure_of_a_user(accepted: list[dict[str, Any]]) -> None:
    last = {event["user_id"]: event["type"] for event in accepted}
    erased = [event["user_id"] for event in accepted if event["type"] == "erasure_requested"]
    assert len(erased) >= 3
    assert {last[user] for user in erased} == {"erasure_requested"}


def test_events_come_late_within_the_allowed_lateness_beyond_it_and_beyond_the_windows(
    accepted: list[dict[str, Any]],
) -> None:
    allowed, newest, late = load_default().terms.allowed_lateness * 1_000, 0, Counter[str]()
    once = {event["event_id"]: event for event in accepted}
    for event in once.values():
        behind, newest = newest - event["time"], max(newest, event["time"])
        late["within"] += 0 < behind <= allowed
        late["beyond"] += allowed < behind <= 4 * DAY_MS
        late["ancient"] += behind > 90 * DAY_MS
    assert all(late[kind] > 0 for kind in ("within", "beyond", "ancient"))
    assert late["beyond"] < late["within"] < 0.05 * len(accepted)


def test_bad_records_are_of_many_kinds(records: list[Record]) -> None:
    errors: Counter[str] = Counter()
    for topic in USER_TOPICS:
        kept = RawRecords.of(Kept(r.value, r.key, i, ARRIVED_MS) for i, r in enumerate(records) if r.topic == topic)
        errors.update(refusal.error for refusal in decoder(Settings()).decode(Source(topic, 0), kept).refused)
    assert {Refused.NOT_UTF8, Refused.NOT_JSON, Refused.CONTRACT, Refused.KEY_MISMATCH, Refused.TOO_FAR_AHEAD} <= {
        *errors
    }
    assert errors.total() == pytest.approx(0.006 * len(records), rel=0.3)


def test_policies_change_a_threshold_and_one_is_unfit(records: list[Record]) -> None:
    versions, unfit = set(), 0
    for offset, record in enumerate(records):
        if record.topic in BROADCAST_TOPICS:
            found = parse_broadcast(Source(record.topic, 0), Kept(record.value, record.key, offset))
            assert not isinstance(found, Refusal)
            if isinstance(found, PolicyPublished):
                try:
                    policy = load(found.document)
                except PolicyError:
                    unfit += 1
                    continue
                assert policy.terms == load_default().terms
                versions.add(policy.version)
    assert len(versions) >= 3
    assert unfit == 1


@pytest.mark.parametrize(("stream", "as_of_ms"), [(STREAM, ARRIVED_MS), (SHORT, SHORT.start_ms + SHORT.span_ms)])
def test_every_kind_of_decision_is_made_and_not_too_many(stream: Stream, as_of_ms: int) -> None:
    sink = Collected()
    engine = Engine(InForce(load_default(), Scorecard(), Market()), sink, wants_scores=False)
    lines = [FileRecord(r.value, r.key, offset, as_of_ms) for offset, r in enumerate(stream)]
    lateness = load_default().terms.allowed_lateness
    replay(engine, [Preparing(decoder(Settings())).prepare(lines)], as_of=as_of_ms // 1_000 - lateness)
    counts = Counter(message.topic for message in sink.messages)
    assert counts.keys() == DECISION_TOPICS.keys()
    assert 0.05 < counts.total() / len(lines) < 0.2
