"""A service is killed again and again while it works: nothing is lost, nothing happens twice, no log has a gap."""

from pathlib import Path

import pytest

from tests.support.chaos_kill import KillPlan, run


@pytest.mark.promise("FLOW-35")
@pytest.mark.promise("STORE-11")
async def test_a_service_that_is_killed_at_random_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    seen = await run(KillPlan(cases=120, kills=6, seed=11), tmp_path, print)
    assert seen.found.wrong == {}
    assert (seen.found.cases, seen.found.poisoned) == (120, 0)
    assert seen.at_rest < seen.kills, "most kills hit it at work"
