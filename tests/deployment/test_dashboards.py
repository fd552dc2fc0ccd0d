import re

import pytest
import yaml

from grafana import generate
from tests.deployment.files import DASHBOARD, ROOT, panels, services, undeclared

PANELS = {panel["title"]: panel for panel in panels()}
EXPRESSIONS = [(title, target["expr"]) for title, panel in PANELS.items() for target in panel["targets"]]


def test_the_dashboard_in_the_repository_is_the_generated_one() -> None:
    assert DASHBOARD.read_text() == generate.text(), "run `make dashboards`"


def test_no_two_panels_share_a_title_or_a_place() -> None:
    assert len(PANELS) == len(panels())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels())


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(title: str) -> None:
    panel = PANELS[title]
    assert title.strip()
    assert panel["description"].strip().endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_a_query_names_declared_metrics_and_follows_the_chosen_jobs(title: str, expression: str) -> None:
    assert re.search(r"duewatch_\w+", expression), title
    assert list(undeclared(expression)) == []
    for selector in re.findall(r"duewatch_\w+(\{[^}]*\})?", expression):
        assert 'job=~"$job"' in selector
        assert 'instance=~"$instance"' in selector


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_a_rate_uses_the_interval_that_fits_the_zoom_and_no_counter_is_shown_raw(title: str, expression: str) -> None:
    ranges = re.findall(r"\[([^\]]+)\]", expression)
    assert set(ranges) <= {"$__rate_interval"}, title
    counters = re.findall(r"duewatch_\w+_(?:total|bucket)", expression)
    assert len(ranges) == len(counters), title


def test_the_variables_offer_the_source_the_jobs_and_the_instances() -> None:
    variables = {variable["name"]: variable for variable in generate.dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance"}
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("job", "instance"):
        assert variables[name]["multi"]
        assert variables[name]["allValue"] == ".+"
        assert list(undeclared(variables[name]["query"])) == []


def test_grafana_looks_for_dashboards_where_they_are_mounted() -> None:
    provider = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/duewatch.yml").read_text())["providers"][0]
    mounts = dict(mount.split(":")[:2] for mount in services()["grafana"]["volumes"] if mount.startswith("./"))
    folder = {target: source for source, target in mounts.items()}[provider["options"]["path"]]
    assert (ROOT / folder / "overview.json").exists()
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/overview.json"
