"""The wheel holds every module under the namespace, and the sdist holds the real folders once."""

import os
import tarfile
import zipfile
from pathlib import Path

import hatchling.build
import pytest
from sources import HOME, HOUSES, files, shown

#: Modules that are installed elsewhere than they stand, each where; see pyproject.toml for why.
ELSEWHERE = {"actors/testing/plugin.py": "casework/pytest_plugin.py"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the wheel and the sdist of the tree as it is."""
    folder = tmp_path_factory.mktemp("dist")
    before = Path.cwd()
    os.chdir(HOME)
    try:
        wheel, sdist = hatchling.build.build_wheel(str(folder)), hatchling.build.build_sdist(str(folder))
    finally:
        os.chdir(before)
    return folder / wheel, folder / sdist


def test_the_wheel_holds_every_module_and_its_types(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {ELSEWHERE.get(shown(path), f"casework/{shown(path)}") for path in files(*HOUSES)}
    assert expected | {f"casework/{house}/py.typed" for house in HOUSES} <= packed
    assert {name.split("/")[0] for name in packed} == {"casework"}
    assert {name.split("/")[1] for name in packed} == {*HOUSES, "pytest_plugin.py"}


def test_the_sdist_holds_each_module_once(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as sdist:
        packed = [name.split("/", 1)[1] for name in sdist.getnames()]
    assert {shown(path) for path in files(*HOUSES)} <= set(packed)
    assert not [name for name in packed if name.startswith(("src", ".venv", "demo/"))]
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"} <= set(packed)


def test_the_command_and_the_plugin_are_declared(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        declared = wheel.read(name).decode()
    assert "casework = casework.actors.cli:main" in declared
    assert "casework = casework.pytest_plugin" in declared


@pytest.mark.parametrize("house", HOUSES)
def test_the_links_point_at_the_houses(house: str) -> None:
    link = HOME / "src" / "casework" / house
    assert link.is_symlink()
    assert link.readlink() == Path("../..") / house


def test_the_locks_pin_by_hash_and_name_no_registry() -> None:
    for name in ("demo.txt", "dev.txt"):
        text = (HOME / ".ci" / "lock" / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index-url" not in text
        assert text.count("==") > 10
        assert "--hash=sha256:" in text
