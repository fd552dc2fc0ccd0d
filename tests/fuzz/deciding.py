"""What must hold for whatever the decoder accepts: it is decided without an exception, wherever batches are cut."""

import random
from collections.abc import Sequence

import numpy as np

from features.kernel import advance
from features.packing import pack, unpack
from features.record import RECORD
from messages.columns import Events
from messages.outputs import DECISION_TOPICS
from policy.policy import Policy
from tests.decisions.streams import Desk
from tests.fuzz.decoding import Broken

_CUTS = (1, 2, 3, 7, 20, 64)


def check(parts: Sequence[Events], chance: random.Random, policy: Policy | None = None) -> int:
    """Decide `parts` one after the other, and once more cut into other batches; how many decisions. Raises Broken.

    The parts must not share offsets of a topic.
    """
    whole, cut = Desk(policy), Desk(policy)
    for events in parts:
        if len(events):
            _check_features(whole, events.take(np.arange(len(events))))
            whole.run_events(events, len(events))
            cut.run_events(events, chance.choice(_CUTS))
    if cut.messages != whole.messages or cut.watermark != whole.watermark:
        raise Broken("other decisions where batches are cut elsewhere")
    if cut.scores != whole.scores or cut.counts != whole.counts:
        raise Broken("other scores or counts where batches are cut elsewhere")
    packed = pack(whole.records)
    if pack(cut.records) != packed:
        raise Broken("other records where batches are cut elsewhere")
    read = np.zeros(len(packed), RECORD)
    unpack(packed, read)
    whole.records["schema"] = read["schema"]
    if read.tobytes() != whole.records.tobytes():
        raise Broken("a record does not come back as it was packed")
    if not np.isfinite(np.array(whole.scores or [(0.0, 0.0, 0, 0)])[:, :2]).all():
        raise Broken("a score is not finite")
    for message in whole.messages[:: max(1, len(whole.messages) // 200)]:
        DECISION_TOPICS[message.topic].model_validate_json(message.value)
    return len(whole.messages)


def _check_features(desk: Desk, events: Events) -> None:
    """Every feature of every row is finite; the desk's records stay as they are."""
    known = {user: row for row, user in enumerate(desk.users)}
    for user in events.users:
        known.setdefault(user, len(known))
    records = np.concatenate([desk.records, np.zeros(len(known) - len(desk.records), RECORD)])
    events.columns["row"] = [known[user] for user in events.users]
    in_force = desk.in_force
    advanced = advance(records, events.columns, desk.watermark, in_force.policy.terms, in_force.market)
    if not np.isfinite(advanced.features).all():
        raise Broken("a feature is not finite")
