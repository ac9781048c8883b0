"""How long a call took that an agent asked for: its record says so, by the clock of its process."""

from collections.abc import Awaitable, Callable

import anyio

from casework.protocols.records import Call
from casework.runtime.flow.case import Case
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import Ask, closed, crew, entries, runtime
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import SmallTool


async def asks_and_calls(case: Case, inputs: Ask) -> None:
    await case.delegate("work", {}, returns=object, goal="work", tools=("slow",))
    await case.call("slow", {}, returns=object)


async def works(inputs: object, call: Callable[[str, object], Awaitable[object]]) -> object:
    return await call("slow", {})


async def test_a_call_inside_a_task_says_how_long_it_took_and_one_of_the_flow_need_not() -> None:
    store, clock = MemoryStore(), ManualClock()

    async def slow(arguments: object) -> object:
        clock.advance(0.25)
        return "done"

    staff = crew(asks_and_calls, doers={"work": works}, tools={"slow": SmallTool(slow)})
    with anyio.fail_after(5):
        async with runtime(staff, store, clock) as machine:
            await machine.open("asks_and_calls", "c1", Ask())
            await closed(store)
    assert [call.took for call in await entries(store, Call)] == [250_000, 0]
