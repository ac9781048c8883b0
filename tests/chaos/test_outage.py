"""PostgreSQL goes away under load and comes back: services go on, and nothing is lost or happens twice."""

from pathlib import Path
from typing import Literal

import pytest
from postgres_server import PostgresServer

from tests.support.chaos_outage import OutagePlan, run


@pytest.mark.promise("NODE-1")
@pytest.mark.parametrize("how", ["crashed", "frozen"])
async def test_services_survive_a_server_that_goes_away_and_finish_what_was_asked_of_them(
    postgres: PostgresServer, tmp_path: Path, how: Literal["crashed", "frozen"]
) -> None:
    seen = await run(OutagePlan(5.0, how), postgres, f"outage_{how}", tmp_path, print)
    assert (seen.survivors, seen.found.wrong) == (2, {})
    assert seen.found.poisoned == 0
    assert seen.backlog > 0, "it went away under load"
