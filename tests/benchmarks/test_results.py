import math
import os

from benchmarks.processor_time import processor_seconds
from benchmarks.standard.results import Run, summaries, table


def run(engine: str, seconds: float, verdict: str = "same") -> Run:
    return Run(engine, 1_000, seconds, {"engine": 0.5, "broker": 0.1, "redis": 0.2}, 7, 0, verdict)


def test_engines_are_compared_by_the_median_of_their_runs() -> None:
    found = summaries([run("ours", 1.0), run("plain", 4.0), run("ours", 2.0), run("plain", 5.0), run("ours", 1.5)])
    assert [round(found["ours"][which]) for which in ("min", "median", "max")] == [500, 667, 1_000]
    assert found["plain"]["median"] == 225
    assert round(found["plain"]["ours_is"], 2) == 2.96


def test_an_engine_with_other_warnings_is_shown_as_such() -> None:
    found = summaries([run("ours", 1.0), run("ours", 1.0, "2 missing, 0 too many")])
    assert found["ours"]["verdict"] == "2 missing, 0 too many; same"
    assert "2 missing" in table(found, 7)


def test_processor_time_of_this_process_passes_and_that_of_none_is_no_number() -> None:
    before = processor_seconds(os.getpid())
    sum(number * number for number in range(1_000_000))
    assert processor_seconds(os.getpid()) >= before > 0
    assert math.isnan(processor_seconds(2**22 + 1))
