"""What happens to one task more than once stands under a name of its own each time, and can be answered each time."""

import anyio
import anyio.lowlevel
import pytest

from casework.protocols.records import ReviewAction
from casework.protocols.wire import OnStop
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus, ReviewRow
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, Ask, closed, crew, runtime, value
from tests.support.small_staff import Gone


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
        (review, *others) = [each for each in await machine.store.reviews() if each.state == "open"] or [None]
        if row.status is CaseStatus.PARKED and review is not None and len(await machine.store.reviews()) > before:
            assert not others
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
