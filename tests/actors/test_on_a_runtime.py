"""The staff with the real engine: refusals stand in the log with their rule, and a person's yes lets a write go on."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress

import anyio
import pytest
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.errors import CallRefused
from casework.actors.policy import parse_policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import Call, Closed, Done, Entry, Intent, ReviewAction
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseKey, CaseStatus
from casework.runtime.telemetry import Telemetry

POLICY = """
name = "test"
[agents.clerk]
tools = ["read", "book", "ask"]
tier_max = "reversible"
[denied]
submit_vat_return = "high risk: it stays with a human"
[[approvals]]
rule = "large"
title = "Book a large amount"
tool = "book"
amount_field = "amount"
amount_above = 100
"""


class Amount(Struct, frozen=True):
    amount: int


async def booked(arguments: Amount, value: int, context: ToolContext) -> bool:
    return value == arguments.amount


@tool(tier=RiskTier.READ_ONLY)
async def read(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount * 2


@tool(tier=RiskTier.READ_ONLY, micros_max=10)
async def ask(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount


@tool(tier=RiskTier.REVERSIBLE, verify=booked, undo="unbook", keyed=True)
async def book(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount


@tool(tier=RiskTier.REVERSIBLE, verify=booked, undo="book", keyed=True)
async def unbook(arguments: Amount, context: ToolContext) -> int:
    return arguments.amount


@skill
async def look(inputs: Amount, work: Work) -> int:
    total = 0
    for number in range(inputs.amount):
        total += await work.call("read", {"amount": number}, returns=int)
    return total


@skill
async def enter(inputs: Amount, work: Work) -> int:
    try:
        return await work.call("book", inputs, returns=int)
    except CallRefused as error:
        return -1 if error.kind is FailureKind.REFUSED else -2


@skill
async def survey(inputs: Amount, work: Work) -> int:
    answers: list[int] = []

    async def one(number: int) -> None:
        with suppress(CallRefused):
            answers.append(await work.call("ask", {"amount": number}, returns=int))

    async with anyio.create_task_group() as group:
        for number in range(inputs.amount):
            group.start_soon(one, number)
    return len(answers)


SKILLS = {"look": look, "enter": enter, "survey": survey}
CLERK = Agent("clerk", SKILLS, tools=("read", "book", "ask"), tier_max=RiskTier.REVERSIBLE)


def runtime(function: Callable[[Case, Amount], Awaitable[object]]) -> AbstractAsyncContextManager[Runtime]:
    flow = Flow.of(function, inputs=Amount)  # type: ignore[arg-type]  # the engine wants a coroutine, and this is one
    crew = Crew("test", flows=[flow], agents=[CLERK], tools=[read, book, unbook, ask], policy=parse_policy(POLICY))
    return Runtime(crew, telemetry=Telemetry.off())


async def log_of(made: Runtime, key: CaseKey) -> list[Entry]:
    return [decode_entry(record.frame) for record in await made.store.records(key)]


def value_of(log: list[Entry]) -> object:
    closed = log[-1]
    assert isinstance(closed, Closed)
    return unpack(closed.value, object)


@pytest.mark.promise("GATE-1")
async def test_submitting_a_vat_return_is_refused_and_logged_with_the_policys_rule() -> None:
    async def flow(case: Case, inputs: Amount) -> str:
        try:
            await case.call("submit_vat_return", {}, returns=str)
        except CallFailed as error:
            return error.message
        return "submitted"

    with anyio.fail_after(5):
        async with runtime(flow) as made:
            key = await made.open("flow", "c1", Amount(1))
            await made.wait("c1")
            log = await log_of(made, key)
    (call,) = [entry for entry in log if isinstance(entry, Call)]
    assert (call.failure, call.verdict.allowed, call.verdict.rule) == (FailureKind.REFUSED, False, "policy.denied")
    assert call.verdict.policy_hash
    assert value_of(log) == "high risk: it stays with a human"


async def test_a_call_beyond_the_budget_is_refused_and_logged() -> None:
    async def flow(case: Case, inputs: Amount) -> object:
        result = await case.delegate(
            "look", inputs, returns=int, goal="look", tools=["read"], calls=2, attempts=1, deadline_seconds=60
        )
        return result.value

    with anyio.fail_after(5):
        async with runtime(flow) as made:
            key = await made.open("flow", "c1", Amount(3))
            row = await made.wait("c1")
            log = await log_of(made, key)
    rules = [entry.verdict.rule for entry in log if isinstance(entry, Call)]
    assert rules == ["allowed", "allowed", "affordable.calls"]
    assert row.status is CaseStatus.PARKED, "a task that cannot go on parks its case for an operator"


async def test_calls_that_are_made_at_once_do_not_spend_the_same_money() -> None:
    async def flow(case: Case, inputs: Amount) -> object:
        result = await case.delegate("survey", inputs, returns=int, goal="ask", tools=["ask"], micros=25)
        return result.value

    with anyio.fail_after(5):
        async with runtime(flow) as made:
            key = await made.open("flow", "c1", Amount(4))
            await made.wait("c1")
            log = await log_of(made, key)
    assert value_of(log) == 2
    rules = [entry.verdict.rule for entry in log if isinstance(entry, Call)]
    assert rules == ["affordable.money", "affordable.money"]


async def test_a_tool_that_the_task_does_not_allow_is_refused_although_agent_and_policy_do() -> None:
    async def flow(case: Case, inputs: Amount) -> int:
        result = await case.delegate("enter", inputs, returns=int, goal="enter", tools=["read"])
        return result.value

    with anyio.fail_after(5):
        async with runtime(flow) as made:
            key = await made.open("flow", "c1", Amount(3))
            await made.wait("c1")
            log = await log_of(made, key)
    assert [entry.verdict.rule for entry in log if isinstance(entry, Call)] == ["allowed.task"]
    assert value_of(log) == -1


@pytest.mark.promise("FLOW-15")
@pytest.mark.parametrize(("action", "value"), [(ReviewAction.APPROVE, 101), (ReviewAction.REJECT, -1)])
async def test_a_write_that_a_rule_wants_approved_waits_for_a_person(action: ReviewAction, value: int) -> None:
    async def flow(case: Case, inputs: Amount) -> int:
        result = await case.delegate(
            "enter", inputs, returns=int, goal="enter", tools=["book"], tier=RiskTier.REVERSIBLE
        )
        return result.value

    with anyio.fail_after(5):
        async with runtime(flow) as made:
            key = await made.open("flow", "c1", Amount(101))
            assert (await made.wait("c1")).status is CaseStatus.PARKED
            (review,) = await made.store.reviews(state="open")
            assert review.title == "Book a large amount"
            await made.decide(review.id, action, by="ann")
            await made.wait_idle()
            log = await log_of(made, key)
    assert value_of(log) == value
    writes = [entry for entry in log if isinstance(entry, Intent | Done)]
    assert len(writes) == (2 if value > 0 else 0)
