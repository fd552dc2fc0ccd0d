"""How kernels become machine code: once, by another process, and never the wrong one."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from messages import compiled, machine_code
from messages.compiled import Rows
from messages.machine_code import NotCompiled, begin, finish, name
from tests.messages import bad_kernels, small_kernels, small_parts
from tests.messages.small_kernels import total, turn_round
from tests.messages.small_parts import PAIR
from tests.project.repository import ROOT

MODULES = (small_kernels.__name__, small_parts.__name__)
#: Prints what a kernel gives in a process of its own.
USE = """
import numpy as np
from tests.messages.small_kernels import PAIR, total
pairs = np.ones(3, PAIR)
print(total(pairs, 10, np.zeros((3, 2), np.int64)))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty place for code, and a process that has none yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.setenv("HOME", str(tmp_path))
    begin_anew(monkeypatch)
    yield tmp_path / "code"
    for kernel in (total, turn_round):
        vars(kernel).pop("_code", None)  # its engine goes with the test


def begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "_code", machine_code._Code())
    for kernel in (total, turn_round):
        vars(kernel).pop("_code", None)


def use() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", USE], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kept(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


def pairs() -> Any:
    made = np.zeros(3, PAIR)
    made["first"], made["second"] = [1, 2, 3], [70, 80, 90]
    return made


def test_a_kernel_gives_what_its_function_gives(place: Path) -> None:
    sums, twin = np.zeros((3, 2), np.int64), np.zeros((3, 2), np.int64)
    kernel: Any = total
    assert total(pairs(), -2, sums) == kernel.function(pairs().view(np.recarray), -2, twin) == 228
    assert sums.tolist() == twin.tolist() == [[0, 68], [0, 144], [0, 228]]


def test_what_is_compiled_apart_works_in_place(place: Path) -> None:
    turned = pairs()
    assert turn_round(turned) is None
    assert turned["first"].tolist() == [70, 81, 92]
    assert turned["second"].tolist() == [1, 2, 3]


def test_code_is_found_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(MODULES)
    assert kept(place) == sorted(map(name, MODULES))
    begin_anew(monkeypatch)
    monkeypatch.setattr(sys, "executable", "/nothing/that/compiles")
    assert total(pairs(), 0, np.zeros((3, 2), np.int64)) == 240


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, None])
def test_damaged_code_is_made_anew(place: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None) -> None:
    finish(MODULES)
    for path in place.iterdir():
        path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    begin_anew(monkeypatch)
    assert total(pairs(), 0, np.zeros((3, 2), np.int64)) == 240


def test_where_nothing_can_be_kept_every_process_makes_its_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_text("not a directory")
    monkeypatch.setenv("HOME", str(place))
    assert total(pairs(), 0, np.zeros((3, 2), np.int64)) == 240
    assert place.read_text() == "not a directory"


def test_processes_that_start_at_once_do_each_other_no_harm(place: Path) -> None:
    started = [use() for _ in range(3)]
    assert [process.communicate()[0] for process in started] == ["33\n"] * 3
    assert kept(place) == sorted(map(name, MODULES))


def test_a_file_that_a_dead_process_left_unfinished_is_not_code(place: Path) -> None:
    place.mkdir()
    for module in MODULES:
        (place / f"{name(module)}.4711").write_bytes(b"half")
    assert total(pairs(), 0, np.zeros((3, 2), np.int64)) == 240


def test_the_name_of_code_tells_sources_and_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = name(MODULES[0])
    kernel: Any = total
    with monkeypatch.context() as patch:
        patch.setattr(kernel.parameters[0], "dtype", np.dtype([("first", "u2"), ("second", "u8")]))
        assert name(MODULES[0]) != before
    with monkeypatch.context() as patch:
        patch.setattr(machine_code, "_sources", lambda package: "others")
        assert name(MODULES[0]) != before
    assert name(MODULES[0]) == before


def test_the_sources_of_the_own_package_and_of_messages_count(tmp_path: Path) -> None:
    machine_code._sources.cache_clear()
    (tmp_path / "one.py").write_text("a = 1")
    before = machine_code._sources(tmp_path)
    machine_code._sources.cache_clear()
    (tmp_path / "one.py").write_text("a = 2")
    assert machine_code._sources(tmp_path) != before
    machine_code._sources.cache_clear()


def test_the_sources_of_packages_that_the_own_one_imports_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "_ROOT", tmp_path)
    for package, text in {"upper": "from middle.x import A", "middle": "import lower.x", "lower": "A = 1"}.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "x.py").write_text(text)
    before = machine_code._sources(tmp_path / "upper")
    machine_code._sources.cache_clear()
    (tmp_path / "lower" / "x.py").write_text("A = 2")
    assert machine_code._sources(tmp_path / "upper") != before
    machine_code._sources.cache_clear()


def test_a_process_whose_layouts_are_not_those_of_the_sources_gets_no_code(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel: Any = total
    monkeypatch.setattr(kernel.parameters[0], "dtype", np.dtype([("first", "u2"), ("second", "u8")]))
    with pytest.raises(NotCompiled, match="sources or layouts"):
        finish(MODULES)


def test_kernels_of_modules_that_have_joints_are_found_whatever_else_is_declared(place: Path) -> None:
    import features.reading  # has a joint too  # noqa: F401

    assert total(pairs(), 0, np.zeros((3, 2), np.int64)) == 240
    assert kept(place) == sorted(map(name, MODULES))


def test_what_could_raise_is_no_kernel(place: Path) -> None:
    with pytest.raises(NotCompiled, match="neither raise nor allocate"):
        finish([bad_kernels.__name__])


def test_what_a_compiler_that_failed_was_still_to_compile_fails_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    for code in [begin(module) for module in (bad_kernels.__name__, *MODULES)]:
        with pytest.raises(NotCompiled, match="neither raise nor allocate"):
            code.result()
    for thread in threading.enumerate():
        if thread.name == "compiler":
            thread.join()
    assert died == []


def test_arrays_that_are_not_as_declared_are_refused(place: Path) -> None:
    sums = np.zeros((3, 2), np.int64)
    for others in (pairs().astype([("first", "u4"), ("second", "u4")]), pairs()[None], [1, 2]):
        with pytest.raises(TypeError, match="a kernel wants"):
            total(others, 0, sums)
    with pytest.raises(ValueError, match="contiguous"):
        total(pairs()[::2], 0, sums)
    with pytest.raises(ValueError, match="argument"):
        total(pairs(), 0)  # type: ignore[call-arg]


def test_a_kernel_says_what_it_takes() -> None:
    def takes(values: Annotated[Any, Rows(np.int64)], rate: float) -> None: ...

    with pytest.raises(TypeError, match="rate: what is compiled takes"):
        compiled.Kernel(takes).parameters  # noqa: B018
    del compiled.DECLARED[__name__]
