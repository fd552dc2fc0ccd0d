"""What earlier versions left is read by the present one, which decides on it as they would have."""

import json
from typing import Any

import numpy as np
import pytest

from agents.broadcasts import Book
from agents.meters import SilentMeters
from agents.snapshots import open_snapshot, restore_learner
from decisions.in_force import InForce
from features.market import Market
from features.packing import NewerSchema, pack, pack_words, unpack
from features.record import RECORD, SCHEMA_VERSION
from messages.message import Message
from policy.policy import default_text, load_default
from scoring.scorecard import Scorecard
from store.contract import Commit, CorruptState, Header
from store.encoding import decode_header, decode_message, decode_position, encode_header
from store.memory import MemoryStore
from store.residents import Residents
from tests.upgrade.golden import HEADER, KEY, POSITION, Golden, decided, message_of, older_policy, read, sets
from tests.upgrade.layout import ADDED, BOTH, NEXT_RECORD, NEXT_VERSION

each_set = pytest.mark.parametrize("golden", sets(), ids=lambda golden: golden.directory.name)


@each_set
def test_records_of_an_earlier_version_are_read(golden: Golden) -> None:
    desk = golden.desk()
    assert (desk.records["schema"] == SCHEMA_VERSION).all()
    assert desk.records["events"].tolist() == golden.json("state.json")["seen"]
    assert read(pack(desk.records)).tobytes() == desk.records.tobytes()


@each_set
def test_the_present_version_decides_on_them_as_recorded(golden: Golden) -> None:
    recorded = golden.json("decisions.json")
    assert decided(golden, golden.json("events.json")) == recorded
    assert {decision["type"] for decision in recorded} >= {"warning", "limit_decision", "score_change"}


@each_set
def test_header_position_and_outbox_of_an_earlier_version_are_read(golden: Golden) -> None:
    assert decode_header(golden.bytes("header.bin"), "here") == HEADER
    assert decode_position(golden.bytes("position.txt"), "here") == POSITION
    assert decode_message(golden.bytes("message.bin"), "here") == message_of(golden.json("message.json"))


@each_set
def test_a_policy_without_newer_keys_and_a_snapshot_of_an_earlier_version_come_into_force(golden: Golden) -> None:
    in_force = golden.in_force()
    assert in_force.model.version == open_snapshot(golden.bytes("snapshot.json"), KEY).version
    assert in_force.policy.document.guard_rails.period == 30 * 86_400
    learner = restore_learner(open_snapshot(golden.bytes("snapshot.json"), KEY))
    assert learner.examples == 40


def test_every_key_with_a_default_may_be_left_out_of_a_policy() -> None:
    assert len(older_policy()) < len(default_text())
    assert "guard_rails" not in older_policy()


def _as_next_version(records: Any) -> list[bytes]:
    """Records as the next version would pack them."""
    new = np.zeros(len(records), NEXT_RECORD)
    for name in RECORD.names or ():
        new[name] = records[name] if name != "filler" else 0
    new["schema"], new[ADDED] = NEXT_VERSION, 7
    words = np.ascontiguousarray(new).view(np.uint64).reshape(len(new), -1)
    return pack_words(words, NEXT_VERSION, NEXT_RECORD).tolist()


def test_a_record_in_another_order_and_with_a_field_more_keeps_its_values_by_name() -> None:
    records = sets()[0].desk().records
    out = np.zeros(len(records), RECORD)
    unpack(_as_next_version(records), out, BOTH)
    assert NEXT_RECORD.names != RECORD.names
    assert [out[name].tolist() for name in RECORD.names or ()] == [
        records[name].tolist() for name in RECORD.names or ()
    ]


async def test_a_downgrade_is_refused_with_what_to_do_and_changes_nothing() -> None:
    desk, store = sets()[0].desk(), MemoryStore()
    view = store.partition(0)
    await view.open()
    blobs = dict(zip(desk.users, _as_next_version(desk.records), strict=True))
    await view.commit(Commit(Header(commits=1), {}, blobs))
    residents = Residents(view, 10)
    remedy = (
        f"schema {NEXT_VERSION}, this program knows up to {SCHEMA_VERSION}; run the newer version again, "
        "or restore the Redis snapshot from before the upgrade"
    )
    with pytest.raises(CorruptState, match=remedy):
        await residents.rows(["new", *desk.users])
    assert len(residents) == 0
    assert dict(zip(desk.users, await view.load(desk.users), strict=True)) == blobs
    with pytest.raises(NewerSchema):
        unpack([*blobs.values()], np.zeros(len(blobs), RECORD))


def test_a_header_of_a_newer_form_is_refused_with_what_to_do() -> None:
    stored = bytearray(encode_header(HEADER))
    assert stored[1] == 1
    stored[1] = 2
    with pytest.raises(CorruptState, match="run the newer version again, or restore the Redis snapshot"):
        decode_header(bytes(stored), "header of partition 3")


class _Told:
    """A book that is told of one message after the other."""

    def __init__(self) -> None:
        self.first = InForce(load_default(), Scorecard(), Market())
        self.book = Book(self.first, KEY, SilentMeters())

    def tell(self, message: Message) -> InForce:
        place: dict[str, Any] = {"partition": 0, "offset": 0, "timestamp": 0}
        record = type("Record", (), {**place, "topic": message.topic, "key": message.key, "value": message.value})
        self.book.apply(record)
        return self.book.in_force


@pytest.mark.parametrize("change", ["an input more", "an input less", "another order"])
def test_a_model_learned_from_other_inputs_is_refused_and_the_old_one_stays(change: str) -> None:
    told = _Told()
    good = sets()[0].bytes("snapshot.json")
    before = told.tell(Message("model-snapshots", b"m", _warmed(json.loads(good))))
    assert before.model is not told.first.model
    fields = json.loads(good)
    inputs = fields["inputs"]
    others = {"an input more": [*inputs, "of_the_next_version"], "an input less": inputs[:-1], "another order": None}
    fields["inputs"] = others[change] or inputs[::-1]
    assert told.tell(Message("model-snapshots", b"m", _warmed(fields))) is before


def _warmed(fields: dict[str, Any]) -> bytes:
    """Signed anew, and as if it had learned enough."""
    from agents.snapshots import _signature

    fields["parameters"]["state.warming"] = [0.0]
    unsigned = json.dumps({**fields, "signature": ""}).encode()
    return json.dumps({**fields, "signature": _signature(unsigned, KEY)}).encode()


def test_a_policy_that_names_a_feature_of_a_later_version_is_refused_and_the_old_one_stays() -> None:
    told = _Told()
    document = default_text().replace("when: spend_count_1h >= 10", "when: feature_of_a_later_version >= 10", 1)
    assert document != default_text()
    body = {"type": "policy_published", "event_id": "p", "name": "default", "time": 1_700_000_000_000}
    value = json.dumps(body | {"mode": "active", "document": document}).encode()
    assert told.tell(Message("policies", b"default", value)) is told.first
