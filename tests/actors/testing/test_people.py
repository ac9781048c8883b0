"""Fake people decide at once, late, or twice; what they are not there for stays open."""

import anyio
import pytest

from casework.actors.testing import CaseBench, FakePerson
from casework.protocols.wire import FailureKind
from casework.runtime import Case
from casework.runtime.store.base import DecisionRefused, DecisionTaken
from tests.support.refund_crew import Refund, crew

HOUR = 3_600.0


async def asks(case: Case, inputs: Refund) -> list[object]:
    decided = await case.review(f"Refund {inputs.customer}", inputs, rule="above_limit", expires_seconds=48 * HOUR)
    return [decided.action, decided.by, decided.value.euros]


def bench(*people: FakePerson) -> CaseBench:
    return CaseBench(crew(asks), people=people)


async def test_a_person_decides_at_once() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson(rule="above_*", by="ann")) as made:
            await made.open("asks", "c1", Refund("c", 9))
            assert made.value("c1", list[object]) == ["approve", "ann", 9]


async def test_a_person_decides_late() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson("reject", by="bob", after_seconds=24 * HOUR)) as made:
            await made.open("asks", "c1", Refund("c", 9))
            await made.forward(hours=23)
            assert len(made.reviews()) == 1
            await made.forward(hours=1)
            assert made.value("c1", list[object]) == ["reject", "bob", 9]


async def test_a_person_who_is_later_than_the_review_lasts_comes_too_late() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson(after_seconds=72 * HOUR)) as made:
            await made.open("asks", "c1", Refund("c", 9))
            await made.forward(hours=100)
            assert made.value("c1", list[object]) == ["reject", "expiry", 9]
            assert not [given for given in made.decisions if isinstance(given, DecisionTaken)]


async def test_a_person_edits_what_was_proposed() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson("edit", edited=Refund("c", 5))) as made:
            await made.open("asks", "c1", Refund("c", 9))
            assert made.value("c1", list[object]) == ["edit", "ann", 5]


async def test_of_two_decisions_that_contradict_each_other_the_first_one_stands() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson("approve", then="reject")) as made:
            await made.open("asks", "c1", Refund("c", 9))
            assert made.value("c1", list[object])[0] == "approve"
            taken, refused = made.decisions
    assert isinstance(taken, DecisionTaken)
    assert isinstance(refused, DecisionRefused)


async def test_a_review_that_is_nobodys_stays_open_until_the_test_decides_it() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson(title="Invoice*"), FakePerson(rule="other")) as made:
            await made.open("asks", "c1", Refund("c", 9))
            await made.forward(hours=1)
            assert [review.title for review in made.reviews()] == ["Refund c"]
            await made.decide("approve", title="Refund*", by="eve")
            assert made.value("c1", list[object])[1] == "eve"


async def test_the_first_person_who_fits_has_the_review() -> None:
    with anyio.fail_after(5):
        async with bench(FakePerson(rule="none"), FakePerson(by="bob"), FakePerson(by="cat")) as made:
            await made.open("asks", "c1", Refund("c", 9))
            assert made.value("c1", list[object])[1] == "bob"


def test_what_became_of_a_write_is_asked_only_of_who_is_there_for_it() -> None:
    question = f"effect.{FailureKind.UNKNOWN}"
    assert not FakePerson().takes(question, "Did it happen?")
    assert FakePerson(rule=question).takes(question, "Did it happen?")


def test_a_decision_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="maybe"):
        _ = FakePerson("maybe").actions


@pytest.mark.parametrize(("decides", "then"), [("agree", None), ("approve", "agree")])
def test_a_person_who_would_decide_what_nobody_can_is_refused_when_it_is_named(decides: str, then: str | None) -> None:
    with pytest.raises(ValueError, match="a person cannot 'agree'; write one of approve, edit, reject"):
        FakePerson(decides, then=then)
