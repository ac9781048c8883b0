"""What a simulation knows of attempts at tasks: those of a process that ends are not lost."""

import anyio
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, Work, skill
from casework.actors.simulation.wired import WatchedCrew
from casework.protocols.wire import Task
from casework.runtime import Case, Flow, Runtime
from casework.runtime.telemetry import Telemetry


class Inputs(Struct, frozen=True):
    number: int


async def delegates(case: Case, inputs: Inputs) -> int:
    return (await case.delegate("work", inputs, returns=int, goal="Work")).value


async def test_what_is_under_way_when_a_process_ends_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, lost = anyio.Event(), list[Task]()

    async def work(inputs: Inputs, work: Work) -> int:
        begun.set()
        await anyio.Event().wait()
        return inputs.number

    agent, flow = Agent("clerk", {"work": skill(work)}), Flow.of(delegates, inputs=Inputs)
    crew = Crew("office", flows=[flow], agents=[agent], policy=Policy(name="office"))
    monkeypatch.setattr("casework.runtime.at_work.DRAIN_SECONDS", 0.0)
    with anyio.fail_after(5):
        async with Runtime(WatchedCrew(crew, lost), telemetry=Telemetry.off()) as machine:
            await machine.open("delegates", "c1", Inputs(1))
            await begun.wait()
    assert not lost
