import re

import pytest

from tests.project.repository import ROOT, locked, project

NAMES = ("benchmark", "build", "demo", "development", "production")


def direct(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_pinned_with_hashes_and_no_registry_is_named(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(name))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)", text)


@pytest.mark.parametrize("name", ["build", "demo", "production"])
def test_a_package_has_the_same_version_in_all_lock_files(name: str) -> None:
    assert locked(name).items() <= locked("development").items()


def test_the_benchmarks_run_the_very_packages_that_are_tested() -> None:
    tested, measured = locked("development"), locked("benchmark")
    assert {name: measured[name] for name in measured.keys() & tested.keys()} == {
        name: tested[name] for name in measured.keys() & tested.keys()
    }


def test_the_lock_files_hold_what_pyproject_asks_for() -> None:
    run, extras = direct(project()["project"]["dependencies"]), project()["project"]["optional-dependencies"]
    assert run <= set(locked("production"))
    assert run | direct(extras["embedded"]) <= set(locked("demo"))
    assert run | direct(extras["embedded"]) | direct(extras["dev"]) <= set(locked("development"))
    assert run | direct(extras["embedded"]) | direct(extras["benchmark"]) <= set(locked("benchmark"))
    assert direct(project()["build-system"]["requires"]) <= set(locked("build")) & set(locked("demo"))


def test_production_holds_neither_the_embedded_servers_nor_development_tools() -> None:
    extras = project()["project"]["optional-dependencies"]
    assert not (direct(extras["embedded"]) | direct(extras["benchmark"]) | {"pytest", "mypy", "ruff"}) & set(
        locked("production")
    )
