"""A case that takes back many tasks at once, while others wait for the same worker."""

import anyio
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.policy import parse_policy
from casework.protocols.records import CaseResult
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.telemetry import Telemetry


class Amount(Struct, frozen=True):
    amount: int


async def test_who_takes_back_many_tasks_fails_none_of_those_that_wait_behind_them() -> None:
    begun, go = anyio.Event(), anyio.Event()

    @skill
    async def look(inputs: Amount, work: Work) -> int:
        if inputs.amount == 0:
            begun.set()
            await go.wait()
        return inputs.amount

    async def one(case: Case, number: int) -> int:
        done = await case.delegate("look", Amount(number), returns=int, goal="Look.", attempts=1)
        return done.value

    async def many(case: Case, inputs: Amount) -> object:
        return await case.first(*(one(case, number) for number in range(inputs.amount)))

    async def few(case: Case, inputs: Amount) -> object:
        return await case.gather(*(one(case, number) for number in range(1, inputs.amount)))

    crew = Crew(
        "crowd",
        flows=[Flow.of(many, inputs=Amount), Flow.of(few, inputs=Amount)],
        agents=[Agent("clerk", {"look": look}, workers=1)],
        policy=parse_policy('name = "crowd"\n'),
    )
    with anyio.fail_after(10):
        async with Runtime(crew, telemetry=Telemetry.off()) as runtime:
            await runtime.open("many", "a", Amount(40))
            await begun.wait()
            await runtime.open("few", "b", Amount(4))
            await anyio.wait_all_tasks_blocked()
            go.set()
            ended = [(await runtime.wait(case_id)).result for case_id in ("a", "b")]
    assert ended == [CaseResult.COMPLETED, CaseResult.COMPLETED]
