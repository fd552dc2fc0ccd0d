import re
import shutil
import subprocess
from pathlib import Path
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


PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.stem)
def test_every_runbook_says_which_alert_leads_to_it_and_is_in_the_index(page: Path) -> None:
    text = page.read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("Alert: "))
    assert line.startswith("Alert: none") or any(f"`{name}`" in line for name in ALERTS), line
    assert set(re.findall(r"`(Duewatch\w+)`", text)) <= ALERTS.keys()
    assert f"({page.name})" in (page.parent / "README.md").read_text()
    for heading in ("## What it means", "## What to do"):
        assert heading in text


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
