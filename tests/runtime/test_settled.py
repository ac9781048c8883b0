"""When a run is over: nothing goes on by itself any more, or not for long."""

from dataclasses import replace

import anyio
import pytest

from casework.runtime.flow.case import Case
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import wait_settled
from tests.support.flow_scene import Ask, crew, runtime
from tests.support.manual_clock import ManualClock


async def doze(case: Case, inputs: Ask) -> str:
    """Sleep so many tenths of seconds, then do it once more."""
    await case.sleep(inputs.n / 10)
    await case.sleep(inputs.n / 10)
    return "awake"


@pytest.mark.parametrize(("tenths", "status"), [(10, CaseStatus.CLOSED), (40, CaseStatus.PARKED)])
async def test_a_run_waits_for_cases_that_go_on_by_themselves_in_a_moment_but_not_for_long(
    tenths: int, status: CaseStatus
) -> None:
    clock, store = ManualClock(), MemoryStore()
    async with runtime(crew(doze), store, clock) as machine:
        await machine.open("doze", "c1", Ask(tenths))
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:

                async def wait() -> None:
                    await wait_settled(store, machine.wait_idle, replace(World(), clock=clock))
                    group.cancel_scope.cancel()

                group.start_soon(wait)
                while True:
                    await anyio.wait_all_tasks_blocked()
                    clock.advance(0.5)
        (row,) = await store.cases()
        assert row.status is status
