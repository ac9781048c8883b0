"""Who saw what of a case, from its log: names of fields, never what was in them."""

import anyio
import pytest
from msgspec import Struct
from msgspec.structs import replace

from casework.actors import Agent, Crew, Policy, ToolContext, Work, skill, tool
from casework.actors.criteria import Check
from casework.actors.policy import Limits
from casework.actors.seen import Seen, seen
from casework.protocols.codec import pack
from casework.protocols.records import Decided, Decision, Done, ReviewAction
from casework.protocols.wire import FailureKind, OnStop, RiskTier
from casework.runtime import Case, Flow, Runtime
from casework.runtime.store.base import CaseKey, Record
from casework.runtime.telemetry import Telemetry
from tests.support.timed_logs import DECIDED, INTENT, OPENED, REVIEW, ROUTE, TASK, call, completed, failed, log


class Person(Struct, frozen=True):
    name: str
    iban: str


class Wanted(Struct, frozen=True):
    iban: str


@tool(tier=RiskTier.READ_ONLY)
async def look_up(arguments: Wanted, context: ToolContext) -> dict[str, int]:
    """Give balances by account number: keys that are contents."""
    return {arguments.iban: 7}


@skill
async def judge(inputs: Person, work: Work) -> bool:
    """Look a person's account up."""
    return bool(await work.call("look_up", Wanted(inputs.iban), returns=dict[str, int]))


async def still_there(value: bool, check: Check[Person]) -> bool:
    return bool(await check.read("look_up", Wanted(check.inputs.iban), returns=dict[str, int]))


async def judged(case: Case, inputs: Person) -> None:
    given: object = inputs if inputs.name != "extra" else {"name": "a", "iban": "b", "SECRET-KEY": 1}
    await case.delegate(
        "judge",
        given,
        returns=bool,
        goal="Judge",
        tools=("look_up",),
        criteria=("still_there",),
        attempts=1,
        on_stop=OnStop.FAIL,
    )


async def log_of(name: str) -> list[Record]:
    may = Limits(tools=("look_up",))
    crew = Crew(
        "banks",
        flows=(Flow.of(judged, inputs=Person),),
        agents=(Agent("judge", {"judge": judge}, tools=("look_up",), workers=1),),
        tools=(look_up,),
        criteria={"still_there": still_there},
        policy=Policy(name="banks", agents={"judge": may}),
    )
    with anyio.fail_after(5):
        async with Runtime(crew, telemetry=Telemetry.off()) as runtime:
            await runtime.open("judged", "c1", Person(name, "NL00SECRET"))
            await runtime.wait("c1")
            return list(await runtime.store.records(CaseKey("default", "c1")))


@pytest.mark.promise("AGENT-1")
async def test_agents_criteria_and_tools_are_told_with_the_names_of_what_they_saw() -> None:
    told = seen(await log_of("ann"))
    assert told == [
        Seen("tool look_up", "judge:look_up", "arguments of look_up", ("iban",)),
        Seen("tool look_up", "judge:still_there/look_up", "arguments of look_up", ("iban",)),
        Seen("criterion still_there", "judge:still_there/look_up", "value of look_up", ()),
        Seen("agent judge/1", "judge", "inputs of judge", ("name", "iban")),
        Seen("agent judge/1", "judge:look_up", "value of look_up", ()),
    ]
    assert "SECRET" not in repr(told)
    assert "ann" not in repr(told)


@pytest.mark.promise("AGENT-1")
async def test_inputs_that_were_refused_were_seen_by_nobody() -> None:
    records = await log_of("extra")
    assert "failed" in {record.kind for record in records}
    assert seen(records) == []


def test_a_person_sees_the_arguments_of_a_call_to_approve_and_a_proposal_as_a_whole() -> None:
    review = replace(REVIEW, proposal=pack({"amount": 1, "to": "x"}))
    told = seen(
        log(
            (0, "case", OPENED),
            (0, "pay:(approval)", review),
            (0, "pay:(approval)", DECIDED),
            (0, "pay", INTENT),
            (0, "pay", Done(tool="pay")),
            (0, "review", review),
            (0, "review", DECIDED),
        )
    )
    assert [each for each in told if each.who == "person ann"] == [
        Seen("person ann", "pay", "proposal: t", ("amount", "to")),
        Seen("person ann", "review", "proposal: t", ()),
    ]
    assert Seen("tool pay", "pay", "arguments of pay", ()) in told


def test_a_review_that_expired_was_seen_by_nobody_and_an_open_one_by_whoever_decides_it() -> None:
    expired = Decided(review_id="r", action=ReviewAction.REJECT, by="expiry", proposal_hash="h")
    assert seen(log((0, "case", OPENED), (0, "review", REVIEW))) == [
        Seen("whoever is to decide", "review", "proposal: t", ())
    ]
    assert "expiry" not in repr(seen(log((0, "case", OPENED), (0, "review", REVIEW), (0, "review", expired))))


def test_every_agent_that_had_an_attempt_saw_the_task_and_only_its_own_calls() -> None:
    told = seen(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (1, "book:look", call()),
            (2, "book:(route)#1", ROUTE),
            (2, "book:(attempt)#1", failed(FailureKind.TIMEOUT)),
            (3, "book:(attempt)#2", failed()),
            (4, "book@3:look", call()),
            (5, "book", completed()),
        )
    )
    assert [(each.who, each.step) for each in told if each.who.startswith("agent")] == [
        ("agent w0", "book"),
        ("agent w0", "book:look"),
        ("agent reader/1", "book"),
        ("agent reader/1", "book@3:look"),
    ]


def test_who_has_a_task_that_has_not_ended_is_not_known_yet() -> None:
    told = seen(log((0, "case", OPENED), (0, "book", TASK)))
    assert told == [Seen("an agent for book", "book", "inputs of book", ("a",))]


@pytest.mark.parametrize(("tries", "saw"), [(1, []), (2, ["tool look"])], ids=["at once", "after a try"])
def test_a_call_that_an_open_circuit_refused_was_seen_by_its_tool_only_if_it_was_tried_before(
    tries: int, saw: list[str]
) -> None:
    barred = Decision(subject="call look", options=("look", "none"), chosen="none", rule="circuit.open")
    ended = replace(call(), failure=FailureKind.UNAVAILABLE, tries=tries)
    told = seen(log((0, "case", OPENED), (0, "look:(circuit.open)", barred), (0, "look", ended)))
    assert [each.who for each in told] == saw


def test_a_task_that_no_agent_was_given_was_seen_by_nobody() -> None:
    nobody = Decision(subject="route", options=(), chosen="", rule="route.skill")
    told = seen(log((0, "case", OPENED), (0, "book", TASK), (0, "book:(route)#1", nobody), (0, "book", failed())))
    assert told == []


def test_contents_that_were_removed_tell_nothing_and_hide_nothing_else() -> None:
    whole = log((0, "case", OPENED), (0, "book", TASK), (0, "look", call()))
    removed = Record(1, 1, "task", "book", 0, b"", b"")
    assert seen([whole[0], removed, whole[2]]) == [Seen("tool look", "look", "arguments of look", ())]
