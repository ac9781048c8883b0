"""Conflicts, worked out without anybody: what was said is put together, and a rule picks or leaves it open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType

from casework.actors.conflicts import (
    HIGHER_CONFIDENCE,
    PERSON,
    HigherConfidence,
    Said,
    alike,
    by_field,
    positions,
    rule_flaws,
    surer,
)


class Receipt(Struct, frozen=True):
    date: str
    amount: int | None
    vat: int | UnsetType = UNSET


SAIDS = st.lists(
    st.builds(
        Said,
        st.sampled_from("abcdef"),
        st.sampled_from([0, 1, True, None, "x", 1.0]),
        st.floats(min_value=0, max_value=1),
        weight=st.integers(min_value=1, max_value=5),
    ),
    min_size=1,
    max_size=8,
)


@given(SAIDS)
def test_everything_that_was_said_is_in_exactly_one_position(said: list[Said]) -> None:
    found = positions(said)
    together = [each for position in found for each in position.said]
    assert sorted(map(id, together)) == sorted(map(id, said))
    assert sum(position.weight for position in found) == sum(each.weight for each in said)
    for position in found:
        assert all(alike(each.value, position.value) for each in position.said)
    values = [position.value for position in found]
    assert not any(alike(one, other) for at, one in enumerate(values) for other in values[:at])


@given(SAIDS, st.floats(min_value=0, max_value=0.9))
def test_the_surer_position_is_picked_whatever_the_order_or_none_is(said: list[Said], margin: float) -> None:
    found = positions(said)
    if len(found) < 2:
        return
    pick = surer(found, HigherConfidence(margin))
    again = surer(found[::-1], HigherConfidence(margin))
    assert (pick and pick.by) == (again and again.by)
    best, second = sorted((each.confidence for each in found), reverse=True)[:2]
    assert (pick is not None) == (best - second > margin)
    if pick is not None:
        assert pick.confidence == best


def test_values_are_taken_apart_by_field_and_compared_by_field() -> None:
    said = (Said("a", Receipt("x", 1), 0.9), Said("b", Receipt("x", 2), 0.8))
    found = {name: positions(each) for name, each in by_field(said).items()}
    assert {name: [each.label for each in one] for name, one in found.items()} == {
        "date": ["a+b"],
        "amount": ["a", "b"],
    }


def test_a_field_that_is_unset_was_not_said_and_none_was() -> None:
    said = (Said("a", Receipt("x", None, 3), 0.9), Said("b", Receipt("x", 2), 0.8))
    found = {name: [each.value for each in positions(one)] for name, one in by_field(said).items()}
    assert found == {"date": ["x"], "amount": [None, 2], "vat": [3]}


def test_values_of_different_types_are_compared_as_a_whole() -> None:
    assert list(by_field((Said("a", Receipt("x", 1), 1.0), Said("b", 3, 1.0)))) == [""]
    assert by_field(()) == {}


def test_rules_for_what_is_not_there_and_margins_that_mean_nothing_are_told() -> None:
    (unknown,) = rule_flaws("merge", Receipt, {"total": PERSON, "date": HIGHER_CONFIDENCE})
    assert unknown == "merge has a rule for 'total', which is no field of what it merges; there is date, amount, vat"
    (none,) = rule_flaws("merge", int, {"total": PERSON})
    assert none.endswith("give the rule as `otherwise`")
    (margin,) = rule_flaws("merge", Receipt, {"date": HigherConfidence(1.0)})
    assert margin == "merge wants a margin of 1.0: give one from 0 up to 1"


@pytest.mark.parametrize(("one", "other", "same"), [(1, True, False), (1.5, 1.50, True), (None, None, True)])
def test_values_are_alike_when_they_are_equal_and_of_one_type(one: object, other: object, same: bool) -> None:
    assert alike(one, other) is same
