"""A quarter of two payments, worked by the bookkeeping crew with its real tools, survives a crash at every append."""

import json
from pathlib import Path

import anyio

from casework.actors.testing import FakePerson, crash_anywhere
from examples.bookkeeping.business import read_business
from examples.bookkeeping.crew import crew
from examples.bookkeeping.messages import QuarterInputs
from tests.support.bookkeeping import Paid, make_quarter


async def test_a_small_quarter_ends_with_the_same_overview_wherever_it_is_killed(tmp_path: Path) -> None:
    folder = make_quarter(tmp_path / "in", [Paid("ACME", "-12.10"), Paid("Bank", "-5.00")], ["bon-001.pdf"])
    quarter = read_business(folder).quarter
    outs: list[Path] = []

    def settings() -> dict[str, str]:
        outs.append(tmp_path / f"out-{len(outs)}")
        return {"input": str(folder), "out": str(outs[-1])}

    def overview() -> object:
        return json.loads((outs[-1] / "overview.json").read_text(encoding="utf-8"))

    with anyio.fail_after(60):
        whole = await crash_anywhere(
            crew,
            "quarter",
            QuarterInputs(quarter=quarter),
            case_id=quarter,
            people=[FakePerson(rule="close_quarter", after_seconds=3_600)],
            settings=settings,
            watch=overview,
        )
    assert whole.result == "completed"
    assert sum(whole.effects.times.values()) == 2, "a revision while it is open, and one when it is closed"
    # Whole, killed before and after each append, and before and after it is opened.
    assert len(outs) == 1 + 2 * whole.appends + 2
