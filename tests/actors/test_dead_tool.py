"""A tool that is dead, and a thousand cases that want it: it is left alone, and one probe brings everybody back."""

from typing import Any

import anyio
import pytest

from casework.actors.breaker import CircuitState
from casework.actors.policy import Breaking, Retries, RetryTable
from casework.actors.testing import CaseBench, FakeTool
from casework.actors.testing.tools import Fails, TimesOut
from casework.actors.tools import WORKERS
from casework.runtime import Case
from casework.runtime.errors import CallFailed
from casework.runtime.staff import Circuit
from tests.support.refund_crew import Refund, crew

CASES = 1_000
#: So many failures open the circuit of the tests.
FAILURES = 5
RULES: dict[str, Any] = {
    "breaker": Breaking(failures=FAILURES, open_seconds=30.0, probes=1),
    "retry": RetryTable(read_only=Retries(attempts=3, backoff_seconds=0.2)),
}


async def asks(case: Case, inputs: Refund) -> int:
    """Ask for the limit; if there is no answer, once more after a minute."""
    try:
        return await case.call("limit", {"customer": inputs.customer}, returns=int)
    except CallFailed:
        await case.sleep(60)
        return await case.call("limit", {"customer": inputs.customer}, returns=int)


async def open_all(bench: CaseBench, count: int = CASES) -> None:
    for number in range(count):
        await bench.runtime.open("asks", f"c{number}", Refund("c", 1))
    await bench.settle()


def circuit(bench: CaseBench) -> Circuit:
    (found,) = [each for each in bench.runtime.staff.circuits() if (each.kind, each.name) == ("tool", "limit")]
    return found


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thousand_cases_call_a_dead_tool_as_often_as_the_policy_says_and_one_probe_brings_all_back() -> None:
    limit = FakeTool(50, plan=[Fails("down", retryable=True)] * FAILURES)
    with anyio.fail_after(60):
        async with CaseBench(crew(asks, **RULES), tools={"limit": limit}) as bench:
            await open_all(bench)
            await bench.forward(seconds=29)
            assert len(bench.calls("limit")) == FAILURES
            assert circuit(bench).state == CircuitState.OPEN
            await bench.forward(seconds=40)
            assert circuit(bench).state == CircuitState.CLOSED
            assert {bench.value(f"c{number}", int) for number in range(CASES)} == {50}
            assert len(bench.calls("limit")) == FAILURES + CASES


async def test_those_that_are_under_way_when_a_silent_tool_is_found_out_are_all_that_is_added() -> None:
    limit = FakeTool(50, plan=[TimesOut()] * 100)
    with anyio.fail_after(20):
        async with CaseBench(crew(asks, **RULES), tools={"limit": limit}) as bench:
            await open_all(bench, 100)
            await bench.forward(seconds=59)
            assert len(bench.calls("limit")) <= FAILURES + WORKERS - 1


async def test_while_one_probe_is_under_way_nobody_else_calls_and_a_bad_one_costs_one_call() -> None:
    limit = FakeTool(50, plan=[*[Fails("down", retryable=True)] * FAILURES, TimesOut()])
    with anyio.fail_after(20):
        async with CaseBench(crew(asks, **RULES), tools={"limit": limit}) as bench:
            await open_all(bench, 100)
            await bench.forward(seconds=80)
            assert len(bench.calls("limit")) == FAILURES + 1
            assert circuit(bench).state == CircuitState.HALF_OPEN
            await bench.forward(seconds=20)
            assert circuit(bench).state == CircuitState.OPEN
            assert circuit(bench).opened == 2


async def test_a_dead_tool_leaves_the_others_alone() -> None:
    tools = {"limit": FakeTool(50, plan=[Fails("down", retryable=True)] * 99), "bank.claim": FakeTool("receipt")}

    async def pays(case: Case, inputs: Refund) -> str:
        try:
            await case.call("limit", {"customer": inputs.customer}, returns=int)
        except CallFailed:
            return await case.call("bank.claim", inputs, returns=str)
        return ""

    with anyio.fail_after(20):
        async with CaseBench(crew(pays, **RULES), tools=tools) as bench:
            for number in range(20):
                await bench.open("pays", f"c{number}", Refund("c", 1))
            await bench.forward(seconds=2)
            assert [bench.value(f"c{number}", str) for number in range(20)] == ["receipt"] * 20
