"""An agent that runs again after a crash must ask for all that it asked for before, in whatever order."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.wire import Failed, RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.flow.casecell import LAG_SECONDS
from casework.runtime.flow.tasks import SKIP_SECONDS
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import LEASE_OVER, Ask, closed, crashing, crew, entries, runtime, steps, value
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import Caller, Doer, SmallStaff, SmallTool


async def work(case: Case, inputs: Ask) -> Any:
    result = await case.delegate(
        "work", {}, returns=object, goal="work", tools=("read", "write"), tier=RiskTier.REVERSIBLE
    )
    return result.value


async def _done(arguments: object) -> object:
    return arguments


def staff(doer: Doer) -> SmallStaff:
    tools = {"read": SmallTool(_done), "write": SmallTool(_done, RiskTier.REVERSIBLE)}
    return crew(work, doers={"work": doer}, tools=tools)


async def lived(store: MemoryStore, clock: ManualClock, *tools: str) -> None:
    """Have an agent make these calls, one after another, and the process be killed then."""
    reached = anyio.Event()

    async def life(inputs: object, call: Caller) -> object:
        for tool in tools:
            await call(tool, {"of": "the first life"})
        reached.set()
        await anyio.sleep_forever()
        return None

    async with crashing(runtime(staff(life), store, clock)) as machine:
        await machine.open("work", "c1", Ask())
        await reached.wait()
        clock.advance(LAG_SECONDS)
        while len([kind for kind, _ in await steps(store) if kind in {"call", "done"}]) < len(tools):
            await anyio.lowlevel.checkpoint()
    clock.advance(LEASE_OVER)


@pytest.mark.promise("FLOW-21")
@pytest.mark.parametrize("tool", ["read", "write"])
async def test_an_agent_that_ends_without_a_call_that_the_log_has_starts_anew_unless_it_has_written(tool: str) -> None:
    store, clock = MemoryStore(), ManualClock()

    async def forgets(inputs: object, call: Caller) -> object:
        return "nothing asked"

    with anyio.fail_after(5):
        await lived(store, clock, tool)
        again = staff(forgets)
        async with runtime(again, store, clock) as machine:
            row = await machine.wait("c1")
            if tool == "read":
                assert row.status is CaseStatus.CLOSED
                assert await value(store) == "nothing asked"
                assert "without asking for work:read" in (await entries(store, Failed))[0].message
                assert [attempt for _, attempt, _ in again.sent] == [1, 2]
            else:
                assert row.status is CaseStatus.PARKED
                assert "partial" in row.waits[0].reason
                assert "without asking for work:write" in row.waits[0].reason


@pytest.mark.promise("FLOW-21")
@pytest.mark.parametrize("first", ["read", "write"])
async def test_a_new_call_waits_for_those_that_the_log_has_and_is_not_made_if_they_are_skipped(first: str) -> None:
    store, clock = MemoryStore(), ManualClock()

    async def skips(inputs: object, call: Caller) -> object:
        return await call("write" if first == "read" else "read", {"of": "the second life"})

    with anyio.fail_after(5):
        await lived(store, clock, first)
        again = staff(skips)
        async with runtime(again, store, clock) as machine:
            while not again.sent:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert again.performed == []
            clock.advance(SKIP_SECONDS)
            if first == "read":
                await closed(store)
                # Made once, by the new attempt.
                assert ("done", "work@2:write") in await steps(store)
                assert [tool for tool, _, _ in again.performed] == ["write"]
            else:
                while "partial" not in str(row := await machine.wait("c1")):
                    await anyio.lowlevel.checkpoint()
                assert row.status is CaseStatus.PARKED
                assert again.performed == []


@pytest.mark.promise("FLOW-21")
async def test_an_agent_that_works_on_several_things_at_once_may_come_to_them_in_another_order() -> None:
    store, clock, slow = MemoryStore(), ManualClock(), anyio.Event()

    async def both(inputs: object, call: Caller) -> object:
        async def late() -> None:
            await slow.wait()
            await call("read", {"of": "the first life"})

        async def early() -> None:
            await call("write", {"n": 1})

        async with anyio.create_task_group() as jobs:
            jobs.start_soon(late)
            jobs.start_soon(early)
        return "both"

    with anyio.fail_after(5):
        await lived(store, clock, "read")
        again = staff(both)
        async with runtime(again, store, clock) as machine:
            while not again.sent:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert again.performed == []
            slow.set()
            await machine.wait("c1")
        assert await value(store) == "both"
        assert [tool for tool, _, _ in again.performed] == ["write"]
        assert [attempt for _, attempt, _ in again.sent] == [1]
