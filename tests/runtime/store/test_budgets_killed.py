"""A hundred agents at once on one budget of 1.00, killed for real in the middle: nothing is spent beyond it, ever."""

import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import anyio
import pytest
from postgres_server import PostgresServer

from casework.actors.costs import By, Spent, attributed, costs_of
from casework.runtime.ledger import broken_at, tally
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.urls import open_reader
from tests.support import budget_service
from tests.support.budget_crew import CROWD, DEAR, purchases

NUMBERS = count()
ROOT = Path(__file__).parents[3]
AGENT, TENANT = "agent/default/clerk", "tenant/default"
LIMIT = 1_000_000
PATIENCE_SECONDS = 60.0


def started(url: str, out: Path, *kill: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", budget_service.__name__, url, str(out), *kill]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)


async def standing(url: str) -> tuple[int, int, dict[str, Spent], list[CaseStatus]]:
    """Give what the ledger says was spent and is reserved, what the logs say of it, and where the cases stand."""
    reader = await open_reader(url, World())
    try:
        account, entries = await reader.account(AGENT), await reader.ledger(AGENT)
        assert account is not None
        assert broken_at(account, entries) is None
        rows = await reader.cases()
        calls = [call for row in rows for call in costs_of(row.key, await reader.records(row.key)).spent()]
        total = tally(entries)
        return total.spent, total.reserved, attributed(calls, By.AGENT), [row.status for row in rows]
    finally:
        await reader.aclose()


def killed(url: str, out: Path, kill_at: int, when: str) -> None:
    """Have a process kill itself, and see that no more is spent or reserved than there is."""
    assert started(url, out, str(kill_at), when).wait(PATIENCE_SECONDS) == -signal.SIGKILL
    spent, reserved, _, _ = anyio.run(standing, url)
    assert sum(purchases(out).values()) <= spent + reserved <= LIMIT


def whole(url: str, out: Path) -> None:
    """See that the budget was spent to its end and no further, for just what was bought, and that the logs say so."""
    spent, reserved, said, statuses = anyio.run(standing, url)
    bought = purchases(out)
    assert (spent, reserved, sum(bought.values()), len(bought)) == (LIMIT, 0, LIMIT, LIMIT // DEAR)
    assert said == {AGENT: Spent(calls=len(bought), spent=LIMIT)}
    assert (statuses.count(CaseStatus.CLOSED), statuses.count(CaseStatus.PARKED)) == (len(bought), CROWD - len(bought))


@pytest.mark.promise("BUDGET-1")
def test_a_budget_in_a_file_is_not_overspent_however_often_its_process_is_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cases.db'}"
    for kill_at, when in ((0, "before"), (1, "after"), (20, "before"), (50, "after")):
        killed(url, tmp_path, kill_at, when)
    assert started(url, tmp_path).wait(PATIENCE_SECONDS) == 0
    whole(url, tmp_path)


@pytest.mark.promise("BUDGET-1")
def test_two_processes_on_one_budget_in_a_database_do_not_overspend_it_though_one_is_killed(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url(f"budgets_{next(NUMBERS)}")
    killed(url, tmp_path, 0, "before")
    # Whoever buys beyond that is killed, and only if both are there is anything left for the next one.
    other = started(url, tmp_path, "20", "after")
    one = started(url, tmp_path, "21", "before")
    codes = {one.wait(PATIENCE_SECONDS), other.wait(PATIENCE_SECONDS)}
    assert -signal.SIGKILL in codes
    assert started(url, tmp_path).wait(PATIENCE_SECONDS) == 0
    whole(url, tmp_path)
