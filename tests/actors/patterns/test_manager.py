"""A manager goes round until the first of its four bounds, and all of its work fits into what it has."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.actors.patterns import Assignment, Bounds, Code, Manager, Pattern, Subtask
from casework.actors.patterns.bounds import Progress, Stop, part_of_time, stop
from casework.actors.testing import CaseBench
from casework.actors.testing.clock import START
from casework.protocols.records import Decision
from casework.protocols.wire import Task
from casework.runtime import Case, Result
from casework.runtime.seams import MICROS
from tests.support.pattern_crew import Crashes, Job, crew, does, task, unchecked

BOUNDS = Bounds(rounds=5, seconds=600, shares=20, quiet=1)
Found = Sequence[Result[Any]]


def numbers(found: Found) -> list[int]:
    return [result.value.number for result in found]


def brief(job: Job, found: Found) -> Job:
    return Job(len(found), job.word)


def two(plan: Job) -> list[Subtask]:
    """Have both workers work on what was planned."""
    return [Subtask("left", plan), Subtask("right", Job(plan.number + 1))]


def collect(job: Job, found: Found) -> Job:
    return Job(sum(numbers(found)), job.word)


def manager(
    left: Pattern | None = None,
    *,
    bounds: Bounds = BOUNDS,
    split: Callable[[Any], Sequence[Subtask]] = two,
    planner: Pattern | None = None,
) -> Manager:
    workers = {"left": left or task("look"), "right": task("look")}
    return Manager(
        "research", Job, Job, planner or task("plan"), workers, task("sum_up"), brief, split, collect, bounds
    )


SKILLS = {name: does(lambda job: job) for name in ("plan", "look", "sum_up")}


async def ran(made: Manager, *, seconds: float = 0.0) -> tuple[Job, list[Decision], list[Task]]:
    """Give the value, the manager's decisions, and every task that was given out."""
    with anyio.fail_after(5):
        async with CaseBench(unchecked(made, SKILLS, calls=200, micros=1_000, seconds=3_600)) as bench:
            await bench.open("research", "c1", Job(1, "vat"))
            await bench.forward(seconds=seconds)
            entries = bench.log("c1").entries
            decisions = [each for each in entries if isinstance(each, Decision) and each.subject == "research"]
            return bench.value("c1", Job), decisions, [each for each in entries if isinstance(each, Task)]


async def test_rounds_go_on_while_something_new_is_found_and_then_everything_is_combined_once() -> None:
    value, decisions, tasks = await ran(manager(split=lambda plan: two(Job(min(plan.number, 3)))))
    # Rounds find 0 and 1, 2 and 3, 3 and 4, and then nothing that was not there.
    assert value == Job(0 + 1 + 2 + 3 + 4, "vat")
    assert [(each.chosen, each.rule) for each in decisions] == [
        *[("work", "planned")] * 4,
        ("combine", Stop.NOTHING_NEW),
    ]
    assert [each.task for each in tasks].count("sum_up") == 1


async def test_the_rounds_are_bounded() -> None:
    _, decisions, tasks = await ran(manager(bounds=Bounds(rounds=2, seconds=600, shares=20, quiet=1)))
    assert decisions[-1].rule == Stop.ROUNDS
    assert [each.task for each in tasks] == [*["plan", "look", "look"] * 2, "sum_up"]


async def test_shares_are_used_up_and_what_they_do_not_suffice_for_is_told() -> None:
    # Of six shares the combining has one and the first round three: two are left for the second.
    _, decisions, tasks = await ran(manager(bounds=Bounds(rounds=9, seconds=600, shares=6, quiet=1)))
    assert [each.task for each in tasks] == ["plan", "look", "look", "plan", "look", "sum_up"]
    assert decisions[1].why == "round 2, 2 findings, 0 shares left, 1 of 2 sub-tasks left out"
    assert decisions[-1].rule == Stop.MONEY


async def test_time_ends_the_rounds() -> None:
    async def waits(case: Case, job: Job, terms: object) -> Job:
        await case.sleep(200)
        return Job(job.number + 10)

    slow = Code("slow", Job, Job, waits)
    _, decisions, _ = await ran(manager(slow, bounds=Bounds(rounds=9, seconds=300, shares=99, quiet=9)), seconds=900)
    assert [each.rule for each in decisions] == ["planned", "planned", Stop.TIME]


async def test_a_plan_without_sub_tasks_ends_the_rounds() -> None:
    value, decisions, _ = await ran(manager(split=lambda plan: two(plan) if plan.number < 2 else []))
    assert (value.number, decisions[-1].rule) == (1, Stop.DONE)


async def test_a_plan_that_names_a_worker_that_is_not_there_fails() -> None:
    made = manager(split=lambda plan: [Subtask("middle", plan)])
    with pytest.raises(AssertionError, match="the plan names 'middle', and there is left, right"):
        await ran(made)


