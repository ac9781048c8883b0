"""Assertions on a log pass in silence, and fail with what is there beside what was expected."""

import anyio
import pytest

from casework.actors.testing import CaseBench, CaseLog, FakePerson, FakeTool
from casework.protocols.wire import Cost
from tests.support.refund_crew import Refund, crew

TOOLS = {"limit": FakeTool(50), "bank.pay": FakeTool("receipt-1")}


async def log() -> CaseLog:
    with anyio.fail_after(5):
        async with CaseBench(crew(), tools=TOOLS, people=[FakePerson()]) as bench:
            await bench.open("refund", "r-1", Refund("c", 90))
            await bench.forward(days=30)
            return bench.log("r-1")


async def test_a_log_is_lines_of_kind_and_step_and_says_how_it_ended() -> None:
    told = await log()
    told.assert_steps(
        "opened*",
        "task judge",
        "call judge:limit",
        "decision judge:*",
        "completed judge",
        "review review",
        "decided review",
        "task settle",
        "intent settle:bank.pay",
        "done settle:bank.pay",
        "decision settle:*",
        "completed settle",
        "timer timer",
        "fired timer",
        "decision decision",
        "closed completed",
    )
    assert told.cost == Cost(calls=2, micros=200)


async def test_steps_that_differ_are_shown_beside_each_other_with_the_whole_log() -> None:
    told = await log()
    with pytest.raises(AssertionError) as raised:
        told.assert_steps("opened*", "task judge", "call judge:account", *told.steps[3:])
    text = str(raised.value)
    assert "the log of case r-1 does not have exactly the expected steps" in text
    assert "    - call judge:account" in text
    assert "    + call judge:limit" in text
    assert "      task judge" in text
    assert "tool bank.pay did it" in text


async def test_steps_are_looked_for_in_their_order() -> None:
    told = await log()
    told.assert_has("task judge", "decided *", "closed completed")
    with pytest.raises(AssertionError, match="has no step 'task judge' after those that come before it"):
        told.assert_has("decided *", "task judge")
    with pytest.raises(AssertionError, match="has no step 'cancel'"):
        told.assert_has("cancel")


async def test_what_must_not_be_there_is_named() -> None:
    told = await log()
    told.assert_lacks("cancel *", "halted *")
    with pytest.raises(AssertionError, match=r"has step 'intent settle:bank.pay', which 'intent \*' forbids"):
        told.assert_lacks("intent *")


async def test_who_looks_for_nothing_is_told() -> None:
    told = await log()
    for look in (told.assert_has, told.assert_lacks):
        with pytest.raises(TypeError, match="first"):
            look()  # type: ignore[call-arg]


async def test_a_decision_is_found_by_subject_choice_and_rule() -> None:
    told = await log()
    told.assert_decided("contested", "no")
    told.assert_decided("contested", "no", rule="nobody_*")
    with pytest.raises(AssertionError, match="contested: no by rule nobody_said_so"):
        told.assert_decided("contested", "yes")
