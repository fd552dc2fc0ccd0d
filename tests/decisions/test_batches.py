"""Where a stream is cut into batches must not show."""

import pytest

from decisions.outcome import Example
from features.packing import pack
from tests.decisions.streams import Desk, decode, random_stream


def _examples(examples: list[Example]) -> list[tuple[str, bytes, bool, int, int]]:
    return [(one.user, one.inputs.tobytes(), one.label, one.scored_time, one.matured_time) for one in examples]


@pytest.mark.parametrize(("seed", "users"), [(1, 12), (2, 1)])
@pytest.mark.parametrize("size", [1, 7])
def test_a_stream_cut_into_small_batches_gives_the_same_bytes(seed: int, users: int, size: int) -> None:
    events = decode(random_stream(seed, users, count=1_200))
    whole, cut = Desk(), Desk()
    whole.run_events(events, 8_000)
    cut.run_events(events, size)
    assert len(whole.messages) > 200
    assert cut.messages == whole.messages
    assert cut.scores == whole.scores
    assert _examples(cut.examples) == _examples(whole.examples)
    assert pack(cut.records) == pack(whole.records)
    assert cut.counts == whole.counts
    assert cut.watermark == whole.watermark
