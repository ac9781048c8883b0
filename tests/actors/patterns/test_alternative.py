"""Alternatives: what is done about each kind of failure, that nothing is dropped, and that no write is made twice."""

import math
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from casework.actors import Work, WorkFailed
from casework.actors.agent import Skill
from casework.actors.patterns import Again, Alternative, Collect, FanOut, Instead, Pattern, Pipeline, Then, Use
from casework.actors.patterns.alternative import FAILED_RULE, Table
from casework.actors.testing import CaseBench, Ending, Fails, FakePerson, FakeTool, TimesOut
from casework.actors.testing.clock import START
from casework.protocols.records import CaseResult, Closed, Review
from casework.protocols.wire import FailureKind, OnStop, RiskTier
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
RIGHT, OTHER = Receipt("2026-01-05", 12), Receipt("2026-01-06", 13)
A, B = task("a"), task("b")
KNOWN = [kind for kind in FailureKind if kind is not FailureKind.UNKNOWN]

Crashes = Callable[..., Coroutine[object, object, Ending]]


def way(first: Pattern, *row: Any, kind: FailureKind = FailureKind.ERROR, **figures: Any) -> Alternative:
    return Alternative("way", first, {kind: row}, **figures)


def chosen(bench: CaseBench) -> list[str]:
    return [each.chosen for each in decisions(bench.log("c"), "way")]


def told(bench: CaseBench) -> list[str]:
    return [call.tool for call in bench.outside.effects()]


def error_of(bench: CaseBench) -> str:
    closed = bench.log("c").entries[-1]
    assert isinstance(closed, Closed)
    return closed.error


async def test_a_part_that_succeeds_is_all_there_is() -> None:
    result = await kept(way(A, Instead(B)), {"a": says(RIGHT, 0.7), "b": says(OTHER)})
    assert (result.value, result.confidence, result.agent) == (RIGHT, 0.7, "a/1")


async def test_a_row_is_done_in_order_one_with_each_failure_of_its_kind() -> None:
    steps = way(A, Again(wait_seconds=5), Instead(B))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"a": fails(), "b": says(OTHER)})) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(seconds=6)
            assert bench.value("c", Receipt) == OTHER
            first, second = decisions(bench.log("c"), "way")
            assert (first.options, first.chosen) == (("again", "instead:b", "park"), "again")
            assert (second.chosen, second.rule) == ("instead:b", "alternative.error")
            assert "it does not work" in second.why


async def test_each_kind_of_failure_has_a_row_of_its_own() -> None:
    steps = Alternative("way", A, {FailureKind.INVALID: (Instead(B),), FailureKind.ERROR: (Again(),)})
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"a": fails(FailureKind.INVALID), "b": fails(times=1)})) as bench:
            await bench.open("way", "c", Order())
            assert bench.value("c", Receipt) == RIGHT
            assert chosen(bench) == ["instead:b", "again"]


async def test_another_tool_stands_in_for_one_that_fails() -> None:
    steps = Alternative("way", Use("read", Order, Receipt), dict.fromkeys(KNOWN, (Instead(A),)))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"a": says(OTHER)}), tools=fakes(read=FakeTool(plan=[Fails()]))) as bench:
            await bench.open("way", "c", Order())
            assert bench.value("c", Receipt) == OTHER
            assert chosen(bench) == ["instead:a"]


async def test_what_no_row_is_for_parks_and_begins_anew_when_somebody_says_go_on() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(way(A), {"a": fails(times=1)})) as bench:
            await bench.open("way", "c", Order())
            (wait,) = bench.waits("c")
            assert wait.key == "go_on:c:way"
            assert "it does not work" in wait.reason
            await bench.deliver("c")
            assert bench.value("c", Receipt) == RIGHT
            assert chosen(bench) == ["park"]


async def test_what_begins_anew_has_its_whole_table_again_and_time_if_that_is_up() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(way(A, Again()), {"a": fails(times=3)}, seconds=60)) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(hours=2)
            await bench.deliver("c")
            assert bench.value("c", Receipt) == RIGHT
            assert chosen(bench) == ["again", "park", "again"]
            assert tasks(bench.log("c"))["a"].deadline > bench.clock.wall_micros()


