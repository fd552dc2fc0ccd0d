"""The repository as the tests of this folder read it."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@cache
def files() -> tuple[Path, ...]:
    """All files that belong to the project, relative to its root: what git knows or would take in."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return tuple(Path(name) for name in sorted(set(listed.stdout.split("\0")) - {""}) if (ROOT / name).is_file())


@cache
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> list[str]:
    """The packages that are shipped."""
    included: list[str] = project()["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    return [name for name in included if not name.endswith(".py")]


def locked(name: str) -> dict[str, str]:
    """Version by package of requirements/`name`.txt."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE))
