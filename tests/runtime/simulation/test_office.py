"""Crews that undo, cancel, ask people and misbehave, by many seeds: all of it ends as it should, by every named point.

A failing seed says how to run it alone.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

import pytest

from casework.runtime.seams import POINTS, World
from casework.runtime.simulation import FaultPlan, Run, Simulation, draw_plan, simulate
from tests.support.simulated_office_run import bombs_run, crowd_run, desk_run, trips_run
from tests.support.simulated_service import bank_run

HOME = Path(__file__).resolve().parents[3]

Scenario = Callable[[Simulation], Awaitable[dict[str, str]]]

#: Seeds of each scenario.
SEEDS = 8
BLOCK = 4
#: Of the bank's run, which has a test of its own, only so many are run here.
BANK_SEEDS = 4
SCENARIOS = (trips_run, desk_run, bombs_run, crowd_run)
#: Calls of the store that every run, or at least some of them, make.
CALLS = ("open_case", "claim", "renew", "append", "deliver", "decide", "inbox", "held", "reclaim", "case")


@cache
def ran(scenario: Scenario, seed: int) -> Run[dict[str, str]]:
    try:
        return simulate(scenario, seed=seed, plan=draw_plan(seed))
    except BaseException as error:
        error.add_note(f"again: simulate({scenario.__name__}, seed={seed}, plan=draw_plan({seed}), keep=True)")
        raise


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_case_ends_as_it_should_whatever_goes_wrong(scenario: Scenario, first: int) -> None:
    for seed in range(first, first + BLOCK):
        assert ran(scenario, seed).value


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_without_faults_every_case_ends_as_it_should(scenario: Scenario) -> None:
    run = simulate(scenario, seed=1, plan=FaultPlan())
    assert not {name: times for name, times in run.faults.items() if name != "crash"}
    # Only a case whose own code ends its process, or does something else each time, needs anybody.
    assert {case_id for case_id, result in run.value.items() if result == "operator"} <= {"bomb-0", "careless-0"}


def test_every_named_point_is_passed_by_some_seed() -> None:
    passed: Counter[str] = Counter()
    for scenario in (*SCENARIOS, bank_run):
        for seed in range(SEEDS if scenario in SCENARIOS else BANK_SEEDS):
            passed.update(ran(scenario, seed).points)
    known = {*POINTS, *(f"store.{call}.{when}" for call in CALLS for when in ("before", "after"))}
    assert not known - passed.keys(), "never passed"


def test_the_points_in_the_code_are_those_that_are_listed() -> None:
    written: set[str] = set()
    for house in ("runtime", "actors"):
        for path in sorted((HOME / house).rglob("*.py")):
            if "simulation" not in path.parts:
                written.update(re.findall(r'world\.point\("([^"]+)"\)', path.read_text(encoding="utf-8")))
    listed = {name for name in POINTS if name.split(".")[0] not in {"append", "release"}}
    assert written == listed


def test_a_point_is_nothing_where_nobody_asked_for_faults() -> None:
    World().point("append.before")


def test_a_point_is_told_to_whoever_asked_for_faults() -> None:
    class Faults:
        def __init__(self) -> None:
            self.names: list[str] = []

        def point(self, name: str) -> None:
            self.names.append(name)

    faults = Faults()
    World(faults=faults).point("append.before")
    assert faults.names == ["append.before"]
