"""The deployment's files as the tests of this folder read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from telemetry.metrics import METRICS

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
RULES = ROOT / "prometheus" / "rules.yml"
RULE_TESTS = ROOT / "prometheus" / "tests.yml"
DASHBOARD = ROOT / "grafana" / "dashboards" / "overview.json"

_LABELS = {metric.name: set(metric.labels) for metric in METRICS}
_SERIES = {
    **{metric.name: metric.name for metric in METRICS if metric.kind != "histogram"},
    **{f"{m.name}_{part}": m.name for m in METRICS if m.kind == "histogram" for part in ("bucket", "sum", "count")},
}


def compose() -> dict[str, Any]:
    """The compose file."""
    read: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return read


def services() -> dict[str, dict[str, Any]]:
    """Its services by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def alerts() -> list[dict[str, Any]]:
    """All alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, rows left out."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def undeclared(expression: str) -> Iterator[str]:
    """Series and labels of an expression that telemetry/metrics.py does not declare."""
    for name in re.findall(r"duewatch_[a-z0-9_]+", expression):
        if name not in _SERIES:
            yield name
    for name, selector in re.findall(r"(duewatch_[a-z0-9_]+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\"", selector):
            if label not in {"job", "instance"} | _LABELS.get(_SERIES.get(name, ""), set()):
                yield f"{name}{{{label}}}"
