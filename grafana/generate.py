"""The overview dashboard as code: `python -m grafana.generate` writes grafana/dashboards/overview.json.

Queries are put together from the metrics that telemetry/metrics.py declares, so a metric that is renamed there cannot
be forgotten here.
"""

import json
from pathlib import Path
from typing import Any

from telemetry import metrics
from telemetry.metrics import Metric

OUTPUT = Path(__file__).parent / "dashboards" / "overview.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTOR = 'job=~"$job", instance=~"$instance"'
WIDTH = 24


def rate(metric: Metric, *by: str, where: str = "") -> str:
    """Per-second rate of a counter, summed over the workers, by the given labels."""
    return f"sum{_by(*by)}(rate({metric.name}{{{SELECTOR}{where}}}[$__rate_interval]))"


def quantile(share: float, metric: Metric, *by: str) -> str:
    """A quantile of a histogram over all workers."""
    inner = f"sum{_by('le', *by)}(rate({metric.name}_bucket{{{SELECTOR}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {inner})"


def gauge(function: str, metric: Metric, *by: str) -> str:
    """A gauge, taken together over the workers by `function`."""
    return f"{function}{_by(*by)}({metric.name}{{{SELECTOR}}})"


def series(title: str, description: str, unit: str, *queries: tuple[str, str], stack: bool = False) -> dict[str, Any]:
    """A time-series panel; each query comes with its legend."""
    custom: dict[str, Any] = {"fillOpacity": 30 if stack else 8, "showPoints": "never", "lineWidth": 1}
    if stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    return {
        **_panel("timeseries", title, description, *queries),
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def stat(title: str, description: str, unit: str, query: str, *steps: tuple[float | None, str]) -> dict[str, Any]:
    """One number, coloured by thresholds."""
    thresholds = [{"value": value, "color": colour} for value, colour in steps or ((None, "green"),)]
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": thresholds}, "noValue": "0"}
    return {
        **_panel("stat", title, description, (query, title)),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
    }


def versions(title: str, description: str, metric: Metric) -> dict[str, Any]:
    """A table of the versions in force."""
    panel = _panel("table", title, description, (f"count by (policy, market, model) ({metric.name}{{{SELECTOR}}})", ""))
    panel["targets"][0] |= {"format": "table", "instant": True, "range": False}
    panel["transformations"] = [
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "workers"}}}
    ]
    return {**panel, "fieldConfig": {"defaults": {"unit": "short"}, "overrides": []}, "options": {}}


