"""A crew on three simulated nodes, by many seeds: nothing is lost or happens twice, and everything comes to its end.

A failing seed says how to run it alone.
"""

import pytest

from casework.runtime.simulation import FaultPlan, draw_plan, simulate
from tests.support.simulated_service import CASES, bank_run

#: Seeds of the suite, and how many one test takes.
SEEDS = 40
BLOCK = 8


def plan_of(seed: int) -> FaultPlan:
    # A clock that is set wrong is left out for as long as `test_a_node_whose_clock_is_ahead...` fails.
    return draw_plan(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_case_is_lost_and_no_money_moves_twice(first: int) -> None:
    for seed in range(first, first + BLOCK):
        try:
            run = simulate(bank_run, seed=seed, plan=plan_of(seed))
        except BaseException as error:
            error.add_note(f"again: simulate(bank_run, seed={seed}, plan=plan_of({seed}), keep=True)")
            raise
        assert len(run.value) == len(CASES)


def test_without_faults_every_case_completes() -> None:
    run = simulate(bank_run, seed=1, plan=FaultPlan())
    assert set(run.value.values()) == {"completed"}
    assert run.faults == {}


def test_every_point_is_passed_and_every_fault_strikes() -> None:
    everything = {
        "loss": 0.1,
        "duplication": 0.1,
        "delay_seconds": 0.5,
        "latency_seconds": 0.05,
        "crash_steps": 1_500.0,
        "crash_points": 0.2,
        "pause_every_seconds": 15.0,
        "outage_every_seconds": 15.0,
        "refusal": 0.05,
        "unheard": 0.05,
        "tool_seconds": 2.0,
        "tool_failure": 0.2,
        "tool_unheard": 0.2,
    }
    run = simulate(bank_run, seed=2, plan=FaultPlan(**everything))
    struck = {name for name, times in run.faults.items() if times}
    assert struck >= {"loss", "duplication", "crash", "pause", "outage", "refusal", "unheard", "tool_failure"}
    points = {f"{name}.{when}" for name in ("append", "store.append", "bank.pay") for when in ("before", "after")}
    assert points <= {name for name, times in run.points.items() if times}
