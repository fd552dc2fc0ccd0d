"""A seeded stream over all input topics: users' lives, indicators of the market, and versions of the policy."""

import json
from collections.abc import Iterator
from itertools import pairwise

from messages.vocabulary import INDICATORS
from policy.policy import default_text
from tests.faults.lives import REGIONS, Lives, Record

__all__ = ["Record", "Stream", "policy_versions"]

#: Thresholds of the shipped policy, and what later versions put in their place.
_CHANGES = (
    ("amount_zscore >= 3 and amount_to_mean >= 3", "amount_zscore >= 4 and amount_to_mean >= 4"),
    ("smallest_step: 10_000", "smallest_step: 20_000"),
    ("score_step: 0.1", "score_step: 0.12"),
)


def policy_versions(text: str) -> list[str]:
    """The policy and versions of it that differ in a threshold, as far as it has the shipped one's."""
    return [text] + [text.replace(old, new, 1) for old, new in _CHANGES if old in text]


class Stream:
    """About `events` records, in rough order of event time from `start_ms` to `start_ms + span_ms`; can be repeated.

    No event id comes twice, except in a repeat of the same bytes, which follows within the next few events of its user:
    the record's ring of recent ids must still hold it. Nothing follows a user's erasure; another takes the place.
    `policy` is the document whose versions are published (the shipped one where None).
    """

    def __init__(
        self, seed: int, users: int, start_ms: int, events: int, span_ms: int, policy: str | None = None
    ) -> None:
        self.seed, self.users, self.start_ms, self.events, self.span_ms = seed, users, start_ms, events, span_ms
        self.policies = policy_versions(default_text() if policy is None else policy)

    def __iter__(self) -> Iterator[Record]:
        lives = Lives(self.seed, self.users, self.start_ms, self.events, self.span_ms)
        step = max(1, self.events // 40)
        edges = [*range(0, self.events, step), self.events]
        for chapter, (first, last) in enumerate(pairwise(edges)):
            yield from self._broadcasts(chapter, self.start_ms + self.span_ms * first // self.events)
            yield from lives.tell(first, last)

    def _broadcasts(self, chapter: int, time: int) -> Iterator[Record]:
        """Market indicators at each chapter; at every fifth a policy, of which one is not fit to be used."""
        name = f"{self.seed}-b{chapter}"
        region, indicator = REGIONS[chapter % len(REGIONS)], INDICATORS[chapter // 4 % len(INDICATORS)]
        figure = {"type": "market_indicator", "event_id": name, "region": region, "time": time}
        figure |= {"indicator": indicator, "value": 4.0 + chapter % 7, "normal": 5.0}
        yield Record("market", region.encode(), json.dumps(figure).encode())
        if chapter % 5 == 4:
            number = chapter // 5
            document = self.policies[(number + 1) % len(self.policies)] if number != 2 else "name: [broken"
            policy = {"type": "policy_published", "event_id": f"{name}-policy", "name": "default", "time": time}
            policy |= {"mode": "active", "document": document}
            yield Record("policies", b"default", json.dumps(policy).encode())
