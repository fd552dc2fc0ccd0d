import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.project.repository import ROOT, packages


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in the wheel."""
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target), cwd=ROOT)
    (built,) = target.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


def test_the_wheel_holds_every_package_with_the_files_that_it_reads(wheel: set[str]) -> None:
    for package in packages():
        assert f"{package}/__init__.py" in wheel
    assert {"duewatch.py", "policy/default.yaml", "samples/data/taiwan-1000.csv.gz", "samples/data/README.md"} <= wheel


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    assert tops == {*packages(), "duewatch.py"}
    assert not [name for name in wheel if "__pycache__" in name]


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """A directory with an `app` and an `agents` of somebody else, which comes before ours on the import path."""
    for name in ("app", "agents"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "__main__.py").write_text("raise SystemExit('the wrong one')")
    return str(tmp_path)


def test_python_m_app_runs_ours_in_the_checkout(foreign: str) -> None:
    assert "credit-risk" in run(sys.executable, "-m", "app", "--help", cwd=ROOT, PYTHONPATH=foreign)


def test_the_console_script_finds_our_packages_from_any_directory_behind_others_of_their_name(foreign: str) -> None:
    script = shutil.which("duewatch", path=str(Path(sys.executable).parent))
    assert script, "run `make setup`: the project is not installed"
    assert "credit-risk" in run(script, "--help", cwd=Path(foreign), PYTHONPATH=foreign)