async def test_a_person_has_it_begin_anew_as_it_was_or_with_something_else_or_gives_it_up() -> None:
    seen: list[str] = []

    async def particular(inputs: Order, work: object) -> Receipt:
        seen.append(inputs.number)
        if inputs.number != "o-3":
            raise RuntimeError("only o-3 will do")
        return RIGHT

    skills = {"a": Skill(Order, Receipt, particular)}
    with anyio.fail_after(5):
        async with CaseBench(crew(way(A, Then.PERSON), skills)) as bench:
            await bench.open("way", "c", Order("o-1"))
            (review,) = [each for each in bench.log("c").entries if isinstance(each, Review)]
            assert (review.title, review.rule) == ("way failed: try it again?", FAILED_RULE)
            await bench.decide("approve")
            await bench.decide("edit", edited=Order("o-2"))
            await bench.decide("edit", edited=Order("o-3"))
            assert bench.value("c", Receipt) == RIGHT
            await bench.open("way", "d", Order("o-1"))
            await bench.decide("reject", reason="not worth it")
            assert bench.row("d").result == CaseResult.FAILED
    assert seen == ["o-1", "o-1", "o-2", "o-3", "o-1"]


async def test_the_tries_share_what_there_is() -> None:
    steps = way(A, Again(), Instead(B))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"a": fails(), "b": says(OTHER)}, calls=90)) as bench:
            await bench.open("way", "c", Order())
            assert [each.budget.calls for each in tasks(bench.log("c")).values()] == [30, 30]


# Writes.


async def test_what_a_try_wrote_is_undone_before_anything_else_is_tried() -> None:
    steps = way(writing("a"), Instead(writing("b")))
    with anyio.fail_after(5):
        async with CaseBench(
            crew(steps, {"a": fails(does="book"), "b": says(OTHER, does="book")}), tools=fakes()
        ) as bench:
            await bench.open("way", "c", Order())
            assert told(bench) == ["book", "unbook", "book"]
            assert bench.value("c", Receipt) == OTHER


async def test_compensating_undoes_what_was_written_and_lets_the_failure_go_on() -> None:
    with anyio.fail_after(5):
        compensates = crew(way(writing("a"), Then.COMPENSATE), {"a": fails(does="book")})
        async with CaseBench(compensates, tools=fakes()) as bench:
            await bench.open("way", "c", Order())
            assert told(bench) == ["book", "unbook"]
            assert bench.row("c").result == CaseResult.FAILED
            assert error_of(bench).startswith("task 'a' failed (error)")


async def test_a_fan_out_inside_is_all_or_nothing() -> None:
    both = FanOut("both", (writing("a"), task("b")), Collect())
    whole = Alternative("way", both, otherwise=Then.COMPENSATE)
    with anyio.fail_after(5):
        async with CaseBench(
            crew(whole, {"a": says(RIGHT, does="book"), "b": fails(seconds=1)}), tools=fakes()
        ) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(seconds=1)
            assert told(bench) == ["book", "unbook"]
            assert bench.row("c").result == CaseResult.FAILED


PAYS = writing("a", "pay", tier=RiskTier.IRREVERSIBLE, seconds=10)


async def test_after_a_timeout_in_the_middle_of_a_write_that_happened_nothing_else_is_tried() -> None:
    steps = Alternative("way", PAYS, dict.fromkeys(KNOWN, (Instead(B),)))
    people = [FakePerson(rule="effect.partial")]
    with anyio.fail_after(5):
        async with CaseBench(
            crew(steps, {"a": says(RIGHT, does="pay"), "b": says(OTHER)}),
            tools=fakes(pay=FakeTool("paid", plan=[TimesOut(happened=True)])),
            people=people,
        ) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(hours=1)
            assert told(bench) == ["pay"]
            assert bench.row("c").result == CaseResult.PARTIAL
            assert chosen(bench) == []
            assert "b" not in tasks(bench.log("c"))


async def test_after_a_timeout_of_a_write_that_did_not_happen_something_else_is_tried() -> None:
    steps = Alternative("way", PAYS, {FailureKind.TIMEOUT: (Instead(writing("b")),)})
    with anyio.fail_after(5):
        async with CaseBench(
            crew(steps, {"a": says(RIGHT, does="pay"), "b": says(OTHER, does="book")}),
            tools=fakes(pay=FakeTool("paid", plan=[TimesOut(happened=False)])),
        ) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(hours=1)
            assert told(bench) == ["book"]
            assert chosen(bench) == ["instead:b"]
            assert bench.value("c", Receipt) == OTHER


@pytest.mark.promise("PATTERN-3")
async def test_what_may_have_happened_is_not_tried_again_nor_elsewhere_whatever_the_table_says() -> None:
    steps = way(A, Again(), Instead(B), kind=FailureKind.UNKNOWN)
    with anyio.fail_after(5):
        skills = {"a": fails(FailureKind.UNKNOWN), "b": says(OTHER)}
        async with CaseBench(crew(steps, skills, checked=False)) as bench:
            await bench.open("way", "c", Order())
            assert [wait.key for wait in bench.waits("c")] == ["go_on:c:way"]
            (decision,) = decisions(bench.log("c"), "way")
            assert decision.options == ("park",)
            assert "b" not in tasks(bench.log("c"))


