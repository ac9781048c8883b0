"""Tools that patterns call: one that does not answer is waited for, unless somebody above says what then."""

from typing import Any

import anyio
import pytest

from casework.actors.patterns import Alternative, Code, FanOut, Instead, Pattern, Pipeline, Terms, Use
from casework.actors.patterns.merging import Collect
from casework.actors.testing import CaseBench, FakeTool, TimesOut
from casework.actors.testing.tools import Fails
from casework.protocols.records import CaseResult
from casework.protocols.wire import FailureKind
from casework.runtime import Case
from casework.runtime.store.base import CaseStatus
from tests.support.pattern_scene import Order, Receipt, crew, decisions, fakes, says, task

pytestmark = pytest.mark.anyio
READ = Use("read", Order, Receipt)
RECEIPT = Receipt("2026-01-05", 12)
TRIES = 3


async def turned(case: Case, given: Receipt, terms: Terms) -> Receipt:
    return given


TURN = Code("turn", Receipt, Receipt, turned)


def bench_of(steps: Pattern, *plan: Any, skills: dict[str, Any] | None = None) -> CaseBench:
    return CaseBench(crew(steps, skills or {}), tools=fakes(read=FakeTool(RECEIPT, plan=plan)))


@pytest.mark.parametrize("outage", [TimesOut(), Fails("down", retryable=True)])
@pytest.mark.parametrize("crashes", [False, True])
async def test_a_tool_that_does_not_answer_is_waited_for_and_called_again_when_somebody_says_go_on(
    outage: Any, crashes: bool
) -> None:
    with anyio.fail_after(10):
        async with bench_of(Pipeline("steps", (READ, TURN)), *[outage] * TRIES) as bench:
            await bench.open("steps", "c", Order())
            await bench.forward(minutes=10)
            assert bench.row("c").status is CaseStatus.PARKED
            (wait,) = bench.waits("c")
            assert wait.key == "go_on:c:read"
            (choice,) = decisions(bench.log("c"), "read")
            assert (choice.chosen, choice.rule.partition(".")[0]) == ("park", "use")
            assert choice.why == wait.reason
            if crashes:
                await bench.crash()
            await bench.deliver("go_on:c:read")
            await bench.forward(minutes=10)
            assert bench.value("c", Receipt) == RECEIPT
            assert len(bench.calls("read")) == TRIES + 1


async def test_a_tool_that_says_no_is_not_waited_for() -> None:
    with anyio.fail_after(10):
        async with bench_of(Pipeline("steps", (READ, TURN)), Fails("no such order")) as bench:
            await bench.open("steps", "c", Order())
            assert bench.row("c").result == CaseResult.FAILED


A = task("a")
ABOVE = [
    Alternative("way", Pipeline("steps", (READ, TURN)), {FailureKind.TIMEOUT: (Instead(A),)}),
    FanOut("way", (READ, A), Collect(), at_least=1),
]


@pytest.mark.parametrize("steps", ABOVE, ids=["alternative", "fan-out"])
async def test_whoever_hears_of_it_says_what_then(steps: Pattern) -> None:
    with anyio.fail_after(10):
        async with bench_of(steps, *[TimesOut()] * TRIES, skills={"a": says(RECEIPT)}) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(minutes=10)
            assert bench.row("c").result == CaseResult.COMPLETED


async def test_the_other_branches_go_on_while_one_waits_for_its_tool() -> None:
    steps = FanOut("way", (READ, A), Collect())
    with anyio.fail_after(10):
        async with bench_of(steps, *[TimesOut()] * TRIES, skills={"a": says(RECEIPT)}) as bench:
            await bench.open("way", "c", Order())
            await bench.forward(minutes=10)
            assert [wait.key for wait in bench.waits("c")] == ["go_on:c:read"]
            assert any(step.endswith("/a") and step.startswith("completed") for step in bench.log("c").steps)
            await bench.deliver("go_on:c:read")
            await bench.forward(minutes=10)
            assert bench.value("c", list[Receipt]) == [RECEIPT, RECEIPT]
