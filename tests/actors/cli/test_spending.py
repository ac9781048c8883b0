"""`casework cost` and `casework budget`: what was spent and by whom, and how a person raises a limit."""

import json
import subprocess
from pathlib import Path

import anyio
import pytest

from casework.actors.cli import main
from casework.actors.cli.exits import Exit
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus
from casework.runtime.telemetry import Telemetry
from tests.support.budget_crew import DEAR, Job, crew
from tests.support.command_desk import Desk


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def said(desk: Desk, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return await anyio.to_thread.run_sync(lambda: desk(*arguments))


async def test_a_limit_that_is_raised_by_the_command_lets_a_waiting_case_go_on_in_its_owner(desk: Desk) -> None:
    with anyio.fail_after(60):
        async with Runtime(crew("[budgets]\nagent = 0.03\n"), desk.store, telemetry=Telemetry.off()) as made:
            await made.open("job", "c1", Job(calls=2, micros=DEAR), project="q3")
            assert (await made.wait("c1")).status is CaseStatus.PARKED
            assert "agent/default/clerk" in (await said(desk, "cases")).stdout
            done = await said(desk, "budget", "set", "agent/default/clerk", "0.05", "--by", "ann")
            assert (done.returncode, done.stderr) == (0, "")
            assert "agent/default/clerk: may spend 0.05, and 0.03 is left" in done.stdout
            await made.wait_idle()
            assert (await made.wait("c1")).status is CaseStatus.CLOSED
            ledger = await made.store.ledger("agent/default/clerk")
            assert [(entry.by, entry.micros) for entry in ledger if entry.kind == "limit"][1:] == [("ann", 50_000)]
    budgets = {row["account"]: row for row in json.loads(desk("budget", "list", "--json").stdout)}
    assert budgets["agent/default/clerk"] == {
        "account": "agent/default/clerk",
        "limit_micros": 50_000,
        "spent_micros": 40_000,
        "reserved_micros": 0,
        "left_micros": 10_000,
    }
    assert budgets["project/default/q3"]["limit_micros"] is None
    assert desk("budget", "list").stdout.splitlines()[1].split() == [
        "agent/default/clerk",
        "0.05",
        "0.04",
        "0.00",
        "0.01",
    ]
    lines = desk("cost", "--by", "project").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["project", "calls", "spent", "open", "unknown"],
        ["project/default/q3", "2", "0.04", "0.00", "0.00"],
        ["total", "2", "0.04", "0.00", "0.00"],
    ]
    told = json.loads(desk("cost", "--by", "tool", "--case", "c1", "--json").stdout)
    assert told["rows"] == [{"tool": "think", "calls": 2, "spent": 40_000, "open": 0, "unknown": 0}]
    assert json.loads(desk("cost", "--since", "2200-01-01", "--json").stdout)["total"]["spent"] == 0


async def test_what_a_case_cost_that_is_not_there_is_not_nothing_but_not_found(desk: Desk) -> None:
    async with Runtime(crew(""), desk.store, telemetry=Telemetry.off()) as made:
        await made.open("job", "c1", Job(calls=1, micros=DEAR))
        await made.wait("c1")
    ended = await said(desk, "cost", "--case", "c2")
    assert (ended.returncode, ended.stdout) == (Exit.NOT_FOUND, "")
    assert "there is no case 'c2'" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "1"), "is no budget"),
        (("agent/default", "1"), "is no budget"),
        (("agent/default/clerk", "much"), "is no amount"),
        (("agent/default/clerk", "-1"), "must be an amount"),
        (("tenant/default", "0.0000001"), "more than six digits"),
    ],
)
def test_what_is_no_budget_or_no_amount_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], said: str
) -> None:
    assert main(["budget", "set", "--", *arguments]) == Exit.USAGE
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert said in told.err
