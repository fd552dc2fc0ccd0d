"""Other distributions install packages named `app` and `agents`, too; tests/project tries the installed command."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOW = "import agents, app; print(agents.__file__, app.__file__)"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    for name in ("app", "agents"):
        package = tmp_path / "foreign" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"raise ImportError('this {name} is not ours')")
        (package / "__main__.py").write_text("raise SystemExit('not ours')")
    return tmp_path / "foreign"


def _run(*command: str, path: list[Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": ":".join(map(str, path)), "PATH": "/usr/bin:/bin", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_directory_finds_our_packages_from_anywhere(foreign: Path) -> None:
    result = _run(str(ROOT / "app"), "--help", path=[foreign], cwd=foreign)
    assert result.returncode == 0, result.stderr
    assert "credit-risk" in result.stdout


def test_agents_are_ours_as_well(foreign: Path) -> None:
    result = _run("-c", f"import duewatch; duewatch.prefer_our_packages(); {SHOW}", path=[foreign, ROOT], cwd=foreign)
    assert result.stdout.split() == [str(ROOT / name / "__init__.py") for name in ("agents", "app")], result.stderr


def test_nothing_is_changed_where_ours_are_found_anyway(tmp_path: Path) -> None:
    script = (
        "import sys; before = sys.path[:]; import duewatch; duewatch.prefer_our_packages(); print(sys.path == before)"
    )
    result = _run("-c", script, path=[ROOT], cwd=tmp_path)
    assert result.stdout.strip() == "True", result.stderr
