import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.repository import ROOT, files, packages

MODULES = [path for path in files() if path.suffix == ".py"]
SHIPPED = [path for path in MODULES if path.parts[0] in packages()]
#: What would tie the repository to a machine: absolute paths of work places, and registries.
PLACES = re.compile(
    r"(?<![\w.-])/(?:work|root|home|Users)/|/tmp/(?!wheel)|pypi\.|files\.pythonhosted|registry-1|mirror"
)


@pytest.mark.parametrize("module", SHIPPED, ids=str)
def test_a_module_is_short_and_says_what_it_is_for(module: Path) -> None:
    text = (ROOT / module).read_text()
    assert text.count("\n") <= 400
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("module", SHIPPED, ids=str)
def test_a_function_fits_on_a_screen(module: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{module}:{node.lineno} {node.name}"


def test_only_the_settings_read_the_environment() -> None:
    reading = re.compile(r"os\.environ|os\.getenv|from os import .*(environ|getenv)")
    found = {str(module) for module in SHIPPED if reading.search((ROOT / module).read_text())}
    assert found <= {"app/settings.py"}


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    this = Path(__file__).relative_to(ROOT)
    for path in files():
        if path != this and path.suffix not in {".gz", ".parquet"}:
            assert PLACES.findall((ROOT / path).read_text(errors="replace")) == [], path


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("messages/money.py", "import policy.policy"),
        ("features/terms.py", "import redis"),
        ("scoring/model.py", "import faust"),
        ("telemetry/metrics.py", "import messages.topics"),
        ("replay/report.py", "import faust"),
        ("app/cli.py", "import redis"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(module: str, line: str, tmp_path: Path) -> None:
    for package in packages():
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert lint(tmp_path) == 0
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert lint(tmp_path) == 1


def lint(where: Path) -> int:
    script = str(Path(sys.executable).parent / "lint-imports")
    return subprocess.run([script, "--no-cache"], cwd=where, capture_output=True, check=False).returncode
