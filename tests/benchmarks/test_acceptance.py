"""What the parts found is held against the aims; the parts themselves do not run here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import acceptance
from benchmarks.acceptance import Point, table

RUN = {"seconds": 10.0, "workers": 1}


def _stream(users: int, median: float, ahead: float) -> dict[str, Any]:
    names = ("kafka_streams", "kafka_streams_eos", "bytewax", "faust_per_event")
    engines = {name: {"ours_is": ahead} for name in names} | {"ours": {"median": median, "ours_is": 1.0}}
    return {"standard": [{"users": users, "engines": engines}]}


FOUND: dict[str, Any] = {
    "standard-5k": _stream(5_000, 400_000, 200.0),
    "standard-500k": _stream(500_000, 120_000, 2.4),
    "product-5k": [{**RUN, "events": events} for events in (700_000, 820_000, 800_000)],
    "product-500k": [{**RUN, "events": 410_000}],
    "workers": [{**RUN, "events": 800_000}, {**RUN, "events": 1_400_000, "workers": 2}],
    "replaying": [{"processes": 1, "rate": 130_000.0}, {"processes": 2, "rate": 210_000.0}],
    "latency": [{"milliseconds": {"p50": p50, "p99": 60.0, "p99.9": 100.0}} for p50 in (11.0, 13.0, 90.0)],
    "latency-beside": [{"milliseconds": {"p50": 16.0, "p99": 40.0, "p99.9": 90.0}}],
    "latency-one": [{"milliseconds": {"p50": 14.0, "p99": 30.0, "p99.9": 50.0}}],
    "deciding": {"conditions": 1.5, "features": 1.2},
    "startup": {"cold": 8.0, "warm": 3.4},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Arguments that every part was run with."""
    given: dict[str, list[str]] = {}

    def run(arguments: Sequence[str]) -> int:
        file = Path(arguments[-1])
        given[file.stem] = list(arguments[:-2])
        file.write_text(json.dumps(FOUND[file.stem]))
        return 0

    monkeypatch.setattr(acceptance, "main_of", lambda _part: run)
    return given


def test_every_aim_is_held_against_the_median_of_its_part(
    asked: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = acceptance.main(["--json", str(tmp_path / "table.json")])
    points = {point["name"]: point for point in json.loads((tmp_path / "table.json").read_text())}
    missed = {name for name, point in points.items() if not point["met"]}
    assert missed == {
        "standard job, 500,000 users, times kafka_streams",
        "standard job, 500,000 users, times kafka_streams_eos",
        "a warning at half of the product path's rate, p99",
        "a warning at half of what is applied beside the load, p50",
    }
    assert code == 1
    assert capsys.readouterr().out.count("MISSED") == len(missed)
    assert points["whole product path, 5,000 users"]["found"] == 80_000
    assert points["two workers, times one, 8 partitions"]["found"] == 1.75
    assert len(points) == 25


def test_latency_is_measured_at_half_of_the_rate_that_was_just_reached_and_of_what_is_applied_beside_the_load(
    asked: dict[str, list[str]], tmp_path: Path
) -> None:
    acceptance.main(["--json", str(tmp_path / "table.json"), "--quick"])
    assert asked["latency"][-2:] == ["--rates", "40000.0"]
    assert asked["latency-beside"][-2:] == ["--shares", "0.5"]
    assert asked["latency-one"][-4:] == ["--partitions", "1", "--shares", "0.5"]
    assert asked["product-5k"][-2:] == ["--repeat", "1"]


def test_what_several_parts_found_is_kept_for_the_pictures(asked: dict[str, list[str]], tmp_path: Path) -> None:
    acceptance.main(["--json", str(tmp_path / "table.json")])
    assert [one["users"] for one in json.loads((tmp_path / "standard.json").read_text())["standard"]] == [
        5_000,
        500_000,
    ]
    assert len(json.loads((tmp_path / "product.json").read_text())) == 6


def test_a_part_that_failed_ends_the_run(asked: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = acceptance.main_of
    monkeypatch.setattr(acceptance, "main_of", lambda part: (lambda _arguments: 1) if part == "product" else ran(part))
    with pytest.raises(SystemExit, match="product-5k failed"):
        acceptance.main([])


def test_the_table_says_which_way_an_aim_points() -> None:
    lines = table([Point("fast", 10.0, 9.5, "times"), Point("short", 10.0, 9.5, "s", least=False)]).splitlines()
    assert "at least" in lines[1]
    assert lines[1].endswith("MISSED")
    assert "at most" in lines[2]
    assert lines[2].endswith("met")
