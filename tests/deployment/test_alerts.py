import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.deployment.files import ROOT, RULE_TESTS, RULES, alerts, undeclared

ALERTS = {alert["alert"]: alert for alert in alerts()}


def expectations() -> list[dict[str, Any]]:
    return [case for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_a_summary_and_a_page_that_says_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"]["summary"]
    page = ROOT / alert["annotations"]["runbook_url"]
    assert page.parent.name == "runbooks"
    text = page.read_text()
    assert f"`{name}`" in text
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert heading in text


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_names_declared_metrics(name: str) -> None:
    assert list(undeclared(ALERTS[name]["expr"])) == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_to_fire_and_to_keep_quiet(name: str) -> None:
    cases = [case for case in expectations() if case["alertname"] == name]
    assert any(case.get("exp_alerts") for case in cases)
    assert any(not case.get("exp_alerts") for case in cases)


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {alert["annotations"]["runbook_url"] for alert in ALERTS.values()}


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus/prometheus.yml"],
        ["check", "rules", str(RULES.relative_to(ROOT))],
        ["test", "rules", str(RULE_TESTS.relative_to(ROOT))],
    ],
)
def test_promtool_accepts_and_proves_the_rules(arguments: list[str]) -> None:
    tool = shutil.which("promtool")
    assert tool, "promtool is not installed"
    done = subprocess.run([tool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
