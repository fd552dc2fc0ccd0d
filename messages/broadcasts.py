"""Records of the topics that every worker reads whole: market indicators and policies."""

from messages.columns import Source
from messages.inputs import BROADCAST_TOPICS, MarketIndicator, PolicyPublished
from messages.records import RawRecord
from messages.verdict import Fault, Judge, Refusal, key_fault

#: A policy's document may have a million characters, of up to four bytes each and twice that when escaped.
LARGEST_BROADCAST = 8 * 1024 * 1024

_JUDGES = {topic: Judge(models, LARGEST_BROADCAST) for topic, models in BROADCAST_TOPICS.items()}


def parse_broadcast(source: Source, record: RawRecord) -> MarketIndicator | PolicyPublished | Refusal | None:
    """The record's market indicator or policy, or why it is refused; None for a tombstone of the compacted topic.

    The key must be the indicator's region or the policy's name. Raises ValueError for another topic.
    """
    judge = _JUDGES.get(source.topic)
    if judge is None:
        raise ValueError(f"{source.topic!r} is not a broadcast topic")
    if record.value is None:
        return None
    verdict = judge.judge(record.value)
    if isinstance(verdict, MarketIndicator | PolicyPublished):
        name = "region" if isinstance(verdict, MarketIndicator) else "name"
        expected: str = getattr(verdict, name)
        if record.key == expected.encode():
            return verdict
        verdict = key_fault(record.key, name, expected)
    if not isinstance(verdict, Fault):
        raise TypeError(f"{source.topic}: unexpected contract {type(verdict).__name__}")
    return Refusal(source, record.offset, record.key, record.value, verdict.error.value, verdict.message)