async def test_all_pieces_together_have_no_more_than_the_manager_and_each_round_its_part_of_the_time() -> None:
    _, _, tasks = await ran(manager())
    assert sum(each.budget.calls for each in tasks) <= 200
    assert sum(each.budget.micros for each in tasks) <= 1_000
    begun = min(each.deadline for each in tasks)
    assert begun == START + 60 * MICROS  # its own bound, which is less than a sixth of ten minutes
    patient = [Assignment(name, Job, Job, name, seconds=9_999.0) for name in ("plan", "look")]
    _, _, tasks = await ran(manager(patient[1], planner=patient[0]))
    assert tasks[0].deadline == START + 100 * MICROS  # one of six parts: five rounds, and the combining
    assert max(each.deadline for each in tasks) <= START + 3_600 * MICROS


SOME = st.integers(-2, 12)


@given(st.builds(Bounds, rounds=SOME, seconds=SOME.map(float), shares=SOME, quiet=SOME))
def test_a_loop_that_lacks_a_bound_is_a_flaw_and_one_that_has_all_four_is_none(bounds: Bounds) -> None:
    missing = [bounds.rounds < 1, bounds.seconds <= 0, bounds.shares < 3, bounds.quiet < 1]
    names = ["rounds", "seconds", "shares", "quiet"]
    flaws = manager(bounds=bounds).flaws()
    if not any(missing) and bounds.quiet > bounds.rounds:
        (never,) = flaws
        assert never.endswith("without news can never end it: give fewer in bounds.quiet")
        return
    assert [flaw.rpartition("bounds.")[2] for flaw in flaws] == [n for n, m in zip(names, missing, strict=True) if m]
    assert all(flaw.startswith("manager 'research' has no bound on ") for flaw in flaws)


@pytest.mark.parametrize("nothing", [None, math.inf, math.nan, "9"])
@pytest.mark.parametrize("name", ["rounds", "seconds", "shares", "quiet"])
def test_what_bounds_nothing_is_no_bound(name: str, nothing: Any) -> None:
    whole: dict[str, Any] = {"rounds": 5, "seconds": 60.0, "shares": 9, "quiet": 1}
    (flaw,) = manager(bounds=Bounds(**whole | {name: nothing})).flaws()
    assert flaw.startswith("manager 'research' has no bound on ")
    assert flaw.endswith(f"bounds.{name}")


@given(
    st.builds(
        Bounds, rounds=st.integers(1, 9), seconds=st.just(1.0), shares=st.integers(3, 99), quiet=st.integers(1, 9)
    ),
    st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(0, 3)), max_size=40),
)
def test_a_loop_stops_at_the_first_bound_it_reaches_and_never_uses_more_than_it_has(
    bounds: Bounds, rounds: list[tuple[int, bool, int]]
) -> None:
    progress, now, until = Progress(left=bounds.shares - 1), 0, 20
    ended = None
    for wanted, news, passed in [*rounds, *[(1, False, 0)] * 10]:
        ended = stop(bounds, progress, now=now, until=until, needed=2)
        if ended is not None:
            break
        assert part_of_time(now, until, bounds.rounds - progress.rounds) <= until
        progress.rounds += 1
        progress.left -= 1 + min(wanted, progress.left - 1)
        progress.quiet = 0 if news else progress.quiet + 1
        now += passed
    assert ended is not None
    assert progress.left >= 0
    reached = {
        Stop.ROUNDS: progress.rounds == bounds.rounds,
        Stop.NOTHING_NEW: progress.quiet == bounds.quiet,
        Stop.TIME: now >= until,
        Stop.MONEY: progress.left < 2,
    }
    assert reached[ended]
    assert progress.rounds <= bounds.rounds
    assert progress.quiet <= bounds.quiet


def test_a_manager_without_workers_or_with_a_combiner_of_another_type_says_so() -> None:
    made = manager()
    lonely = Manager("alone", Job, int, made.planner, {}, made.combiner, brief, two, collect, BOUNDS)
    workers, combiner = lonely.flaws()
    assert workers == "manager 'alone' has no workers; give at least one, by the name that sub-tasks use"
    assert combiner.startswith("manager 'alone': 'sum_up' gives Job, but int is wanted")


@pytest.mark.crash_anywhere(
    crew(manager(bounds=Bounds(rounds=2, seconds=600, shares=9, quiet=1)), SKILLS),
    flow="research",
    inputs=Job(1),
    every=3,
)
async def test_managing_survives_whatever_happens_to_its_process(crashes: Crashes) -> None:
    ended = await crashes()
    assert isinstance(ended.value, dict)
    assert ended.value["number"] == 0 + 1 + 2 + 3
