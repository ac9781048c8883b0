"""`make chaos` says what was found, and ends with an error if it was anything."""

import json
from pathlib import Path

import pytest

from tests.support import chaos_main
from tests.support.chaos_main import Result, Tell


async def well(folder: Path, tell: Tell) -> Result:
    """Go well."""
    tell("half of it")
    return Result("well", "nothing was done", {}, {"lost": 0})


async def badly(folder: Path, tell: Tell) -> Result:
    """Lose something."""
    return Result("badly", "something was done", {"lost": 2}, {"lost": 2})


async def not_at_all(folder: Path, tell: Tell) -> Result:
    """Fail."""
    raise AssertionError("a service ended by itself")


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_main, "RUNS", {run.__name__: run for run in (well, badly, not_at_all)})


def test_results_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chaos.json"
    assert chaos_main.main(["--json", str(path)]) == 1
    printed = capsys.readouterr()
    assert "well: half of it" in printed.err
    assert "badly    WRONG: lost 2" in printed.out
    assert "WRONG: failed AssertionError: a service ended by itself" in printed.out
    written = json.loads(path.read_text())
    assert [(each["run"], each["wrong"]) for each in written[:2]] == [("well", {}), ("badly", {"lost": 2})]


def test_a_run_that_goes_well_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert chaos_main.main(["well"]) == 0
    assert "nothing was done" in capsys.readouterr().out


def test_a_run_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chaos_main.main(["storm"])
    assert "there are well, badly, not_at_all" in capsys.readouterr().err
