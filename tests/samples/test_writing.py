import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from samples import taiwan
from samples.taiwan import Event
from samples.writing import UnknownFormat, write_events

SAMPLE = Path(taiwan.__file__).parent / "data" / "taiwan-1000.csv.gz"


@pytest.fixture(scope="module")
def clients() -> set[int]:
    return set(taiwan.chosen_ids(SAMPLE, 10))


@pytest.fixture(scope="module")
def expected(clients: set[int]) -> list[Event]:
    return [event for _, event in taiwan.events(SAMPLE, clients)]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_lines_are_the_events_and_the_same_bytes_each_time(
    name: str, tmp_path: Path, clients: set[int], expected: list[Event]
) -> None:
    out = tmp_path / name
    assert taiwan.write(SAMPLE, out, clients) == len(expected)
    content = out.read_bytes()
    lines = (gzip.decompress(content) if name.endswith(".gz") else content).splitlines()
    assert [json.loads(line) for line in lines] == expected
    taiwan.write(SAMPLE, out, clients)
    assert out.read_bytes() == content


def test_parquet_rows_without_their_nulls_are_the_events(
    tmp_path: Path, clients: set[int], expected: list[Event]
) -> None:
    out = tmp_path / "events.parquet"
    assert taiwan.write(SAMPLE, out, clients) == len(expected)
    rows = pq.read_table(out).to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in rows] == expected


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="jsonl"):
        write_events([], tmp_path / "events.xml")
    assert not list(tmp_path.iterdir())
