"""Publishers, a topic and its subscribers by some seeds: whatever dies, each subscriber has every event once."""

import pytest

from casework.actors.simulation import run_seed
from tests.support.event_crew import crew


@pytest.mark.parametrize("seed", range(6))
def test_no_event_is_lost_or_handled_twice(seed: int) -> None:
    report = run_seed(crew, seed)
    assert report.violations == ()
    assert report.case_runs == 6
