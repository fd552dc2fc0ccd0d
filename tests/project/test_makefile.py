import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project.repository import ROOT, files

MAKE = shutil.which("make") or "make"
DOCUMENTS = [path for path in files() if path.suffix == ".md"]


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [MAKE, *arguments], cwd=ROOT, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )


def targets() -> set[str]:
    return set(re.findall(r"^  make (\S+)", make().stdout, re.MULTILINE))


def test_make_alone_lists_the_targets() -> None:
    assert {"help", "setup", "demo", "test", "check", "contracts", "lock", "dashboards", "secrets"} <= targets()


def test_check_runs_format_lint_types_and_imports() -> None:
    commands = make("--dry-run", "check").stdout
    for command in ("ruff format --check .", "ruff check .", "bin/mypy", "bin/lint-imports"):
        assert command in commands


def test_a_python_that_is_too_old_is_refused_with_a_clear_message(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1"\nexit 1\n')
    old.chmod(0o755)
    done = make("setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13; found: Python 3.8.1" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_second_setup_does_nothing(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("bin/python", ".demo", ".development"):
        (venv / name).touch()
    os.utime(venv / ".development")
    done = make("--dry-run", "setup", f"VENV={venv}")
    assert done.returncode == 0
    assert "pip install" not in done.stdout


def test_the_tests_that_need_something_from_outside_are_left_to_ci() -> None:
    outside = re.search(r"^OUTSIDE := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert outside is not None
    for marker in ("redis_server", "prometheus", "compose"):
        assert marker in outside[1]
        assert marker in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_target_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE)
    assert set(named) <= targets()
