"""A stopped task that a person has tried again: what it wrote before is the write that it asks for now."""

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, crew, runtime, value
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import Caller, Gone, Lost, SmallTool


async def work(case: Case, inputs: Ask) -> object:
    return (
        await case.delegate("work", inputs, returns=object, goal="Do it.", tools=["write"], tier=RiskTier.IRREVERSIBLE)
    ).value


@pytest.mark.promise("FLOW-21")
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("second", "writes"), [({"n": 1}, 1), ({"n": 2}, 2)])
async def test_what_a_stopped_task_wrote_is_not_written_again_when_an_operator_has_it_tried_again(
    second: dict[str, int], writes: int, restart: bool
) -> None:
    asked = iter([{"n": 1}, second, second])

    async def writes_and_fails_once(inputs: object, call: Caller) -> object:
        arguments = next(asked)
        receipt = await call("write", arguments)
        if len(staff.sent) == 1:
            raise Gone("afterwards")
        return receipt

    async def done(arguments: object) -> object:
        return f"receipt {len(staff.performed)}"

    store = MemoryStore()
    tools = {"write": SmallTool(done, RiskTier.REVERSIBLE)}
    staff = crew(work, doers={"work": writes_and_fails_once}, tools=tools)
    async with runtime(staff, store) as machine:
        await machine.open("work", "c1", Ask(0))
        await machine.wait("c1")
        if not restart:
            await machine.deliver("retry:c1:work", by="operator")
            await machine.wait("c1")
    if restart:
        async with runtime(staff, store) as machine:
            await machine.deliver("retry:c1:work", by="operator")
            await machine.wait("c1")
    assert len({key for _, _, key in staff.performed}) == len(staff.performed) == writes
    assert await value(store) == f"receipt {writes}"


@pytest.mark.promise("FLOW-21")
async def test_a_task_tried_again_while_nobody_knows_of_its_write_waits_for_the_person_who_is_asked() -> None:
    clock, store, lost = ManualClock(), MemoryStore(), anyio.Event()

    async def writes(inputs: object, call: Caller) -> object:
        return await call("write", {"n": 1})

    async def loses(arguments: object) -> object:
        await lost.wait()
        raise Lost("connection lost")

    staff = crew(work, doers={"work": writes}, tools={"write": SmallTool(loses, RiskTier.IRREVERSIBLE)})
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            await machine.open("work", "c1", Ask())
            while not staff.performed:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            clock.advance(61)
            await anyio.wait_all_tasks_blocked()
            lost.set()
            row = await machine.wait("c1")
            assert {wait.kind for wait in row.waits} == {WaitKind.OPERATOR, WaitKind.REVIEW}
            await machine.deliver("retry:c1:work", by="operator")
            row = await machine.wait("c1")
            (asked,) = row.waits
            assert asked.reason == "effect.unknown"
            await machine.decide(asked.key, ReviewAction.APPROVE, by="ann")
            await machine.wait("c1")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
    assert len(staff.performed) == 1