async def test_an_alternative_around_another_one_hears_of_what_it_gives_up() -> None:
    inner = Alternative("inner", A, otherwise=Then.COMPENSATE)
    assert (await kept(way(inner, Instead(B)), {"a": fails(), "b": says(OTHER)})).value == OTHER


async def test_of_several_that_wait_for_the_same_word_each_hears_one() -> None:
    steps = FanOut("all", (Pipeline("left", (way(A),)), Pipeline("right", (way(B),))), Collect())
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"a": fails(times=1), "b": fails(times=1)})) as bench:
            await bench.open("all", "c", Order())
            await bench.deliver("go_on:c:way")
            assert [wait.key for wait in bench.waits("c")] == ["go_on:c:way"]
            await bench.deliver("go_on:c:way")
            assert bench.value("c", list[Receipt]) == [RIGHT, RIGHT]


async def test_a_cancel_ends_it_while_it_waits() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(way(A), {"a": fails()})) as bench:
            await bench.open("way", "c", Order())
            await bench.cancel("c")
            assert bench.row("c").result == CaseResult.CANCELLED


# A crash anywhere.

BUSY = Alternative(
    "way",
    writing("a"),
    {FailureKind.ERROR: (Again(wait_seconds=5), Instead(writing("b")), Then.PERSON)},
)


@pytest.mark.crash_anywhere(
    crew(BUSY, {"a": fails(does="book"), "b": fails(does="book"), "c": says(OTHER)}), flow="way", inputs=Order()
)
async def test_an_alternative_ends_the_same_wherever_it_is_killed(crashes: Crashes) -> None:
    whole = await crashes(tools=fakes(), people=[FakePerson("reject", rule=FAILED_RULE, after_seconds=60)])
    assert whole.result == "failed"
    assert sum(whole.effects.times.values()) == 6, "three were booked, and three unbooked"


async def hasty(inputs: Order, work: Work) -> Receipt:
    """Fail unless there is plenty of time."""
    if work.task.deadline < START + 600_000_000:
        raise WorkFailed("it would take longer")
    return RIGHT


@pytest.mark.crash_anywhere(
    crew(way(task("a", seconds=7_200)), {"a": Skill(Order, Receipt, hasty)}, seconds=60, checked=False),
    flow="way",
    inputs=Order(),
)
async def test_a_wait_for_somebody_ends_the_same_wherever_it_is_killed(crashes: Crashes) -> None:
    whole = await crashes(deliveries={"go_on:crash:way": None})
    assert whole.value == {"date": "2026-01-05", "amount": 12}


# What is wrong with a declaration.


@pytest.mark.parametrize(
    ("pattern", "flaw"),
    [
        (way(A, Then.PARK, Instead(B)), "on error: nothing comes after park, with which all begins anew: put the rest"),
        (way(A, Instead(B), kind=FailureKind.UNKNOWN), "never tried again nor elsewhere (instead:b): say PARK"),
        (way(A, Again(), kind=FailureKind.UNKNOWN), "never tried again nor elsewhere (again)"),
        (way(A, Again(-5.0)), "on error: it cannot wait -5.0 seconds: give 0 or more"),
        (way(A, Again(math.nan)), "on error: it cannot wait nan seconds"),
        (way(A, Again(math.inf)), "on error: it cannot wait inf seconds"),
        (way(A, Again(), kind=FailureKind.REFUSED), "does not cure it: say Instead, PARK or PERSON"),
        (way(A, Instead(task("b", gives=str))), "gives Receipt, but 'b' gives str: end it with a Code step"),
        (way(A, Instead(task("b", takes=Receipt))), "is given Order, but 'b' takes Receipt: begin it with a Code step"),
        (way(task("a", on_stop=OnStop.PARK)), "never hears of it when the task 'a' fails"),
        (way(A, Instead(task("b", on_stop=OnStop.REVIEW))), "never hears of it when the task 'b' fails"),
    ],
)
def test_a_declaration_that_cannot_work_is_told_with_what_to_do_about_it(pattern: Pattern, flaw: str) -> None:
    assert [each for each in pattern.flaws() if flaw in each], pattern.flaws()


def test_a_sound_declaration_has_no_flaws_and_shows_on_which_failures_what_is_tried() -> None:
    instead = Instead(B)
    table: Table = {FailureKind.ERROR: (Again(), instead), FailureKind.TIMEOUT: (instead, Then.PERSON)}
    sound = Alternative("x", A, table)
    assert (sound.flaws(), sound.takes, sound.gives, sound.tries) == ((), Order, Receipt, 4)
    assert [edge.label for edge in sound.parts] == ["", "on error, timeout"]
