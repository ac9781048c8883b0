"""A service is stopped while it holds cases, and goes on once another has finished them: too late for anything.

The lease lasts as long as in production, so each zombie stands still for some seconds.
"""

from pathlib import Path

import pytest
from postgres_server import PostgresServer

from tests.support.chaos_zombie import ZombiePlan, run


@pytest.mark.promise("NODE-5")
@pytest.mark.promise("STORE-4")
async def test_a_service_that_wakes_after_others_took_its_cases_appends_nothing_and_does_nothing_twice(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    seen = await run(ZombiePlan(pairs=3, zombies=1, leases=1, seed=3), postgres, "zombie", tmp_path, print)
    assert (seen.stale, seen.found.wrong) == (0, {})
    assert (seen.zombies, seen.found.poisoned) == (3, 0)
    assert seen.held >= seen.zombies, "each held something when it was stopped"
    assert seen.fenced > 0, "they tried to append"
