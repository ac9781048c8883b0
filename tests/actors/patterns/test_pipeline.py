"""Pipelines: each step is given what the one before it gave, and all of them share what there is."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import anyio
import pytest
from msgspec import Struct

from casework.actors.errors import Widened
from casework.actors.patterns import Code, Pattern, Pipeline, Terms, Use
from casework.actors.personal import personal
from casework.actors.testing import CaseBench, Ending
from casework.protocols.records import CaseResult, Halted
from casework.protocols.wire import Evidence, RiskTier
from casework.runtime import Case, Result
from tests.support.pattern_scene import Order, Receipt, crew, fails, fakes, kept, says, task, tasks, writing

pytestmark = pytest.mark.anyio
RECEIPT = Receipt("2026-01-05", 12)
#: A text of which something is said.
DIAGNOSIS: Any = Annotated[str, personal("a diagnosis")]

Crashes = Callable[..., Coroutine[object, object, Ending]]


async def turn(case: Case, given: Receipt, terms: Terms) -> Order:
    return Order(given.date)


TURN = Code("turn", Receipt, Order, turn)
STEPS = Pipeline("steps", (task("a"), TURN, task("b")))


async def test_each_step_is_given_what_the_one_before_it_gave_and_the_least_sure_says_how_sure_it_is() -> None:
    result = await kept(STEPS, {"a": says(RECEIPT, 0.4), "b": says(Receipt("x", 3), 0.9)})
    assert (result.value, result.confidence, result.agent) == (Receipt("x", 3), 0.4, "b/1")
    assert result.step == "b"


class Proving:
    """A step that gives what it was given, with evidence."""

    kind = name = "proves"
    takes = gives = object
    parts = ()

    def __init__(self, *refs: str) -> None:
        self.evidence = tuple(Evidence(ref=ref) for ref in refs)

    def flaws(self) -> tuple[str, ...]:
        return ()

    async def __call__(self, case: Case, given: object, terms: Terms, /) -> Result[object]:
        return Result(given, 1.0, self.evidence, "")


async def test_the_evidence_of_all_steps_is_gathered_in_order_each_thing_once() -> None:
    result = await kept(Pipeline("steps", (Proving("x", "y"), Proving("y", "z"))), {})
    assert [each.ref for each in result.evidence] == ["x", "y", "z"]


async def test_after_a_step_that_fails_none_is_run() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(STEPS, {"a": fails(), "b": says(RECEIPT)})) as bench:
            await bench.open("steps", "c", Order())
            assert bench.row("c").result == CaseResult.FAILED
            assert list(tasks(bench.log("c"))) == ["a"]


async def test_the_steps_share_calls_and_money_by_weight() -> None:
    steps = Pipeline("steps", (task("a", micros=900), TURN, task("b", micros=100)), weights=(6, 1, 3))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"a": says(RECEIPT), "b": says(RECEIPT)}, calls=50, micros=1_000)) as bench:
            await bench.open("steps", "c", Order())
            sent = tasks(bench.log("c")).values()
    assert [(each.budget.calls, each.budget.micros) for each in sent] == [(30, 600), (15, 100)]


async def test_a_step_that_calls_a_tool_of_the_flow_gives_what_that_returned() -> None:
    result = await kept(Pipeline("steps", (Use("read", Order, Receipt), TURN)), {})
    assert (result.value, result.confidence) == (Order("2026-01-05"), 1.0)


@pytest.mark.parametrize(
    ("step", "figures"),
    [
        (Use("read", Order, Receipt), {"tools": ("wait",)}),
        (Use("book", Order, str, RiskTier.REVERSIBLE), {"tier": RiskTier.READ_ONLY}),
        (Use("read", Order, Receipt), {"calls": 0}),
        (Code("reads", Order, Receipt, turn, tools=("read",)), {"tools": ("wait",)}),
    ],
)
async def test_a_step_that_wants_more_than_its_terms_is_not_run(step: Pattern, figures: dict[str, Any]) -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(Pipeline("steps", (step,)), {}, checked=False, **figures), tools=fakes()) as bench:
            await bench.open("steps", "c", Order())
            assert not bench.outside.calls
            halted = bench.log("c").entries[-1]
            assert isinstance(halted, Halted)
            assert halted.reason.startswith(Widened.__name__)


CRASHING = Pipeline("steps", (writing("a"), TURN, writing("b"), TURN, Use("book", Order, str, RiskTier.REVERSIBLE)))


@pytest.mark.crash_anywhere(
    crew(CRASHING, {"a": says(RECEIPT, seconds=1, does="book"), "b": says(RECEIPT, does="book")}),
    flow="steps",
    inputs=Order(),
)
async def test_a_pipeline_ends_the_same_wherever_it_is_killed(crashes: Crashes) -> None:
    whole = await crashes(tools=fakes())
    assert whole.value == "booked"
    assert sum(whole.effects.times.values()) == 3


class Special(Receipt, frozen=True):
    """A receipt of a kind."""


@pytest.mark.parametrize(
    ("pattern", "flaw"),
    [
        (Pipeline("x", ()), "has no steps: give it at least one"),
        (Pipeline("x", (task("a"), task("b"))), "'a' gives Receipt, but 'b' takes Order: put a Code step between them"),
        (Pipeline("x", (task("a"),), (1, 2)), "2 weights: give one for each step, of which there are 1"),
        (Pipeline("x", (task("a"),), (-1,)), "make every weight larger than 0"),
    ],
)
def test_steps_that_do_not_fit_together_are_told_with_what_to_do_about_it(pattern: Pattern, flaw: str) -> None:
    assert [each for each in pattern.flaws() if flaw in each], pattern.flaws()


def receives(type_: object) -> Code:
    return Code("next", type_, Order, turn)


@pytest.mark.parametrize(
    ("given", "taken", "fits"),
    [
        (Special, Receipt, True),
        (Receipt, Special, False),
        (Receipt, Receipt | None, True),
        (Receipt | None, Receipt, False),
        (list[Special], list[Receipt], True),
        (list[Receipt], tuple[Receipt, ...], False),
        (list[Receipt], list, True),
        (Receipt, object, True),
        (Struct, Receipt, False),
        (str, DIAGNOSIS, True),
        (list[DIAGNOSIS], list[str] | None, True),
        (DIAGNOSIS, int, False),
    ],
)
def test_a_step_takes_what_every_value_of_the_one_before_is(given: object, taken: object, fits: bool) -> None:
    steps = Pipeline("x", (Code("first", Order, given, turn), receives(taken)))
    assert (steps.flaws() == ()) is fits
    assert (steps.takes, steps.gives) == (Order, Order)
