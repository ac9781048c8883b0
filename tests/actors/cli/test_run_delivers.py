"""What an input folder has to deliver reaches the cases that wait for it, or its sender is told that it did not."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from casework.actors import Crew, DeliverKey, Intake, OpenCase, Policy
from casework.actors.cli import main
from casework.runtime import Case, Flow
from casework.runtime.store.base import DeliverResult, Unavailable, Unknown
from casework.runtime.store.sqlite import SqliteStore


class Nothing(Struct, frozen=True):
    """Inputs of a case that needs none."""


async def papers(case: Case, inputs: Nothing) -> None:
    """Wait for one paper, and then for another."""
    await case.park("first", reason="the first paper is missing")
    await case.park("second", reason="the second paper is missing")


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Deliver both, the one first that nobody waits for yet, and one that nobody will ever wait for."""
    keys = ("second", "never", "first")
    return Intake((OpenCase("papers", "c", Nothing()),), tuple(DeliverKey(key, "here") for key in keys))


crew = Crew("papers", flows=(Flow.of(papers, inputs=Nothing),), policy=Policy(name="papers"), intake=intake)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    return [
        "run",
        f"{__name__}:crew",
        str(tmp_path),
        "--store",
        f"sqlite:///{tmp_path}/cases.db",
        "--out",
        f"{tmp_path}/o",
    ]


def test_what_nobody_waits_for_yet_is_delivered_as_soon_as_somebody_does(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    assert capsys.readouterr() == ("1 cases: 1 completed\n", "")


@pytest.mark.parametrize(
    "answer", [Unavailable("the disk is full"), Unknown("the disk is full")], ids=["not", "perhaps"]
)
def test_what_a_store_did_not_take_is_told_and_delivered_by_the_next_run(
    answer: DeliverResult, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: SqliteStore, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "deliver", refused)
        assert main(command) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("'second' was not delivered: the disk is full; run it again, which does no harm")
    assert main(command) == 0
    assert capsys.readouterr() == ("1 cases: 1 completed\n", "")
