"""`casework cost` and `casework budget`: what was spent and by whom, and how a person raises a limit."""

import contextlib
import json
import sqlite3
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

ROOT = Path(__file__).parents[3]


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


def test_the_cases_of_a_run_by_command_draw_from_the_budgets_of_a_project_and_a_user(desk: Desk) -> None:
    desk.put(a="1000", b="500")
    run = ("run", "tests.support.budget_command:crew", desk.input, "--out", desk.folder / "out")
    ran = desk(*run, "--project", "q3", "--user", "ann bee", cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")
    for by, name in (("project", "project/default/q3"), ("user", "user/default/ann%20bee")):
        rows = json.loads(desk("cost", "--by", by, "--json").stdout)["rows"]
        assert rows == [{by: name, "calls": 2, "spent": 1500, "open": 0, "unknown": 0}]
    budgets = {row["account"]: row for row in json.loads(desk("budget", "list", "--json").stdout)}
    assert budgets["project/default/q3"]["limit_micros"] == 21_000
    assert budgets["user/default/ann%20bee"]["spent_micros"] == 1_500


def test_a_run_that_names_another_project_or_user_says_of_cases_that_are_there_whose_they_stay(desk: Desk) -> None:
    desk.put(**dict.fromkeys("abcd", "1000"))
    run = ("run", "tests.support.budget_command:crew", desk.input, "--out", desk.folder / "out")
    assert desk(*run, "--project", "q3", cwd=ROOT).stderr == ""
    assert desk(*run, cwd=ROOT).stderr == desk(*run, "--project", "q3", cwd=ROOT).stderr == ""
    desk.put(e="1000")
    ran = desk(*run, "--project", "q4", "--user", "ann", cwd=ROOT)
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 0
    assert line.startswith("casework: warning: ")
    assert line.endswith(" and 1 more: opened before, for project q3 and no user; they draw from those budgets still")
    rows = json.loads(desk("cost", "--by", "project", "--json").stdout)["rows"]
    assert {row["project"] for row in rows} == {"project/default/q3", "project/default/q4"}


@pytest.mark.parametrize("frame", [b"\x81\xa4type\xa3xyz", b"\xc1"], ids=["of a kind that nobody knows", "damaged"])
def test_a_case_whose_first_record_cannot_be_read_does_not_keep_a_run_that_names_a_project_from_the_others(
    desk: Desk, frame: bytes
) -> None:
    desk.put(a="1000", b="500")
    run = ("run", "tests.support.budget_command:crew", desk.input, "--out", desk.folder / "out")
    assert desk(*run, "--project", "q3", cwd=ROOT).stderr == ""
    with contextlib.closing(sqlite3.connect(desk.folder / "cases.db")) as connection, connection:
        connection.execute("UPDATE record SET frame = ? WHERE case_no = 1 AND seq = 0", (frame,))
    desk.put(c="1000")
    ran = desk(*run, "--project", "q4", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stderr.splitlines() if "opened before, for project q3" in line]
    assert "project/default/q4" in desk("cost", "--by", "project").stdout


@pytest.mark.parametrize("option", ["--tenant", "--project", "--user"])
def test_a_name_that_is_none_is_refused_before_anything_is_made(desk: Desk, option: str) -> None:
    for name, why in (
        (" ", "without spaces around it"),
        ("a\tb", "printable text"),
        ("x" * 201, "at most 200 characters"),
    ):
        ran = desk("run", "tests.support.budget_command:crew", desk.input, option, name, cwd=ROOT)
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (Exit.USAGE, "", 1)
        assert ran.stderr.startswith(f"casework: error: {option} ")
        assert why in ran.stderr
    assert not (desk.folder / "cases.db").exists()


@pytest.mark.parametrize("name", [" ", "a\nb", "x" * 201])
async def test_a_project_or_user_that_is_no_name_is_refused_by_the_runtime(name: str) -> None:
    async with Runtime(crew(""), telemetry=Telemetry.off()) as made:
        with pytest.raises(ValueError, match="project"):
            await made.open("job", "c1", Job(), project=name)
        with pytest.raises(ValueError, match="user"):
            await made.open("job", "c1", Job(), user=name)


async def test_a_budget_that_cannot_be_read_hides_no_other_one(desk: Desk) -> None:
    async with Runtime(crew("[budgets]\nagent = 0.03\n"), desk.store, telemetry=Telemetry.off()) as made:
        await made.open("job", "c1", Job(calls=1, micros=DEAR))
        await made.wait("c1")
    with contextlib.closing(sqlite3.connect(desk.folder / "cases.db")) as connection:
        connection.execute("UPDATE account SET spent_micros = 'much' WHERE name = 'case/default/c1'")
        connection.commit()
    ended = await said(desk, "budget", "list")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (Exit.WRONG, 1)
    assert "case/default/c1: cannot be read: account case/default/c1: a number is kept as str" in ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()] == [
        "budget",
        "agent/default/clerk",
        "tenant/default",
    ]
    ended = await said(desk, "budget", "list", "--json")
    rows = {row["account"]: row for row in json.loads(ended.stdout)}
    assert rows["case/default/c1"]["broken"].endswith("a number is kept as str")
    assert (ended.returncode, rows["tenant/default"]["spent_micros"]) == (Exit.WRONG, DEAR)
    verified = await said(desk, "verify")
    assert "account case/default/c1 entry 0: it cannot be read" in verified.stdout


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
