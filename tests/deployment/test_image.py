import fnmatch
import re
import tomllib

from app.settings import Settings
from tests.deployment.files import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def copied() -> list[str]:
    """Sources that the image copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_every_copied_file_exists_and_is_let_through_to_the_build() -> None:
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignore[0] == "*"
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
    assert set(allowed) == set(copied())


def test_the_image_holds_every_package_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    for part in wheel["only-include"]:
        assert part in copied(), part


def test_the_base_is_pinned_to_a_python_that_the_project_supports() -> None:
    base = re.search(r"^ARG BASE=python:3\.(\d+)\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert base is not None
    assert 11 <= int(base[1]) <= 13
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}


def test_the_service_runs_as_an_ordinary_user_and_shows_its_port() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("FROM ") :]
    user = re.search(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert user is not None
    assert int(user[1]) >= 10_000
    assert re.search(rf"^EXPOSE {Settings.model_fields['http_port'].default}$", final, re.MULTILINE)


def test_packages_are_installed_by_hash_only() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert len(installs) == 3
    for options in installs:
        assert "--no-index" in options or "--require-hashes" in options, options
