"""What goes wrong follows from the seed, each kind by itself, and nothing does once a run is healed."""

import msgspec
import pytest

from casework.runtime.simulation import FaultPlan, draw_plan
from casework.runtime.simulation.mischief import KILLS_MAX, Mischief
from casework.runtime.simulation.plan import RANGES

SEEDS = 600


def test_a_seed_has_one_plan() -> None:
    assert draw_plan(7) == draw_plan(7)
    assert draw_plan(7) != draw_plan(8)


@pytest.mark.parametrize("name", RANGES)
def test_each_fault_is_left_out_in_a_third_of_the_seeds(name: str) -> None:
    values = [getattr(draw_plan(seed), name) for seed in range(SEEDS)]
    least, most = RANGES[name]
    assert 0.27 < values.count(0.0) / SEEDS < 0.40
    assert all(least <= value <= most for value in values if value)


def test_a_plan_is_a_record_that_can_be_written_down_and_read() -> None:
    plan = draw_plan(3)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=FaultPlan) == plan


def test_a_fault_can_be_taken_out_of_a_plan() -> None:
    plan = FaultPlan(loss=0.3, unheard=0.1)
    assert plan.off("loss") == FaultPlan(unheard=0.1)
    with pytest.raises(TypeError):
        plan.off("weather")


def test_nothing_strikes_once_a_run_is_healed() -> None:
    mischief = Mischief(0, FaultPlan(loss=1.0, delay_seconds=1.0, crash_steps=10.0))
    assert mischief.strikes("loss")
    assert mischief.seconds("delay_seconds") > 0
    assert mischief.apart("crash_steps") > 0
    mischief.heal()
    assert not mischief.strikes("loss")
    assert mischief.seconds("delay_seconds") == 0
    assert mischief.apart("crash_steps") == 0
    assert mischief.happened["loss"] == 1


def test_a_point_kills_in_a_quarter_of_the_seeds_and_a_few_times_at_most() -> None:
    kills = []
    for seed in range(SEEDS):
        mischief = Mischief(seed, FaultPlan(crash_points=1.0))
        kills.append(sum(mischief._kills("append.after") for _ in range(10)))
    assert set(kills) == {0, KILLS_MAX}
    assert 0.20 < kills.count(KILLS_MAX) / SEEDS < 0.30


def test_a_model_answers_what_nobody_can_use_where_the_plan_says_so() -> None:
    assert Mischief(0, FaultPlan()).answered("yes") == "yes"
    mischief = Mischief(0, FaultPlan(model_nonsense=1.0))
    assert "the answer" not in {mischief.answered("the answer") for _ in range(20)}
