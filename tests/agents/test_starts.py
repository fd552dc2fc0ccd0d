import logging

import pytest

from agents.meters import SilentMeters
from agents.starts import PositionRefused, starting_offsets
from store.contract import TopicPosition

BOUNDS = {"purchases": (10, 20)}
EPOCHS = {"purchases": "b"}


class Skips(SilentMeters):
    """Remembers what was skipped."""

    def __init__(self) -> None:
        self.lost: list[tuple[str, int]] = []

    def skipped(self, topic: str, offsets: int, *, lost: bool) -> None:
        assert lost
        self.lost.append((topic, offsets))


def start(position: dict[str, TopicPosition], meters: SilentMeters | None = None) -> dict[str, int]:
    return starting_offsets(3, position, BOUNDS, EPOCHS, meters or SilentMeters())


def test_a_topic_without_a_position_starts_at_the_earliest() -> None:
    assert start({}) == {"purchases": 10}


@pytest.mark.parametrize("offset", [10, 15, 20])
def test_a_position_within_the_log_is_where_reading_goes_on(offset: int) -> None:
    assert start({"purchases": TopicPosition(offset, "b")}) == {"purchases": offset}


def test_a_position_beyond_the_end_is_refused() -> None:
    with pytest.raises(PositionRefused, match=r"purchases\[3\].*21 is beyond the log's end 20"):
        start({"purchases": TopicPosition(21, "b")})


def test_a_position_in_another_incarnation_of_the_topic_is_refused() -> None:
    with pytest.raises(PositionRefused, match="was recreated"):
        start({"purchases": TopicPosition(15, "a")})


@pytest.mark.parametrize(("stored", "now"), [("", "b"), ("a", "")])
def test_an_unknown_identity_is_not_another_one(stored: str, now: str) -> None:
    position = {"purchases": TopicPosition(15, stored)}
    assert starting_offsets(3, position, BOUNDS, {"purchases": now}, SilentMeters()) == {"purchases": 15}


def test_events_that_were_deleted_unread_are_loudly_told(caplog: pytest.LogCaptureFixture) -> None:
    meters = Skips()
    assert start({"purchases": TopicPosition(4, "b")}, meters) == {"purchases": 10}
    assert meters.lost == [("purchases", 6)]
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "offsets 4 to 9 were deleted" in record.message
