import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.main import get_command

from app.cli import application
from app.settings import PREFIX, Settings
from telemetry.metrics import METRICS
from tests.project.repository import ROOT, files

DOCUMENTS = [path for path in files() if path.suffix == ".md"]


def commands() -> set[str]:
    """Every command of the CLI, with its words joined by spaces."""
    found: set[str] = set()

    def walk(command: object, words: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", {})
        for name, member in inner.items():
            walk(member, (*words, name))
        if not inner:
            found.add(" ".join(words))

    walk(get_command(application), ())
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_link_leads_to_a_file_of_the_repository(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / document).read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (ROOT / document.parent / unquote(target)).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_file_that_a_document_names_exists(document: Path) -> None:
    text = (ROOT / document).read_text()
    for name in re.findall(r"`((?:[a-z_.-]+/)*[a-zA-Z0-9_.-]+\.(?:py|md|yml|yaml|txt|toml|json|gz))`", text):
        if "/" in name or (ROOT / name).exists():
            assert (ROOT / name).exists() or (ROOT / document.parent / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_command_that_a_document_names_exists(document: Path) -> None:
    known = commands()
    for named in re.findall(r"(?:^|`|\$ )duewatch ((?:[a-z-]+ ?){1,2})", (ROOT / document).read_text(), re.MULTILINE):
        words = named.split()
        assert words[0] in known or " ".join(words[:2]) in known, named


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_setting_or_metric_that_a_document_names_exists(document: Path) -> None:
    text = (ROOT / document).read_text()
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in re.findall(r"DUEWATCH_[A-Z_]+[A-Z]", text):
        assert name in settings or name.removesuffix("_FILE") in settings, name
    metrics = {metric.name for metric in METRICS}
    for name in re.findall(r"`(duewatch_[a-z_]+)", text):
        assert name in metrics, name


def test_the_readme_shows_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    for command in commands():
        assert f"`duewatch {command}" in text, command


def test_every_decision_record_is_listed_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for record in sorted((ROOT / "docs" / "adr").glob("*.md")):
        assert f"docs/adr/{record.name}" in text, record.name
