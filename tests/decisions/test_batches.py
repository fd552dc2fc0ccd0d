"""Where a stream is cut into batches must not show."""

import json
from dataclasses import replace

import numpy as np
import pytest

from decisions.decide import decide_each
from decisions.outcome import Example
from features.packing import pack
from messages.columns import Events
from tests.decisions.streams import Desk, decode, random_stream


def _examples(examples: list[Example]) -> list[tuple[str, bytes, bool, int, int]]:
    return [(one.user, one.inputs.tobytes(), one.label, one.scored_time, one.matured_time) for one in examples]


def _assert_alike(one: Desk, other: Desk) -> None:
    assert one.messages == other.messages
    assert one.scores == other.scores
    assert _examples(one.examples) == _examples(other.examples)
    assert pack(one.records) == pack(other.records)
    assert one.counts == other.counts
    assert one.watermark == other.watermark


@pytest.mark.parametrize(("seed", "users"), [(1, 12), (2, 1)])
@pytest.mark.parametrize("size", [1, 7])
def test_a_stream_cut_into_small_batches_gives_the_same_bytes(seed: int, users: int, size: int) -> None:
    events = decode(random_stream(seed, users, count=1_200))
    whole, cut = Desk(), Desk()
    whole.run_events(events, 8_000)
    cut.run_events(events, size)
    assert len(whole.messages) > 200
    _assert_alike(cut, whole)


def _of_partition(number: int, events: Events) -> Events:
    return replace(events, sources=tuple(source._replace(partition=number) for source in events.sources))


@pytest.mark.parametrize("sizes", [(40, 40, 40), (1, 90, 13)], ids=["alike", "unlike"])
def test_partitions_decided_together_give_the_same_bytes_as_each_alone(sizes: tuple[int, ...]) -> None:
    streams = [_of_partition(seed, decode(random_stream(seed, 5, count=400))) for seed in range(len(sizes))]
    alone, together = [Desk() for _ in sizes], [Desk() for _ in sizes]
    for desk, events in zip(alone, streams, strict=True):
        desk.run_events(events, 8_000)
        assert len(desk.messages) > 50
    starts = [0] * len(sizes)
    while any(start < len(events) for start, events in zip(starts, streams, strict=True)):
        works = []
        for number, (desk, events, size) in enumerate(zip(together, streams, sizes, strict=True)):
            works.append(desk.work(events.take(np.arange(starts[number], min(starts[number] + size, len(events))))))
            starts[number] += len(works[-1].events)
        outcomes = decide_each(works, together[0].in_force)
        for desk, work, outcome in zip(together, works, outcomes, strict=True):
            assert len(outcome.disposition) == len(work.events)
            caused = [int(work.events.offset[event]) for event in outcome.caused.tolist() if event >= 0]
            told = [json.loads(message.value)["cause"] for message in outcome.decisions]
            assert caused == [cause["offset"] for cause in told if cause["topic"]]
            desk.keep(outcome)
    for one, other in zip(together, alone, strict=True):
        _assert_alike(one, other)
