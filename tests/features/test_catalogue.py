"""The catalogue: complete, true about defaults, and the terms and market that features rest on."""

import re

import numpy as np
import pytest

from features.catalogue import FEATURES, INDEX, RECORD_FEATURES, WIDTH
from features.market import Market
from features.reading import read
from features.record import RECORD
from features.terms import Terms
from messages.inputs import MarketIndicator


def test_every_feature_is_named_once_and_explained() -> None:
    assert len(INDEX) == WIDTH == len(FEATURES)
    assert len(RECORD_FEATURES) >= 60
    assert FEATURES[: len(RECORD_FEATURES)] == RECORD_FEATURES
    for feature in FEATURES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
        assert feature.meaning.endswith(".")
        assert feature.window
        assert feature.unit
        assert np.isfinite(feature.default)


def test_an_empty_record_reads_as_the_documented_defaults() -> None:
    got = read(np.zeros(1, RECORD), np.array([1_700_000_000]), Terms(), Market())[0]
    assert {feature.name: got[INDEX[feature.name]] for feature in RECORD_FEATURES} == {
        feature.name: feature.default for feature in RECORD_FEATURES
    }


def indicator(name: str, value: float, normal: float, time: int, region: str = "north") -> MarketIndicator:
    return MarketIndicator.model_validate(
        {
            "event_id": "m",
            "region": region,
            "time": time + 1_700_000_000_000,
            "indicator": name,
            "value": value,
            "normal": normal,
        }
    )


def test_a_regions_index_is_the_mean_of_its_newest_figures_in_any_order() -> None:
    figures = [
        indicator("unemployment_rate", 6.0, 4.0, 2),
        indicator("unemployment_rate", 9.0, 4.0, 1),
        indicator("price_index", 100.0, 200.0, 1),
        indicator("price_index", 1.0, 1.0, 1, "south"),
    ]
    forward, backward = Market(), Market()
    for figure in figures:
        forward = forward.with_indicator(figure)
    for figure in reversed(figures):
        backward = backward.with_indicator(figure)
    assert forward.index_of("north") == pytest.approx((1.5 + 0.5) / 2)
    assert forward.index_of("south") == forward.index_of("elsewhere") == 1.0
    assert forward.version == backward.version != Market().version
    assert list(forward.arrays[0]) == sorted(forward.arrays[0])


@pytest.mark.parametrize(("value", "index"), [(1e9, 10.0), (-1e9, 0.0)])
def test_an_extreme_figure_stays_within_bounds(value: float, index: float) -> None:
    assert Market().with_indicator(indicator("policy_rate", value, 5e-324, 1)).index_of("north") == index


def test_terms_wake_on_the_day_of_default_too() -> None:
    assert Terms(stage_days=(7, 1), default_days=45).stages() == (1, 7, 45)


@pytest.mark.parametrize(
    "wrong",
    [{"stage_days": (0,)}, {"default_days": 0}, {"night_end": 25}, {"utc_offset": 90_000}, {"allowed_lateness": -1}],
)
def test_terms_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Terms(**wrong)  # type: ignore[arg-type]
