"""Records as bytes: round trip, damage, older and newer schemas, size."""

import struct
from binascii import crc32
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from features.kernel import advance
from features.market import Market
from features.packing import LAYOUTS, DamagedRecord, NewerSchema, layout_hash, pack, pack_rows, pack_words, unpack
from features.record import RECORD, SCHEMA_VERSION
from features.terms import Terms
from tests.features.histories import Life, columns, fresh

USERS = [f"user-{number}" for number in range(20)]


@pytest.fixture(scope="module")
def lived() -> NDArray[np.void]:
    """Records of users with half a year of purchases, monthly bills, repayments and fund entries."""
    random, records = Random(3), fresh(USERS)
    events = [event for user in USERS for event in Life(random, user).events(120, 180)]
    advance(records, columns(events, {user: row for row, user in enumerate(USERS)}), 0, Terms(), Market())
    return records


def unpacked(blobs: list[bytes | None]) -> NDArray[np.void]:
    out = np.full(len(blobs) * RECORD.itemsize, 0xAA, np.uint8).view(RECORD)
    unpack(blobs, out)
    return out


def test_what_is_packed_comes_back_byte_for_byte(lived: NDArray[np.void]) -> None:
    assert unpacked([*pack(lived)]).tobytes() == lived.tobytes()


def test_random_bytes_as_a_record_come_back_too() -> None:
    records = np.frombuffer(Random(1).randbytes(50 * RECORD.itemsize), RECORD).copy()
    records["schema"] = SCHEMA_VERSION
    assert unpacked([*pack(records)]).tobytes() == records.tobytes()


def test_no_bytes_give_an_empty_record_between_others(lived: NDArray[np.void]) -> None:
    out = unpacked([None, pack(lived[:1])[0], None])
    empty = np.zeros(1, RECORD)
    empty["schema"] = SCHEMA_VERSION
    assert out[:1].tobytes() == empty.tobytes() == out[2:].tobytes()
    assert out[1:2].tobytes() == lived[:1].tobytes()


def test_a_record_of_half_a_year_packs_into_two_kilobytes(lived: NDArray[np.void]) -> None:
    assert np.mean([len(blob) for blob in pack(lived)]) <= 2_048


def test_one_flipped_bit_anywhere_is_refused(lived: NDArray[np.void]) -> None:
    blob = pack(lived[:1])[0]
    for position in range(0, len(blob), 7):
        damaged = bytearray(blob)
        damaged[position] ^= 1
        with pytest.raises((DamagedRecord, NewerSchema)):
            unpacked([bytes(damaged)])


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 64, -8, -1])
def test_a_cut_record_is_refused(lived: NDArray[np.void], length: int) -> None:
    with pytest.raises(DamagedRecord):
        unpacked([pack(lived[:1])[0][:length]])


def test_a_newer_schema_is_named(lived: NDArray[np.void]) -> None:
    blob = pack(lived[:1])[0]
    with pytest.raises(NewerSchema, match=f"schema {SCHEMA_VERSION + 1}.* up to {SCHEMA_VERSION}"):
        unpacked([(SCHEMA_VERSION + 1).to_bytes(2, "little") + blob[2:]])


def test_an_older_layout_is_migrated_by_field_name() -> None:
    bill = np.dtype([("minimum", "u4"), ("bill", "u8"), ("gone", "u2")])
    old_layout = np.dtype(
        [
            ("schema", "u2"),
            ("income", "i8"),
            ("bills", bill, (4,)),
            ("user", "u8"),
            ("sum_1h", "u4", (3,)),
            ("old", "u1"),
        ]
    )
    old = np.zeros(2, old_layout)
    old["schema"], old["income"], old["user"] = 1, [1_000, 2_000], [7, 8]
    old["bills"]["bill"][1] = [1, 2, 3, 4]
    old["bills"]["minimum"][1] = [10, 20, 30, 40]
    old["sum_1h"][0] = [5, 6, 7]
    words = np.zeros((2, -(-old_layout.itemsize // 8)), np.uint64)
    words.view(np.uint8)[:, : old_layout.itemsize] = old.view(np.uint8).reshape(2, -1)
    blobs: list[bytes | None] = [*pack_words(words, 1, old_layout)]
    out = np.zeros(3, RECORD)
    unpack([blobs[0], None, blobs[1]], out, {1: old_layout, 2: RECORD})
    assert out["income"].tolist() == [1_000, 0, 2_000]
    assert out["user"].tolist() == [7, 0, 8]
    assert out["bills"]["bill"][2].tolist() == [1, 2, 3, 4, 0, 0]
    assert out["bills"]["minimum"][2].tolist() == [10, 20, 30, 40, 0, 0]
    assert out["sum_1h"][0].tolist() == [5, 6, 7, 0, 0, 0]
    assert (out["schema"] == SCHEMA_VERSION).all()


def test_a_layout_changed_without_a_new_schema_is_refused(lived: NDArray[np.void]) -> None:
    renamed = np.dtype([("income_" if name == "income" else name, RECORD[name]) for name in RECORD.names or ()])
    assert layout_hash(renamed) != layout_hash(RECORD)
    with pytest.raises(DamagedRecord, match="layout"):
        unpack([pack(lived[:1])[0]], np.zeros(1, RECORD), {SCHEMA_VERSION: renamed})


def test_the_current_schema_has_the_current_layout() -> None:
    assert LAYOUTS[SCHEMA_VERSION] == RECORD
    assert max(LAYOUTS) == SCHEMA_VERSION


def test_no_byte_of_a_record_belongs_to_no_field() -> None:
    covered = np.zeros(RECORD.itemsize, np.bool_)
    fields = RECORD.fields
    assert fields is not None
    for dtype, offset, *_ in fields.values():
        covered[offset : offset + dtype.itemsize] = True
    assert covered.all()
    assert RECORD.itemsize % 8 == 0


def straightforward(record: NDArray[np.void]) -> bytes:
    """A packed record, put together word by word."""
    words = record.reshape(1).view(np.uint64)
    bitmap = [sum(1 << k for k, word in enumerate(words[g : g + 64]) if word) for g in range(0, len(words), 64)]
    body: bytes = struct.pack(f"<{len(bitmap)}Q", *bitmap) + words[words != 0].tobytes()
    return struct.pack("<HII", SCHEMA_VERSION, layout_hash(RECORD), crc32(body)) + body


def test_rows_are_packed_as_word_by_word_in_any_order(lived: NDArray[np.void]) -> None:
    rows = np.array([3, 17, 0, 5], np.uint32)
    assert pack_rows(lived, rows).tolist() == [straightforward(lived[row]) for row in rows.tolist()]
    random = np.frombuffer(Random(8).randbytes(9 * RECORD.itemsize), RECORD)
    assert pack(random) == [straightforward(record) for record in random]
