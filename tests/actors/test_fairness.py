"""Tenants take turns, each in its own order, and nothing is lost on the way."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.actors.fairness import FairQueue


def filled(*things: str) -> FairQueue[str]:
    """Make a queue of things whose first letter is their tenant."""
    queue = FairQueue[str]()
    for thing in things:
        queue.put(thing[0], thing)
    return queue


def taken(queue: FairQueue[str]) -> list[str]:
    return [queue.take() for _ in range(len(queue))]


def test_whoever_comes_second_waits_for_one_of_the_first_however_many_those_are() -> None:
    queue = filled(*(f"a{number}" for number in range(100)), "b0", "b1")
    assert taken(queue)[:5] == ["a0", "b0", "a1", "b1", "a2"]


def test_nothing_can_be_taken_of_nothing() -> None:
    with pytest.raises(IndexError):
        FairQueue[str]().take()


def test_the_last_of_a_tenant_can_be_shed_and_any_that_is_not_wanted_let_go() -> None:
    queue = filled("a0", "a1", "b0", "a2")
    assert queue.shed("a") == "a2"
    queue.remove("a", "a0")
    assert (queue.tenants(), len(queue)) == ({"a": 1, "b": 1}, 2)
    queue.keep(lambda thing: thing != "b0")
    assert (queue.tenants(), taken(queue)) == ({"a": 1}, ["a1"])


def test_what_does_not_wait_cannot_be_removed() -> None:
    queue = filled("a0")
    for tenant, thing in (("a", "a1"), ("b", "b0")):
        with pytest.raises(ValueError, match=r"waits|deque"):
            queue.remove(tenant, thing)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40))
def test_everything_comes_out_once_in_the_order_of_its_tenant(put: list[tuple[str, int]]) -> None:
    queue = filled(*(f"{tenant}{number}" for tenant, number in put))
    out = taken(queue)
    for tenant in "abc":
        mine = [f"{tenant}{number}" for name, number in put if name == tenant]
        assert [thing for thing in out if thing[0] == tenant] == mine


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_nobody_waits_for_two_turns_of_another(tenants: list[str]) -> None:
    out = taken(filled(*tenants))
    for tenant in set(out):
        turns = [place for place, thing in enumerate(out) if thing == tenant]
        for before, after in pairwise(turns):
            between = out[before + 1 : after]
            assert len(between) == len(set(between))
