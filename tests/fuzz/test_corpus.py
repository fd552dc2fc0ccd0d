"""Everything that ever failed, once more."""

import random

import pytest

from tests.fuzz import corpus, decoding, documents, stored
from tests.fuzz.campaign import run_others, run_part
from tests.fuzz.decoding import Broken
from tests.fuzz.records import TOPICS


def test_every_record_that_ever_failed_is_accepted_or_refused() -> None:
    records = [corpus.record_of(fields, offset) for offset, (_, fields) in enumerate(corpus.cases(corpus.DECODER))]
    assert len(records) >= 60
    for topic in TOPICS:
        chosen = [record for record in records if record.topic == topic]
        if chosen:
            assert decoding.check(chosen).outcomes.total() == len(chosen)
    for record in records:
        assert decoding.check([record]).outcomes.total() == 1


POLICIES = dict(corpus.cases(corpus.POLICY))


@pytest.mark.parametrize("name", POLICIES)
def test_a_text_that_ever_failed_as_a_policy_is_refused_or_judges(name: str) -> None:
    fields = POLICIES[name]
    text = (corpus.bytes_of(fields["value"]) or b"").decode("utf-8", "surrogatepass")
    accepted = documents.check(text, random.Random(name))
    assert accepted == fields.get("accepted", accepted)


@pytest.mark.parametrize("target", sorted(stored.TARGETS))
def test_bytes_that_ever_failed_are_accepted_or_refused(target: str) -> None:
    for name, fields in corpus.cases(target):
        accepted = stored.check(target, corpus.bytes_of(fields["value"]) or b"")
        assert accepted == fields.get("accepted", accepted), name


@pytest.mark.slow
def test_twelve_thousand_fuzzed_records_are_accounted_for() -> None:
    report = run_part((7, 0, 12_000))
    assert report.broken == []
    assert report.accounted == report.records == 12_000
    assert all(outcomes["accepted"] and outcomes["contract"] for outcomes in report.outcomes.values())
    assert report.decided >= 1_000


@pytest.mark.slow
def test_a_few_fuzzed_values_of_every_other_target_are_accepted_or_refused() -> None:
    report = run_others(200, 7)
    assert report.broken == []


def test_a_disagreement_with_pydantic_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fields = next(corpus.cases(corpus.DECODER))
    monkeypatch.setattr(decoding, "expected_row", lambda _: {})
    with pytest.raises(Broken):
        decoding.check([corpus.record_of(fields, 0)])
