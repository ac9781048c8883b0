"""Merging what differs: each field by its rule, a person where there is none, and nothing that lost is gone."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from casework.actors.agent import Skill
from casework.actors.patterns import (
    HIGHER_CONFIDENCE,
    PERSON,
    Checked,
    Code,
    Dispute,
    FanOut,
    HigherConfidence,
    Pattern,
    Resolve,
    Terms,
)
from casework.actors.testing import CaseBench, CaseLog, Ending, FakePerson
from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import CaseResult, Review
from casework.protocols.wire import Completed
from casework.runtime import Case
from tests.support.pattern_scene import Order, Receipt, crew, decisions, doing, fails, kept, notes, says, task

pytestmark = pytest.mark.anyio
#: They agree on the date and differ on the amount.
CLERK, SCAN = Receipt("2026-01-05", 12), Receipt("2026-01-05", 21)
SKILLS = {"clerk": says(CLERK, 0.9), "scan": says(SCAN, 0.6)}

Crashes = Callable[..., Coroutine[object, object, Ending]]


def facts(rule: Any = None, **rules: Any) -> FanOut:
    return FanOut("facts", (task("clerk"), task("scan")), Resolve(rules, otherwise=rule))


def finds(value: object) -> Skill:
    """Make a skill that settles disputes."""

    async def settle(dispute: Dispute, work: Any) -> object:
        assert (dispute.field, dispute.given) == ("amount", {"number": "o-1"})
        assert [(claim.sources, claim.value) for claim in dispute.claims] == [(("clerk",), 12), (("scan",), 21)]
        return value

    return doing(settle, Dispute, object)


CHECK = Checked(task("check", takes=Dispute, gives=object))


def outcome(log: CaseLog, step: str) -> Completed:
    """Find what a task gave, by its step."""
    found = [decode_entry(record.frame) for record in log.records if record.step_id == step]
    return next(each for each in found if isinstance(each, Completed))


async def test_the_surer_source_wins_the_field_on_which_they_differ_and_the_whole_is_as_sure_as_that() -> None:
    result = await kept(facts(HIGHER_CONFIDENCE), SKILLS)
    assert (result.value, result.confidence) == (CLERK, 0.9)


@pytest.mark.promise("PATTERN-2")
async def test_the_decision_says_who_lost_and_why_and_leads_to_what_was_lost() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(facts(amount=HIGHER_CONFIDENCE), SKILLS)) as bench:
            await bench.open("facts", "c", Order())
            (decision,) = decisions(bench.log("c"), "facts.amount")
            assert not decisions(bench.log("c"), "facts.date"), "they agree on it"
            assert (decision.options, decision.chosen) == (("clerk", "scan"), "clerk")
            assert (decision.rule, decision.confidence) == ("conflict.higher_confidence", 0.9)
            assert decision.why == "0.90 against 0.60; not taken: scan (0.60, gather/1/scan)"
            assert unpack(outcome(bench.log("c"), "gather/1/scan").value, Receipt) == SCAN
            assert decision.inputs_hash


async def test_a_lost_value_that_no_task_gave_is_noted() -> None:
    async def guess(case: Case, given: Order, terms: Terms) -> Receipt:
        return SCAN

    steps = FanOut("facts", (Code("guess", Order, Receipt, guess), task("clerk")), Resolve(otherwise=PERSON))
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, SKILLS), people=[FakePerson("edit", edited=CLERK)]) as bench:
            await bench.open("facts", "c", Order())
            (note,) = notes(bench.log("c"))
            assert note.text == "facts.amount: not taken from guess"
            assert unpack(note.data, int) == 21


@pytest.mark.parametrize("rule", [None, PERSON, HigherConfidence(0.5)])
async def test_a_person_decides_where_there_is_no_rule_or_it_says_so_or_it_cannot_tell(rule: Any) -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(facts(rule), SKILLS)) as bench:
            await bench.open("facts", "c", Order())
            (review,) = [each for each in bench.log("c").entries if isinstance(each, Review)]
            assert (review.title, review.rule) == ("facts: which amount is right?", "merge.conflict")
            assert review.summary.startswith("amount: 12 (clerk, 0.90) or 21 (scan, 0.60); ")
            assert unpack(review.proposal, Receipt) == CLERK, "the surer one is proposed"
            await bench.decide("approve", by="ann", reason="I have seen it")
            assert bench.value("c", Receipt) == CLERK
            (decision,) = decisions(bench.log("c"), "facts.amount")
            assert (decision.chosen, decision.rule) == ("clerk", "conflict.person")
            assert decision.why.startswith("ann decided: I have seen it; not taken: scan")


async def test_what_a_person_puts_there_instead_counts_and_both_sources_have_lost() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(facts(), SKILLS)) as bench:
            await bench.open("facts", "c", Order())
            await bench.decide("edit", by="ann", edited=Receipt("2026-01-05", 13))
            assert bench.value("c", Receipt) == Receipt("2026-01-05", 13)
            (decision,) = decisions(bench.log("c"), "facts.amount")
            assert (decision.options, decision.chosen) == (("clerk", "scan", "person:ann"), "person:ann")
            assert "clerk (0.90" in decision.why
            assert "scan (0.60" in decision.why


async def test_a_person_who_wants_none_of_it_ends_it() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(facts(), SKILLS)) as bench:
            await bench.open("facts", "c", Order())
            await bench.decide("reject", reason="neither")
            assert bench.row("c").result == CaseResult.FAILED


async def test_a_check_says_what_is_so_and_one_that_says_a_third_thing_is_right_as_well() -> None:
    skills = {**SKILLS, "check": finds(21)}
    assert (await kept(facts(amount=CHECK), skills)).value == SCAN
    skills = {**SKILLS, "check": finds(15)}
    assert (await kept(facts(amount=CHECK), skills)).value == Receipt("2026-01-05", 15)


async def cannot_tell(case: Case, given: Dispute, terms: Terms) -> None:
    return None


@pytest.mark.parametrize(
    ("check", "why"),
    [(Code("look", Dispute, object, cannot_tell), "look cannot tell"), (CHECK.by, "task 'check' failed (error)")],
)
async def test_a_person_decides_when_the_check_fails_or_cannot_tell(check: Pattern, why: str) -> None:
    failing = Skill(Dispute, object, fails().function)
    with anyio.fail_after(5):
        async with CaseBench(crew(facts(amount=Checked(check)), {**SKILLS, "check": failing})) as bench:
            await bench.open("facts", "c", Order())
            (review,) = [each for each in bench.log("c").entries if isinstance(each, Review)]
            assert why in review.summary
            await bench.decide("approve")
            assert bench.value("c", Receipt) == CLERK


async def test_fields_are_settled_each_by_its_rule_and_a_person_is_asked_once_for_all_the_rest() -> None:
    skills = {"clerk": says(Receipt("2026-01-05", 12), 0.9), "scan": says(Receipt("2026-01-06", 21), 0.6)}
    with anyio.fail_after(5):
        async with CaseBench(crew(facts(date=HIGHER_CONFIDENCE), skills)) as bench:
            await bench.open("facts", "c", Order())
            await bench.decide("edit", by="ann", edited=Receipt("2026-01-05", 21))
            assert bench.value("c", Receipt) == Receipt("2026-01-05", 21)
            assert decisions(bench.log("c"), "facts.date")[0].rule == "conflict.higher_confidence"
            assert decisions(bench.log("c"), "facts.amount")[0].chosen == "scan"


async def test_values_without_fields_are_settled_as_a_whole() -> None:
    steps = FanOut("facts", (task("a", gives=str), task("b", gives=str)), Resolve(otherwise=HIGHER_CONFIDENCE))
    result = await kept(steps, {"a": says("yes", 0.6), "b": says("no", 0.7)})
    assert (result.value, result.confidence) == ("no", 0.7)


async def test_a_single_branch_that_is_left_is_taken_as_it_is() -> None:
    steps = FanOut("facts", (task("clerk"), task("scan")), Resolve(), at_least=1)
    result = await kept(steps, {**SKILLS, "scan": fails()})
    assert (result.value, result.confidence, result.agent) == (CLERK, 0.9, "clerk/1")
    assert result.step == "gather/0/clerk"


async def test_nothing_cannot_be_resolved() -> None:
    steps = FanOut("facts", (task("clerk"), task("scan")), Resolve(), at_least=0)
    with anyio.fail_after(5):
        async with CaseBench(crew(steps, {"clerk": fails(), "scan": fails()})) as bench:
            await bench.open("facts", "c", Order())
            assert bench.row("c").result == CaseResult.FAILED


@pytest.mark.crash_anywhere(crew(facts(amount=CHECK), {**SKILLS, "check": finds(None)}), flow="facts", inputs=Order())
async def test_a_conflict_ends_the_same_wherever_it_is_killed(crashes: Crashes) -> None:
    whole = await crashes(people=[FakePerson("edit", edited=Receipt("2026-01-05", 13), after_seconds=60)])
    assert whole.value == {"date": "2026-01-05", "amount": 13}


def test_a_merge_of_what_cannot_be_compared_is_told_with_what_to_do_about_it() -> None:
    steps = FanOut("facts", (task("a"), task("b", gives=str)), Resolve({"total": PERSON}))
    odd, unknown = steps.flaws()
    assert "'a' gives Receipt and 'b' gives str: have both give one type, or merge them with Combine" in odd
    assert "has a rule for 'total'" in unknown
    assert [edge.label for edge in facts(amount=CHECK).parts] == ["", "", "verify amount"]
