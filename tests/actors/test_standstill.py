"""A process that was stopped for a while and goes on: what it missed meanwhile says nothing about its agents."""

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, Work, skill
from casework.runtime import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseStatus
from casework.runtime.telemetry import Telemetry
from tests.support.manual_clock import ManualClock

#: Longer than an attempt may take.
STOPPED_SECONDS = 45.0


class Number(Struct, frozen=True):
    n: int


@pytest.mark.promise("GUARD-1")
async def test_a_process_that_stood_still_gives_its_agents_work_as_before() -> None:
    begun: list[int] = []
    go = anyio.Event()

    @skill
    async def look(inputs: Number, work: Work) -> int:
        begun.append(inputs.n)
        await go.wait()
        return inputs.n

    async def asks(case: Case, inputs: Number) -> int:
        return (await case.delegate("look", inputs, returns=int, goal="look", attempts=1)).value

    crew = Crew(
        "still", flows=[Flow.of(asks, inputs=Number)], agents=[Agent("clerk", {"look": look})], policy=Policy(name="s")
    )
    clock = ManualClock()
    async with Runtime(crew, world=replace(World(), clock=clock), telemetry=Telemetry.off()) as machine:
        with anyio.fail_after(5):
            for n in range(5):
                await machine.open("asks", f"c{n}", Number(n))
            while len(begun) < 5:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            clock.advance(STOPPED_SECONDS)
            await anyio.wait_all_tasks_blocked()
            clock.advance(1.0)
            for n in range(5):
                await machine.wait(f"c{n}")
            go.set()
            await machine.open("asks", "late", Number(5))
            assert (await machine.wait("late")).status is CaseStatus.CLOSED
