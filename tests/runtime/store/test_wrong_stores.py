"""Stores that break one promise each: the suite by which others prove theirs finds out about each of them.

A suite that every store passes proves little; this shows that it looks. With everything in its place the same case
passes. That a patch does not fit any more, or that a wrong store breaks down by itself, is no finding: it is the suite
that must say so. It does not know what else the suite asks.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from casework.runtime.store.conformance import StoreConformance
from casework.runtime.store.memory import MemoryStore
from tests.support.wrong_commits import WRONG_TOGETHER
from tests.support.wrong_stores import WRONG, Wrong

SUITE = "casework.runtime.store.conformance."


async def run(wrong: Wrong) -> None:
    """Run the case of the suite that is to notice."""
    await getattr(StoreConformance(), wrong.case)(MemoryStore(), *wrong.parameters)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("wrong", [*WRONG, *WRONG_TOGETHER], ids=lambda wrong: wrong.name)
async def test_a_wrong_store_fails_by_the_case_that_is_about_it(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(wrong)
    wrong.make(monkeypatch)
    with pytest.raises(AssertionError) as failed:
        await run(wrong)
    assert failed.traceback[-1].frame.f_globals["__name__"].startswith(SUITE)


def test_a_suite_that_was_given_no_store_says_what_it_needs(tmp_path: Path) -> None:
    lines = (
        "from casework.runtime.store.conformance import StoreConformance",
        "class TestMine(StoreConformance): pass",
    )
    (tmp_path / "test_mine.py").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "test_mine.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "TestMine gives no store: override the fixture open_store, as docs/stores.md shows" in run.stdout
