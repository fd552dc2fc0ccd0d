import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from messages.verdict import Refused
from replay.files import FileRecord, Misfit, UnreadableFile, chunks, count_records, read_records, route, route_all

EVENTS = [
    {
        "type": "purchase", "event_id": "e1", "user_id": "u1", "time": 1_700_000_000_000, "order_id": "o1",
        "amount": 1250, "currency": "CNY", "category": "dining", "merchant_id": "m1", "green": True, "instalments": 3,
    },
    {"type": "login", "event_id": "e2", "user_id": "007", "time": 1_700_000_001_000, "succeeded": False},
    {
        "type": "market_indicator", "event_id": "e3", "region": "cn", "time": 1_700_000_002_000,
        "indicator": "policy_rate", "value": 3.5, "normal": 3.0,
    },
]  # fmt: skip


def _values(path: Path) -> list[object]:
    return [json.loads(record.value or b"") for record in read_records(path)]


def _write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _write_lines(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_json_lines_are_passed_on_as_they_are(tmp_path: Path) -> None:
    lines = [json.dumps(event, indent=None, separators=(", ", ":  ")).encode() for event in EVENTS]
    path = _write_lines(tmp_path / "events.jsonl", [lines[0], b"", *lines[1:], b'{"broken":'])
    assert [record.value for record in read_records(path)] == [*lines, b'{"broken":']
    assert [record.offset for record in read_records(path, 10)] == [10, 11, 12, 13]


def test_csv_cells_get_the_types_of_their_fields(tmp_path: Path) -> None:
    assert _values(_write_csv(tmp_path / "events.csv", EVENTS)) == EVENTS


def test_parquet_rows_lose_their_nulls(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{name: event.get(name) for name in {**EVENTS[0], **EVENTS[2]}} for event in EVENTS])
    pq.write_table(table, tmp_path / "events.parquet")
    found = _values(tmp_path / "events.parquet")
    assert found[0] == EVENTS[0]
    assert found[2] == EVENTS[2]


def test_parquet_timestamps_become_milliseconds(tmp_path: Path) -> None:
    table = pa.table({"type": ["login"], "time": pa.array([1_700_000_001_000_500], pa.timestamp("us", tz="UTC"))})
    pq.write_table(table, tmp_path / "events.parquet")
    assert _values(tmp_path / "events.parquet") == [{"type": "login", "time": 1_700_000_001_000}]


@pytest.mark.parametrize("name", ["events.jsonl", "events.csv", "events.parquet"])
def test_a_gzipped_file_reads_the_same(tmp_path: Path, name: str) -> None:
    plain = tmp_path / name
    if name.endswith(".csv"):
        _write_csv(plain, EVENTS)
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(EVENTS[:1]), plain)
    else:
        _write_lines(plain, [json.dumps(event).encode() for event in EVENTS])
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert _values(packed) == _values(plain)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"amount": "12.5"}, {"amount": "12.5"}),
        ({"amount": "1_000"}, {"amount": "1_000"}),
        ({"amount": "9" * 40}, {"amount": "9" * 40}),
        ({"amount": "-5"}, {"amount": -5}),
        ({"green": "yes"}, {"green": "yes"}),
        ({"green": "FALSE"}, {"green": False}),
        ({"value": "three"}, {"value": "three"}),
        ({"colour": "blue"}, {"colour": "blue"}),
    ],
)
def test_a_cell_of_another_type_stays_text_for_the_decoder_to_refuse(
    tmp_path: Path, cells: dict[str, str], expected: dict[str, object]
) -> None:
    path = _write_csv(tmp_path / "events.csv", [{"type": "purchase", **cells}])
    assert _values(path) == [{"type": "purchase", **expected}]


def test_a_row_with_too_many_cells_cannot_pass_for_a_good_one(tmp_path: Path) -> None:
    path = _write_lines(tmp_path / "events.csv", [b"type,event_id", b"login,e1,surplus"])
    (row,) = _values(path)
    assert isinstance(row, dict)
    assert row.keys() - {"type", "event_id"}


def test_one_bad_row_of_a_csv_does_not_hide_the_others(tmp_path: Path) -> None:
    path = _write_lines(tmp_path / "events.csv", [b"type,event_id", b"login,\xff\xfe", b"login,e2"])
    first, second = read_records(path)
    assert route(first) == "behaviours" or isinstance(route(first), Misfit)
    assert b"\xff" in (first.value or b"")
    assert json.loads(second.value or b"") == {"type": "login", "event_id": "e2"}


@pytest.mark.parametrize("name", ["events.txt", "events", "events.gz", "missing.jsonl"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(UnreadableFile, match=name):
        list(read_records(tmp_path / name))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"PAR1 not really PAR1")
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:-20])
    for name in ("events.parquet", "events.jsonl.gz"):
        with pytest.raises(UnreadableFile, match=name):
            list(read_records(tmp_path / name))


def test_chunks_are_numbered_over_files(tmp_path: Path) -> None:
    path = _write_lines(tmp_path / "events.jsonl", [b"{}"] * 5)
    assert [[record.offset for record in chunk] for chunk in chunks(path, 2, first=7)] == [[7, 8], [9, 10], [11]]
    assert count_records(path) == 5


@pytest.mark.parametrize(
    ("value", "topic", "key", "time"),
    [
        (b'{"type":"purchase","user_id":"u1","time":5,"amount":-1}', "purchases", b"u1", 5),
        (b'{"type":"market_indicator","region":"cn","time":6}', "market", b"cn", 6),
        (b'{"type":"policy_published","name":"p","time":7}', "policies", b"p", 7),
        (b'{"type":"purchase","user_id":17}', "purchases", None, 0),
        (b'{"type":"purchase"}', "purchases", None, 0),
    ],
)
def test_the_type_implies_topic_and_key(value: bytes, topic: str, key: bytes | None, time: int) -> None:
    record = FileRecord(value, None, 0)
    assert route(record) == topic
    assert (record.key, record.time) == (key, time)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"", Refused.NOT_JSON),
        (b"{", Refused.NOT_JSON),
        (b"[1]", Refused.CONTRACT),
        (b"{}", Refused.CONTRACT),
        (b'{"type":5}', Refused.CONTRACT),
        (b'{"type":"unheard_of"}', Refused.CONTRACT),
        (b'{"type":"\xff"}', Refused.NOT_UTF8),
    ],
)
def test_what_belongs_to_no_topic_is_a_misfit_with_a_reason(value: bytes, error: Refused) -> None:
    routed = route(FileRecord(value, None, 0))
    assert isinstance(routed, Misfit)
    assert routed.error == error
    assert routed.message


@pytest.mark.parametrize(
    "odd", [b"{", b'{"type": "dance"}', b'{"type": "login", "time": "soon"}', b'{"type": 5}', b'{"type": "\xff"}', None]
)
def test_rows_are_routed_together_as_they_are_one_by_one(odd: bytes | None) -> None:
    values = [json.dumps(event).encode() for event in EVENTS]
    for rows in (values, [values[0], odd, *values[1:]]):
        together = [FileRecord(value, None, offset) for offset, value in enumerate(rows)]
        alone = [FileRecord(value, None, offset) for offset, value in enumerate(rows)]
        assert list(route_all(together)) == [route(record) for record in alone]
        assert together == alone
