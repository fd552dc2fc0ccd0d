import pytest
from prometheus_client.parser import text_string_to_metric_families

from telemetry import metrics
from telemetry.meters import PrometheusMeters
from telemetry.metrics import METRICS, Registry

FORBIDDEN_LABELS = {"user", "user_id", "event_id", "message", "reason_text"}


def test_every_metric_is_named_in_base_units() -> None:
    for metric in METRICS:
        assert metric.name.startswith("duewatch_")
        assert not metric.name.endswith(("_ms", "_milliseconds", "_minutes", "_percent", "_kb"))
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith("."), metric.name
        if metric.unit == "second":
            assert "seconds" in metric.name


def test_no_label_can_hold_a_user_id() -> None:
    assert not FORBIDDEN_LABELS & {label for metric in METRICS for label in metric.labels}


def test_every_declared_metric_is_exposed() -> None:
    exposed = {family.name for family in text_string_to_metric_families(Registry().exposition().decode())}
    exposed = {name for name in exposed if not name.endswith("_created")}
    assert {metric.name.removesuffix("_total") for metric in METRICS} == exposed


def test_names_are_declared_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names)) > 15


def test_two_registries_do_not_share_values() -> None:
    one, other = Registry(), Registry()
    one.add(metrics.TIMERS, 3)
    assert one.value(metrics.TIMERS) == 3
    assert other.value(metrics.TIMERS) == 0


def test_a_metric_is_used_as_what_it_is() -> None:
    registry = Registry()
    with pytest.raises(TypeError):
        registry.add(metrics.READY)
    with pytest.raises(TypeError):
        registry.set(metrics.TIMERS, 1)
    with pytest.raises(TypeError):
        registry.observe(metrics.TIMERS, 1)


def test_events_are_told_apart_from_repeats() -> None:
    registry = Registry()
    PrometheusMeters(registry).committed(events=10, duplicates=3, timers=2, seconds=0.01)
    assert registry.value(metrics.EVENTS, disposition="applied") == 7
    assert registry.value(metrics.EVENTS, disposition="duplicate") == 3
    assert registry.value(metrics.TIMERS) == 2


def test_a_partition_given_away_leaves_no_lag_behind() -> None:
    registry = Registry()
    meters = PrometheusMeters(registry)
    meters.unread("bills", 3, 12)
    assert registry.value(metrics.LAG, topic="bills", partition="3") == 12
    meters.unread("bills", 3, None)
    meters.unread("bills", 3, None)
    assert b'partition="3"' not in registry.exposition()


def test_only_the_newest_versions_are_in_force() -> None:
    registry = Registry()
    meters = PrometheusMeters(registry)
    meters.in_force("a@1", "m1", "s1")
    meters.in_force("a@2", "m1", "s1")
    assert registry.value(metrics.IN_FORCE, policy="a@2", market="m1", model="s1") == 1
    assert b"a@1" not in registry.exposition()
