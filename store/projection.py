"""The limits that checkout systems read, as the published limit adjustments tell them.

They follow from the messages alone: a new owner of a partition writes those of the outbox that it finds once more, and
all of them can be written anew from the topic.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from messages.message import Message
from store.contract import LimitView

LIMIT_ADJUSTMENTS = "limit-adjustments"


class _Adjustment(msgspec.Struct):
    user_id: str
    direction: Literal["opened", "raised", "cut", "frozen", "restored", "closed", "forgotten"]
    new_limit: int
    limit_version: int
    grade: str | None
    default_probability: float


_decode = msgspec.json.Decoder(_Adjustment).decode


def limit_views(messages: Iterable[Message]) -> list[LimitView]:
    """What the limit adjustments among `messages` make of each user's limit, in their order.

    Raises msgspec.DecodeError where one does not follow its contract.
    """
    adjustments = (_decode(message.value) for message in messages if message.topic == LIMIT_ADJUSTMENTS)
    return [
        LimitView(
            user=one.user_id,
            limit=one.new_limit,
            frozen=one.direction in ("frozen", "closed"),
            grade=one.grade or "",
            default_probability=one.default_probability,
            version=one.limit_version,
            forgotten=one.direction == "forgotten",
        )
        for one in adjustments
    ]
