"""Fan-out: branches go on alone, every failure is recorded, and each branch has its share."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from casework.actors.errors import Widened
from casework.actors.patterns import Code, Collect, Combine, FanOut, ForEach, Pattern, Pipeline, Terms
from casework.actors.testing import CaseBench, Ending
from casework.protocols.codec import decode_entry
from casework.protocols.records import CaseResult, Closed, Halted
from casework.protocols.wire import FailureKind, OnStop, Task
from casework.runtime import Case
from casework.runtime.store.base import CaseStatus
from tests.support.pattern_scene import (
    Order,
    Receipt,
    crew,
    decisions,
    fails,
    fakes,
    kept,
    says,
    task,
    tasks,
    writing,
)

pytestmark = pytest.mark.anyio
RECEIPT = Receipt("2026-01-05", 12)
OTHER = Receipt("2026-01-06", 13)
A, B, C = task("a"), task("b"), task("c")
SAYS = {"a": says(RECEIPT, 0.5), "b": says(OTHER, 0.9), "c": says(RECEIPT)}

Crashes = Callable[..., Coroutine[object, object, Ending]]


def fan_out(*branches: Pattern, **figures: Any) -> FanOut:
    return FanOut("all", branches, **{"merge": Collect(), **figures})


def error_of(bench: CaseBench) -> str:
    closed = bench.log("c").entries[-1]
    assert isinstance(closed, Closed)
    return closed.error


async def test_the_values_come_in_the_order_of_the_branches_and_are_as_sure_as_the_least_sure() -> None:
    result = await kept(fan_out(A, B), {"a": says(RECEIPT, 0.5, seconds=1), "b": says(OTHER, 0.9)})
    assert (result.value, result.confidence, result.step) == ([RECEIPT, OTHER], 0.5, "")


async def test_namesakes_are_both_in_the_result_where_nobody_has_looked_at_the_flaws() -> None:
    steps = fan_out(A, task("a"))
    assert (await kept(steps, SAYS, checked=False)).value == [RECEIPT, RECEIPT]


async def test_branches_that_give_different_things_are_combined_by_name() -> None:
    combine = Combine(lambda values: f"{values['a'].amount} and {values['b'].amount}", str)
    assert (await kept(fan_out(A, B, merge=combine), SAYS)).value == "12 and 13"


async def test_a_fast_branch_does_its_next_step_in_the_moment_in_which_a_slow_one_still_waits() -> None:
    slow = says(RECEIPT, seconds=1)
    last = task("c", tools=("read",))
    steps = fan_out(A, Pipeline("fast", (B, Code("turned", Receipt, Order, turned), last)))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {**SAYS, "a": slow, "c": says(RECEIPT, does="read")}), tools=fakes()) as bench:
            await bench.open("all", "c", Order())
            began = bench.clock.wall_micros()
            await bench.forward(seconds=1)
            assert bench.value("c", list[Receipt]) == [RECEIPT, RECEIPT]
            assert [call.at - began for call in bench.tool_calls("read")] == [0]
            bench.log("c").assert_has("task *a", "task *b", "completed *b", "completed *c", "completed *a")


async def turned(case: Case, given: Receipt, terms: Terms) -> Order:
    return Order(given.date)


async def test_one_failure_stops_all_when_all_must_succeed_and_the_others_are_recalled() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(fan_out(A, B), {"a": says(RECEIPT, seconds=9), "b": fails()})) as bench:
            await bench.open("all", "c", Order())
            (decision,) = decisions(bench.log("c"), "all/b")
            assert (decision.options, decision.chosen) == (("go on without it", "stop"), "stop")
            assert "it does not work; 1 are left, 2 needed" in decision.why
            assert bench.row("c").result == CaseResult.FAILED
            assert error_of(bench).startswith("all failed (error): b: task 'b' failed")


@pytest.mark.promise("PATTERN-2")
async def test_it_goes_on_without_a_branch_when_enough_are_left_and_the_log_says_so() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(fan_out(A, B, C, at_least=2), {**SAYS, "b": fails(FailureKind.INVALID)})) as bench:
            await bench.open("all", "c", Order())
            assert bench.value("c", list[Receipt]) == [RECEIPT, RECEIPT]
            (decision,) = decisions(bench.log("c"), "all/b")
            assert decision.chosen == "go on without it"
            assert decision.rule == "fan_out.at_least"
            assert "invalid" in decision.why


async def test_it_stops_as_soon_as_too_few_branches_are_left() -> None:
    skills = {"a": fails(), "b": fails(seconds=1), "c": says(RECEIPT, seconds=9)}
    with anyio.fail_after(5):
        async with CaseBench(crew(fan_out(A, B, C, at_least=2), skills)) as bench:
            await bench.open("all", "c", Order())
            await bench.forward(seconds=1)
            assert [decisions(bench.log("c"), f"all/{name}")[0].chosen for name in "ab"] == ["go on without it", "stop"]
            assert bench.row("c").result == CaseResult.FAILED


async def test_it_goes_on_with_nothing_at_all_when_nothing_is_needed() -> None:
    result = await kept(fan_out(A, B, at_least=0), {"a": fails(), "b": fails()})
    assert result.value == []


async def test_what_a_branch_wrote_is_undone_before_it_goes_on_without_it() -> None:
    steps = fan_out(A, writing("b"), at_least=1)
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {**SAYS, "b": fails(does="book")}), tools=fakes()) as bench:
            await bench.open("all", "c", Order())
            assert [call.tool for call in bench.outside.effects()] == ["book", "unbook"]
            assert bench.value("c", list[Receipt]) == [RECEIPT]
            bench.log("c").assert_has("done *unbook", "decision *")


async def test_no_more_than_so_many_run_together_and_the_next_begins_when_one_ends() -> None:
    skills = {name: says(RECEIPT, seconds=3 if name == "a" else 1) for name in "abcde"}
    with anyio.fail_after(5):
        async with CaseBench(crew(fan_out(*map(task, skills), together=2), skills)) as bench:
            began = bench.clock.wall_micros()
            await bench.open("all", "c", Order())
            await bench.forward(seconds=4)
            ends = [record.at for record in bench.log("c").records if decode_entry(record.frame) in tasks_of(bench)]
            assert [(moment - began) // 1_000_000 for moment in ends] == [0, 0, 1, 2, 3]
            assert bench.value("c", list[Receipt]) == [RECEIPT] * 5


def tasks_of(bench: CaseBench) -> list[Task]:
    return list(tasks(bench.log("c")).values())


async def test_the_branches_share_calls_and_money_and_have_the_whole_time() -> None:
    steps = fan_out(task("a", micros=900), task("b", micros=900, calls=9), weights=(3, 1))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, SAYS, calls=100, micros=1_000, seconds=30)) as bench:
            now = bench.clock.wall_micros()
            await bench.open("all", "c", Order())
            sent = tasks(bench.log("c"))
    assert [(each.budget.calls, each.budget.micros) for each in sent.values()] == [(75, 750), (9, 250)]
    assert {each.deadline for each in sent.values()} == {now + 30_000_000}


async def test_a_deadline_ends_what_lies_below_it_at_any_depth() -> None:
    nested: Pattern = fan_out(task("a", seconds=10))
    for depth in range(4):
        nested = FanOut(f"depth-{depth}", (Pipeline(f"steps-{depth}", (nested,)),), Collect())
    with anyio.fail_after(5):
        async with CaseBench(crew(nested, {"a": says(RECEIPT, seconds=99)}, seconds=10)) as bench:
            await bench.open("depth-3", "c", Order())
            await bench.forward(seconds=9)
            assert bench.row("c").status is not CaseStatus.CLOSED
            await bench.forward(seconds=2)
            assert bench.row("c").result == CaseResult.FAILED
            assert "(timeout)" in error_of(bench)


async def test_a_cancel_reaches_every_depth_and_undoes_what_was_written() -> None:
    inner = fan_out(A, Pipeline("writes", (writing("b"), Code("turned", Receipt, Order, turned), C)), at_least=1)
    outer = FanOut("outer", (inner,), Collect(), at_least=0)
    skills = {"a": says(RECEIPT, seconds=9), "b": says(OTHER, does="book"), "c": says(RECEIPT, seconds=9)}
    with anyio.fail_after(5):
        async with CaseBench(crew(outer, skills), tools=fakes()) as bench:
            await bench.open("outer", "c", Order())
            await bench.cancel("c", reason="enough")
            assert [call.tool for call in bench.outside.effects()] == ["book", "unbook"]
            assert bench.row("c").result == CaseResult.CANCELLED
            assert not decisions(bench.log("c"), "outer/all"), "a cancel is no failure"


async def test_a_part_that_asks_for_more_than_it_has_is_no_failure_but_a_mistake_that_an_operator_sees() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(fan_out(writing("b"), at_least=0), SAYS, tools=("wait",), checked=False)) as bench:
            await bench.open("all", "c", Order())
            halted = bench.log("c").entries[-1]
            assert isinstance(halted, Halted)
            assert halted.reason.startswith(f"{Widened.__name__}: b asks for tools book")


# The same for each item.


async def halves(case: Case, given: Order, terms: Terms) -> list[Order]:
    return [Order(each) for each in given.number.split(",")]


def each(**figures: Any) -> Pipeline:
    return Pipeline("each", (Code("halves", Order, list[Order], halves), ForEach("items", A, 3, **figures)))


async def test_the_same_is_done_for_each_item_of_a_list() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(each(), {"a": says(RECEIPT)}, calls=90)) as bench:
            await bench.open("each", "c", Order("1,2,3"))
            assert bench.value("c", list[Receipt]) == [RECEIPT] * 3
            assert tasks(bench.log("c"))["a"].budget.calls == 15, "half of it, and a third of that"


async def test_a_list_that_is_too_long_is_refused_before_anything_is_sent() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(each(), {"a": says(RECEIPT)})) as bench:
            await bench.open("each", "c", Order("1,2,3,4"))
            assert "items failed (invalid): 4 items, where it takes 3: split the list" in error_of(bench)
            bench.log("c").assert_lacks("task *")


async def test_of_a_short_list_all_items_have_to_succeed_where_more_are_wanted() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(each(at_least=3), {"a": fails(times=1)})) as bench:
            await bench.open("each", "c", Order("1,2"))
            assert bench.row("c").result == CaseResult.FAILED
            (decision,) = [each for number in "01" for each in decisions(bench.log("c"), f"items/a[{number}]")]
            assert decision.chosen == "stop"


async def test_nothing_is_done_for_an_empty_list() -> None:
    async def none(case: Case, given: Order, terms: Terms) -> list[Order]:
        return []

    result = await kept(Pipeline("each", (Code("none", Order, list[Order], none), ForEach("items", A, 3))), SAYS)
    assert result.value == []


# A crash anywhere.

PARTS = fan_out(
    Pipeline("slow", (A, Code("turned", Receipt, Order, turned), C)), writing("b"), writing("d", "book"), at_least=2
)
CRASHING = {
    "a": says(RECEIPT, seconds=1),
    "b": fails(does="book"),
    "c": says(RECEIPT),
    "d": says(OTHER, does="book"),
}


@pytest.mark.crash_anywhere(crew(PARTS, CRASHING), flow="all", inputs=Order("o-9"))
async def test_a_fan_out_ends_the_same_wherever_it_is_killed(crashes: Crashes) -> None:
    whole = await crashes(tools=fakes())
    assert whole.value == [{"date": "2026-01-05", "amount": 12}, {"date": "2026-01-06", "amount": 13}]
    assert sum(whole.effects.times.values()) == 3, "two were booked, and one unbooked"


# What is wrong with a declaration.


@pytest.mark.parametrize(
    ("pattern", "flaw"),
    [
        (FanOut("x", (), Collect()), "has no branches: give it at least one"),
        (fan_out(A, task("a")), "two branches called 'a'"),
        (fan_out(A, task("b", takes=Receipt)), "'b' takes Receipt: begin that branch with a Code step"),
        (fan_out(A, at_least=2), "at least 2 of 1 branches"),
        (fan_out(A, together=0), "`together` of at least 1"),
        (fan_out(A, B, weights=(1,)), "1 weights: give one for each branch, of which there are 2"),
        (fan_out(A, B, weights=(1, 0)), "make every weight larger than 0"),
        (fan_out(A, task("b", on_stop=OnStop.PARK), at_least=1), "give the task on_stop=OnStop.FAIL"),
        (ForEach("x", A, 0), "items_max of at least 1"),
        (ForEach("x", A, 3, at_least=4), "ask for 0 to 3"),
        (ForEach("x", A, 3, together=0), "`together` of at least 1"),
    ],
)
def test_a_declaration_that_cannot_work_is_told_with_what_to_do_about_it(pattern: Pattern, flaw: str) -> None:
    assert [each for each in pattern.flaws() if flaw in each], pattern.flaws()


def test_a_sound_declaration_has_no_flaws_and_says_what_it_takes_and_gives() -> None:
    both = fan_out(A, B, at_least=1)
    assert (both.flaws(), both.takes, both.gives) == ((), Order, list[Receipt])
    items = ForEach("x", A, 3)
    assert (items.flaws(), items.takes, items.gives) == ((), list[Order], list[Receipt])
    assert [edge.label for edge in items.parts] == ["each of at most 3"]
