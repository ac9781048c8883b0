"""A failing plan becomes the fewest faults that still fail, in a bounded number of runs, the same ones each time."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.runtime.simulation.kinds import KINDS, kinds_on, struck, struck_in_all
from casework.runtime.simulation.plan import RANGES, FaultPlan, draw_plan
from casework.runtime.simulation.shrinking import NEXT, Phase, Shrinker

#: Whether a plan fails, and how often its faults strike.
World = Callable[[FaultPlan], tuple[bool, int]]


def shrunk(plan: FaultPlan, world: World, runs_max: int) -> tuple[Shrinker, list[FaultPlan]]:
    shrinker = Shrinker(plan, world(plan)[1], runs_max=runs_max)
    proposed = []
    while (each := shrinker.propose()) is not None:
        proposed.append(each)
        fails, times = world(each)
        shrinker.hear(fails=fails, struck=times)
    return shrinker, proposed


def amount(plan: FaultPlan) -> int:
    """Strikes that are the more, the harsher a plan is."""
    strengths: list[float] = [getattr(plan, name) for name in kinds_on(plan) if "every" not in name]
    return round(10 * sum(strengths))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world in which some kinds at least are needed, some at a strength; the rest is as irregular as can be."""
    needed = draw(st.sets(st.sampled_from([name for name in KINDS if "every" not in name]), max_size=3))
    strength = draw(st.floats(0, 0.2))
    whims = draw(st.integers(0, 2**32))

    def world(plan: FaultPlan) -> tuple[bool, int]:
        fails = all(getattr(plan, name) > strength for name in needed)
        # Now and then it passes for no reason that anybody sees, as runs do.
        whim = hash((whims, plan)) % 5 == 0
        return fails and not whim, amount(plan) + hash((plan, whims)) % 7

    return world


@given(seed=st.integers(0, 10**6), world=worlds(), runs_max=st.integers(0, 100))
def test_what_is_left_fails_has_no_more_faults_than_before_and_is_found_within_its_bound(
    seed: int, world: World, runs_max: int
) -> None:
    plan = draw_plan(seed)
    shrinker, proposed = shrunk(plan, world, runs_max)
    assert shrinker.best == plan or world(shrinker.best)[0]
    assert set(kinds_on(shrinker.best)) <= set(kinds_on(plan))
    assert (len(kinds_on(shrinker.best)), shrinker.struck) <= (len(kinds_on(plan)), world(plan)[1])
    assert len(proposed) == shrinker.runs <= runs_max
    assert len(set(proposed)) == len(proposed), "nothing is run twice"


@given(seed=st.integers(0, 10**6), world=worlds())
def test_the_same_failure_is_shrunk_in_the_same_way(seed: int, world: World) -> None:
    assert shrunk(draw_plan(seed), world, 50)[1] == shrunk(draw_plan(seed), world, 50)[1]


@given(seed=st.integers(0, 10**6))
def test_no_kind_is_left_that_a_failure_does_not_need(seed: int) -> None:
    plan = draw_plan(seed)
    needed = set(kinds_on(plan)[:2])

    def world(tried: FaultPlan) -> tuple[bool, int]:
        return needed <= set(kinds_on(tried)), 1

    assert set(kinds_on(shrunk(plan, world, 200)[0].best)) == needed


@given(seed=st.integers(0, 10**6))
def test_no_proposal_is_harsher_than_the_plan_in_anything(seed: int) -> None:
    plan = draw_plan(seed)
    _, proposed = shrunk(plan, lambda tried: (bool(kinds_on(tried)), 1), 200)
    for tried in proposed:
        for name in FaultPlan.__struct_fields__:
            before, after = getattr(plan, name), getattr(tried, name)
            rarer = "every" in name or name == "crash_steps"
            assert after == 0.0 or (after >= before if rarer else after <= before), name


def test_a_failure_that_needs_no_fault_is_found_by_one_run() -> None:
    shrinker, proposed = shrunk(draw_plan(1), lambda plan: (True, 0), 64)
    assert kinds_on(shrinker.best) == ()
    assert len(proposed) == 1


def test_a_kind_that_is_needed_becomes_as_mild_as_the_failure_allows() -> None:
    plan = FaultPlan(loss=0.3, delay_seconds=2.0, pause_every_seconds=12.3456)
    shrinker, _ = shrunk(plan, lambda tried: (tried.loss >= 0.1 and tried.pause_every_seconds > 0, amount(tried)), 100)
    assert 0.1 <= shrinker.best.loss < 0.2
    assert shrinker.best.delay_seconds == 0
    assert shrinker.best.pause_every_seconds > 1_000
    assert shrinker.best.heal_seconds < 1


def test_what_strikes_more_often_is_not_milder() -> None:
    plan = FaultPlan(loss=0.2)
    shrinker, _ = shrunk(plan, lambda tried: (tried.loss > 0, 5 if tried.loss < 0.2 else 3), 100)
    assert shrinker.best.loss == 0.2


def test_a_proposal_that_nobody_answered_is_made_again() -> None:
    shrinker = Shrinker(draw_plan(1), struck=9)
    assert shrinker.propose() == shrinker.propose()
    assert shrinker.runs == 1


def test_a_verdict_on_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="nothing was proposed"):
        Shrinker(draw_plan(1), struck=9).hear(fails=True, struck=1)


def test_each_phase_leads_to_the_next_and_the_last_to_none() -> None:
    assert list(NEXT) == [phase for phase in Phase if phase is not Phase.DONE]
    assert Phase.BARE not in NEXT.values()


def test_every_kind_of_fault_that_a_seed_may_have_is_told_in_words() -> None:
    assert set(KINDS) == set(RANGES)
    fields = set(FaultPlan.__struct_fields__)
    assert {kind.lasting for kind in KINDS.values() if kind.lasting} | set(KINDS) | {"heal_seconds"} == fields


def test_a_death_at_a_point_is_not_counted_at_an_await_as_well() -> None:
    faults = {"crash": 5, "crash_points": 2, "loss": 3, "happy": 9}
    assert (struck(faults, "crash_steps"), struck(faults, "crash_points"), struck(faults, "delay_seconds")) == (
        3,
        2,
        None,
    )
    assert struck_in_all(faults) == 8
