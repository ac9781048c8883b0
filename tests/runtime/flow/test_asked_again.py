"""What happens to one task more than once stands under a name of its own each time, and can be answered each time."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import ReviewAction
from casework.protocols.wire import OnStop, RiskTier, Task
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseStatus, ReviewRow
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, Ask, closed, crew, entries, runtime, value
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import Gone, SmallStaff, SmallTool

Caller = Callable[[str, object], Awaitable[object]]
HOUR_MICROS = 3600 * MICROS


async def asks(case: Case, inputs: Ask) -> str:
    try:
        result = await case.delegate(
            "work", {}, returns=str, goal="work", attempts=1, on_stop=OnStop.REVIEW, deadline_seconds=60.0
        )
    except TaskFailed as failed:
        return f"failed: {failed.kind}"
    return result.value


async def fails(inputs: object, call: object) -> str:
    raise Gone("it broke")


async def asked(machine: Runtime, before: int) -> ReviewRow:
    """Wait until a case asks a person about a task again; give the review."""
    while True:
        row = await machine.wait("c1")
        there = await machine.store.reviews()
        found = [each for each in there if each.state == "open"]
        if row.status is CaseStatus.PARKED and found and len(there) > before:
            (review,) = found
            return review
        await anyio.lowlevel.checkpoint()


@pytest.mark.promise("FLOW-18")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_task_that_stops_again_after_a_person_had_it_tried_again_is_asked_about_again(restart: bool) -> None:
    store = MemoryStore()
    staff = crew(asks, doers={"work": fails})
    with anyio.fail_after(10):
        async with runtime(staff, store) as machine:
            await machine.open("asks", "c1", Ask())
            first = await asked(machine, 0)
            if not restart:
                await machine.decide(first.id, ReviewAction.APPROVE, by="ann")
                second = await asked(machine, 1)
        async with runtime(staff, store) as machine:
            if restart:
                await machine.decide(first.id, ReviewAction.APPROVE, by="ann")
                second = await asked(machine, 1)
            assert second.id != first.id
            assert await verify(store) == []
            await machine.decide(second.id, ReviewAction.REJECT, by="ann")
            await closed(store)
    assert await value(store) == "failed: error"
    steps = [record.step_id for record in await store.records(KEY) if record.kind == "review"]
    assert len(set(steps)) == len(steps) == 2
    assert await verify(store) == []


async def holds(case: Case, inputs: Ask) -> object:
    """Have a task that may take an hour, unless somebody has had enough before."""

    async def work(until: int) -> object:
        result = await case.delegate(
            "work", {}, returns=list[str], goal="work", tools=("write",), tier=RiskTier.IRREVERSIBLE, deadline=until
        )
        return result.value

    _, value = await case.first(work(await case.now() + HOUR_MICROS), until_enough(case))
    return value


async def until_enough(case: Case) -> str:
    return (await case.park("enough", reason="r")).by


async def writes_twice(inputs: object, call: Caller) -> object:
    return [await call("write", {"n": number}) for number in range(2)]


async def write(arguments: object) -> object:
    return "written"


def holding() -> SmallStaff:
    return crew(
        holds,
        tools={"write": SmallTool(write, RiskTier.IRREVERSIBLE, approval="may it?")},
        doers={"work": writes_twice},
    )


@pytest.mark.promise("FLOW-36")
@pytest.mark.parametrize("restart", [False, True])
async def test_a_task_that_is_held_twice_goes_on_twice_each_time_with_a_record_of_its_own(restart: bool) -> None:
    store, clock, staff = MemoryStore(), ManualClock(), holding()
    with anyio.fail_after(10):
        async with runtime(staff, store, clock) as machine:
            await machine.open("holds", "c1", Ask())
            first = await asked(machine, 0)
            clock.advance(100)
            await machine.decide(first.id, ReviewAction.APPROVE, by="ann")
            second = await asked(machine, 1)
            clock.advance(200)
            if not restart:
                await machine.decide(second.id, ReviewAction.APPROVE, by="ann")
                await closed(store)
        async with runtime(staff, store, clock) as machine:
            if restart:
                await machine.decide(second.id, ReviewAction.APPROVE, by="ann")
                await closed(store)
    assert await value(store) == ["written", "written"]
    given = [record for record in await store.records(KEY) if record.kind == "task"]
    assert [record.step_id.partition(":")[2] for record in given] == ["", "(held)#1", "(held)#2"]
    deadlines = [task.deadline for task in await entries(store, Task)]
    assert [round((each - deadlines[0]) / MICROS) for each in deadlines] == [0, 100, 300]
    assert await verify(store) == []


async def test_a_held_task_that_nobody_waits_for_any_more_leaves_no_alarm() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(10):
        async with runtime(holding(), store, clock) as machine:
            await machine.open("holds", "c1", Ask())
            await asked(machine, 0)
            (task,) = await entries(store, Task)
            until = clock.wall_micros() + HOUR_MICROS
            assert task.deadline < until
            assert alarms(machine) == [until]
            await machine.deliver("enough", by="ben")
            await closed(store)
            assert alarms(machine) == []
    assert await value(store) == "ben"


def alarms(machine: Runtime) -> list[int]:
    """Give the moments at which something rings."""
    return [alarm.moment for _, _, alarm in machine.node._house.timers._heap if alarm.ring is not None and alarm.moment]
