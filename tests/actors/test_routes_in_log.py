"""Who got a task is a decision in the case's log, like every other choice."""

import anyio
import pytest
from msgspec import Struct

from casework.actors import Agent, Crew, Policy, Work, skill
from casework.protocols.codec import decode_entry, inputs_hash
from casework.protocols.records import Decision
from casework.runtime import Case, Flow, Runtime


class Ask(Struct, frozen=True):
    number: int


async def double(ask: Ask, work: Work) -> int:
    return 2 * ask.number


async def asks_once(case: Case, ask: Ask) -> int:
    return (await case.delegate("double", ask, returns=int, goal="Double it")).value


@pytest.mark.promise("SUPERVISOR-1")
async def test_the_route_of_a_task_is_in_the_log_with_what_was_offered_and_the_policy() -> None:
    agent = Agent("maths", {"double": skill(double)}, workers=2)
    crew = Crew("sums", flows=[Flow.of(asks_once, inputs=Ask)], policy=Policy(name="sums"), agents=[agent])
    with anyio.fail_after(5):
        async with Runtime(crew) as runtime:
            key = await runtime.open("asks_once", "c1", Ask(21))
            await runtime.wait("c1")
            records = await runtime.store.records(key)
    (route,) = [record for record in records if record.step_id == "double:(route)#1"]
    decision = decode_entry(route.frame)
    assert isinstance(decision, Decision)
    assert decision.chosen in decision.options
    assert (decision.rule, len(decision.options)) == ("route.free", 2)
    assert decision.policy_hash
    (task,) = [record for record in records if record.kind == "task"]
    assert decision.inputs_hash == inputs_hash(task.frame)
