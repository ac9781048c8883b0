"""Promises and tests are kept in step, in both directions."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest


def _manifest() -> ModuleType:
    """Load the manifest beside this file; its folder is not importable under this import mode."""
    spec = importlib.util.spec_from_file_location("casework_requirements", Path(__file__).with_name("requirements.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


manifest = _manifest()
pytestmark = pytest.mark.skipif(not manifest.SEMANTICS.exists(), reason="runtime/SEMANTICS.md is not written yet")


@pytest.fixture
def text() -> str:
    return str(manifest.SEMANTICS.read_text(encoding="utf-8"))


def test_every_promise_is_held_by_a_test(text: str) -> None:
    marked = {mark.promise for mark in manifest.held()}
    unheld = [f"line {p.line}: {p.id} {p.sentence}" for p in manifest.promises(text) if p.id not in marked]
    assert not unheld, "promised, but no test bears the id:\n" + "\n".join(unheld)


def test_every_mark_names_a_promise(text: str) -> None:
    known = {promise.id for promise in manifest.promises(text)}
    strays = [f"{mark.test}: {mark.promise}" for mark in manifest.held() if mark.promise not in known]
    assert not strays, "runtime/SEMANTICS.md does not promise this:\n" + "\n".join(strays)


def test_a_promise_is_made_once(text: str) -> None:
    counted = Counter(promise.id for promise in manifest.promises(text))
    assert not [id_ for id_, count in counted.items() if count > 1]


def test_the_promises_are_short_enough_to_be_read(text: str) -> None:
    assert len(text.splitlines()) <= manifest.SEMANTICS_LINES_MAX


def test_marks_are_found_wherever_they_may_stand(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        'pytestmark = [pytest.mark.promise("X-1")]\n'
        '@pytest.mark.promise("X-2", "X-3")\nasync def test_it() -> None: ...\n'
        '@pytest.mark.promise("X-4")\nclass TestMany: ...\n'
        'def helper() -> None:\n    "pytest.mark.promise(X-5)"\n',
        encoding="utf-8",
    )
    found = {(mark.promise, mark.test) for mark in manifest.held(tmp_path)}
    assert found == {
        ("X-1", "test_a.py"),
        ("X-2", "test_a.py::test_it"),
        ("X-3", "test_a.py::test_it"),
        ("X-4", "test_a.py::TestMany"),
    }


def test_a_promise_is_read_with_its_line() -> None:
    found = manifest.promises("# Title\n\n- **STORE-12** A file is kept,\n  whatever comes.\n- no promise\n")
    assert [(promise.id, promise.line) for promise in found] == [("STORE-12", 3)]
