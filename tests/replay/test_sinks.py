import csv
import gzip
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from messages.columns import Source
from messages.message import Message
from messages.verdict import Refusal, Refused
from replay.sinks import ScoreRows, UnknownSuffix, open_files


def _rows(start: int, stop: int) -> ScoreRows:
    count = stop - start
    numbers = np.arange(start, stop)
    return ScoreRows(
        event_id=[f"e,{n}" for n in numbers],
        user_id=[f"u{n}" for n in numbers],
        time=numbers.astype(np.int64),
        default_probability=numbers / 7,
        spending_anomaly=np.full(count, 0.5),
        grade=(numbers % 4).astype(np.uint8),
        limit=numbers.astype(np.int64) * 100,
    )


def _read(path: Path) -> Iterator[dict[str, object]]:
    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
    elif ".csv" in path.suffixes:
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        yield from csv.DictReader(text.splitlines())
    else:
        yield from (json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.jsonl", "s.parquet"])
def test_scores_are_the_same_rows_in_every_form(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with open_files(None, path, None) as sink:
        sink.scores(_rows(0, 3))
        sink.scores(_rows(3, 3))
        sink.scores(_rows(3, 5))
    rows = list(_read(path))
    assert [row["event_id"] for row in rows] == [f"e,{n}" for n in range(5)]
    assert [float(str(row["default_probability"])) for row in rows] == [n / 7 for n in range(5)]
    assert [int(str(row["time"])) for row in rows] == [0, 1000, 2000, 3000, 4000]
    assert [row["grade"] for row in rows] == ["", "A", "B", "C", ""]
    assert [int(str(row["limit"])) for row in rows] == [0, 100, 200, 300, 400]


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.jsonl", "s.parquet"])
def test_how_rows_come_does_not_show_in_the_bytes(tmp_path: Path, name: str) -> None:
    whole, pieces = tmp_path / "whole" / name, tmp_path / "pieces" / name
    for path, cuts in ((whole, [0, 70_000]), (pieces, [0, 1, 65_000, 65_537, 70_000])):
        path.parent.mkdir()
        with open_files(None, path, None) as sink:
            for start, stop in pairwise(cuts):
                sink.scores(_rows(start, stop))
    assert whole.read_bytes() == pieces.read_bytes()


def test_decisions_are_written_as_published(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    with open_files(path, None, None) as sink:
        sink.decisions([Message("warnings", b"u", b'{"a":1}'), Message("warnings", b"u", b'{"a":2}')])
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n'


def test_dead_letters_keep_bytes_that_are_no_text_readable(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with open_files(None, None, path) as sink:
        sink.dead_letters([Refusal(Source("bills", 0), 4, None, b"\xffx", Refused.NOT_UTF8, "value: byte 0")])
    assert json.loads(path.read_text()) == {
        "row": 5, "topic": "bills", "error": "not-utf8", "message": "value: byte 0", "key": None, "value": "\\xffx",
    }  # fmt: skip


def test_an_unknown_form_of_scores_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UnknownSuffix, match=r"scores\.xlsx"), open_files(None, tmp_path / "scores.xlsx", None):
        pytest.fail("opened")