def rows() -> list[tuple[str, int, int, list[dict[str, Any]]]]:
    """Title, panels per line, height and panels of every row."""
    return [
        ("Is it well?", 6, 4, _health()),
        ("What it decides", 3, 8, _decisions()),
        ("How it flows", 3, 8, _flow()),
        ("What keeps it safe", 3, 8, _safety()),
    ]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, across, height, members in rows():
        grid = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": grid})
        y += 1
        for place, panel in enumerate(members):
            width = WIDTH // across
            panel["gridPos"] = {
                "x": place % across * width,
                "y": y + place // across * height,
                "w": width,
                "h": height,
            }
            panels.append(panel)
        y += -(-len(members) // across) * height
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
    return {
        "uid": "duewatch-overview",
        "title": "Duewatch / Overview",
        "description": "Events in, warnings and limits out, and whether the workers keep up.",
        "tags": ["duewatch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


def _health() -> list[dict[str, Any]]:
    return [
        stat(
            "Processes ready",
            "Workers that own their partitions, reach the store and have read all broadcasts, and the trainer.",
            "short",
            gauge("sum", metrics.READY),
            (None, "red"),
            (1, "green"),
        ),
        stat(
            "Partitions owned",
            "Sum over the workers; equals the deployment's number of partitions when every one has an owner.",
            "short",
            gauge("sum", metrics.PARTITIONS_OWNED),
            (None, "red"),
            (1, "green"),
        ),
        stat(
            "Events per second",
            "User events in committed batches, duplicates included.",
            "cps",
            rate(metrics.EVENTS),
        ),
        stat(
            "Records waiting",
            "Records of the log that no batch has taken yet, over all topics and partitions.",
            "short",
            gauge("sum", metrics.LAG),
            (None, "green"),
            (10_000, "orange"),
            (100_000, "red"),
        ),
        stat(
            "Decision delay, 99 of 100",
            "From the broker's timestamp of a record to its decisions published.",
            "s",
            quantile(0.99, metrics.DECISION_DELAY),
            (None, "green"),
            (0.05, "orange"),
            (1, "red"),
        ),
        stat(
            "Dead-letter share",
            "Refused records among all records.",
            "percentunit",
            f"{rate(metrics.DEAD_LETTERS)} / {rate(metrics.FETCHED)}",
            (None, "green"),
            (0.001, "orange"),
            (0.01, "red"),
        ),
    ]


def _decisions() -> list[dict[str, Any]]:
    raised = ', status="raised"'
    return [
        series(
            "Warnings raised by trigger",
            "New warnings per second; escalations and clearances are not in here.",
            "cps",
            (rate(metrics.WARNINGS, "trigger", where=raised), "{{trigger}}"),
            stack=True,
        ),
        series(
            "Warnings by status",
            "Raised, escalated and cleared warnings per second.",
            "cps",
            (rate(metrics.WARNINGS, "status"), "{{status}}"),
        ),
        series(
            "Warnings raised by severity",
            "New warnings per second by how bad they are.",
            "cps",
            (rate(metrics.WARNINGS, "severity", where=raised), "{{severity}}"),
            stack=True,
        ),
        series(
            "Limit changes",
            "Limit adjustments per second by direction.",
            "cps",
            (rate(metrics.LIMIT_CHANGES, "direction"), "{{direction}}"),
            stack=True,
        ),
        series(
            "Answers to limit requests",
            "Limit decisions per second by outcome.",
            "cps",
            (rate(metrics.LIMIT_DECISIONS, "outcome"), "{{outcome}}"),
            stack=True,
        ),
        series(
            "Collection actions",
            "Collection steps begun or stopped per second.",
            "cps",
            (rate(metrics.COLLECTION_ACTIONS, "action"), "{{action}}"),
            stack=True,
        ),
        series(
            "Score changes by new grade",
            "Users per second whose score or grade moved by more than the policy's step.",
            "cps",
            (rate(metrics.SCORE_CHANGES, "grade"), "{{grade}}"),
            stack=True,
        ),
        series(
            "Labels",
            "Labels that matured per second: what the model learns from.",
            "cps",
            (rate(metrics.TRAINING_EXAMPLES, "label"), "{{label}}"),
        ),
        series(
            "Timers",
            "Timers of users that came due, per second: missed due dates are found by these.",
            "cps",
            (rate(metrics.TIMERS), "timers"),
        ),
    ]


def _flow() -> list[dict[str, Any]]:
    return [
        series(
            "Records by topic",
            "Records handed over by the transport, per second.",
            "cps",
            (rate(metrics.FETCHED, "topic"), "{{topic}}"),
            stack=True,
        ),
        series(
            "Events by what became of them",
            "User events in committed batches per second; duplicates change nothing.",
            "cps",
            (rate(metrics.EVENTS, "disposition"), "{{disposition}}"),
        ),
        series(
            "Dead letters by error",
            "Records refused per second by class of error.",
            "cps",
            (rate(metrics.DEAD_LETTERS, "topic", "error"), "{{topic}}: {{error}}"),
        ),
        series(
            "Records waiting by topic",
            "Records of the log that no batch has taken yet, over all partitions.",
            "short",
            (gauge("sum", metrics.LAG, "topic"), "{{topic}}"),
        ),
        series(
            "Decision delay",
            "From the broker's timestamp of a batch's oldest record to its decisions being published.",
            "s",
            (quantile(0.5, metrics.DECISION_DELAY), "median"),
            (quantile(0.99, metrics.DECISION_DELAY), "99 of 100"),
            (quantile(0.999, metrics.DECISION_DELAY), "999 of 1000"),
        ),
        series(
            "Time of a batch",
            "From gathering a batch to its commit.",
            "s",
            (quantile(0.5, metrics.BATCH_SECONDS), "median"),
            (quantile(0.99, metrics.BATCH_SECONDS), "99 of 100"),
        ),
        series(
            "Batch size",
            "Events decided at once; grows with the lag.",
            "short",
            (quantile(0.5, metrics.BATCH_EVENTS), "median"),
            (quantile(0.99, metrics.BATCH_EVENTS), "99 of 100"),
        ),
        series(
            "Waits for a slower topic",
            "Times per second that the other topics had to wait until unread records of this one arrived.",
            "cps",
            (rate(metrics.HELD_BACK, "topic"), "{{topic}}"),
        ),
        series(
            "Published messages by topic",
            "Messages that the broker has confirmed, per second.",
            "cps",
            (rate(metrics.PUBLISHED, "topic"), "{{topic}}"),
            stack=True,
        ),
    ]


def _safety() -> list[dict[str, Any]]:
    return [
        series(
            "Commits by result",
            "Atomic commits per second. Stale ones were refused to a worker that had lost its partition.",
            "cps",
            (rate(metrics.COMMITS, "result"), "{{result}}"),
        ),
        series(
            "Rewinds by topic",
            "Fetches sought back per second so that no record is skipped: normal at rebalances.",
            "cps",
            (rate(metrics.REWINDS, "topic"), "{{topic}}"),
        ),
        series(
            "Holes in the logs",
            "Offsets per second without a record: compacted is harmless, lost was deleted before it was read.",
            "cps",
            (rate(metrics.SKIPPED, "topic", "reason"), "{{topic}}: {{reason}}"),
        ),
        series(
            "Retries by dependency",
            "Calls of the store or the broker that were tried again, per second.",
            "cps",
            (rate(metrics.RETRIES, "dependency"), "{{dependency}}"),
        ),
        series(
            "Refused broadcasts",
            "Policies, indicators and models per second that were not understood; the old ones stay in force.",
            "cps",
            (rate(metrics.BROADCASTS_REFUSED, "topic"), "{{topic}}"),
        ),
        versions(
            "Versions in force",
            "Policy, market and model in force and the number of workers; more than one line for long: a worker hangs.",
            metrics.IN_FORCE,
        ),
    ]


def _variables() -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}
    ]
    for name, selector in (("job", ""), ("instance", '{job=~"$job"}')):
        variables.append(
            {
                "name": name,
                "label": name.capitalize(),
                "type": "query",
                "datasource": DATASOURCE,
                "query": f"label_values({metrics.READY.name}{selector}, {name})",
                "refresh": 2,
                "includeAll": True,
                "multi": True,
                "allValue": ".+",
                "current": {"text": "All", "value": "$__all"},
            }
        )
    return variables


def _panel(kind: str, title: str, description: str, *queries: tuple[str, str]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": query, "legendFormat": legend, "range": True}
        for place, (query, legend) in enumerate(queries)
    ]
    return {"type": kind, "title": title, "description": description, "datasource": DATASOURCE, "targets": targets}


def _by(*labels: str) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""


def text() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
