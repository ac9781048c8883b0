"""A tiny crew by some seeds: nothing is broken, a seed can be repeated, and without faults nothing strikes."""

import pytest

from casework.actors.simulation import run_seed
from casework.actors.simulation.points import known_points
from casework.runtime.simulation import FaultPlan
from tests.support.shop_crew import crew


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_broken_by_faults(seed: int) -> None:
    report = run_seed(crew, seed)
    assert report.violations == ()
    assert report.case_runs == 6


def test_a_seed_has_one_digest() -> None:
    assert run_seed(crew, 3).digest == run_seed(crew, 3).digest != run_seed(crew, 4).digest


def test_without_faults_nothing_strikes_and_every_line_is_told() -> None:
    report = run_seed(crew, 1, FaultPlan(heal_seconds=1.0), keep=True)
    assert (report.violations, report.faults) == ((), {})
    assert any("bank.pay happens" in line for line in report.told)


def test_some_seed_passes_every_point_that_is_known() -> None:
    passed = {point for seed in range(3) for point in run_seed(crew, seed).points}
    assert set(known_points(crew)) <= passed
