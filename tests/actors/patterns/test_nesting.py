"""Any pattern stands within any other, five deep; trace, deadline, budget and cancel reach whatever is below."""

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casework.actors.patterns.shape import below
from tests.support.pattern_nesting import check_terms, ran
from tests.support.pattern_trees import LEAF_SECONDS, PLACES, Leaf, tree

DEPTH = 5
#: Places by the kind of pattern that has them.
KINDS = {kind: tuple(places) for kind, places in groupby(PLACES, key=lambda place: place.partition(",")[0])}
SPINES = st.lists(st.sampled_from(sorted(PLACES)), min_size=1, max_size=DEPTH)
DEEPEST = st.lists(st.sampled_from(sorted(PLACES)), min_size=DEPTH, max_size=DEPTH)


@pytest.mark.parametrize("place", PLACES)
def test_a_tree_is_checked_before_it_runs_and_has_no_flaws(place: str) -> None:
    assert [flaw for each in below(tree((place, place))) for flaw in each.flaws()] == []


@pytest.mark.promise("PATTERN-1")
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
async def test_every_kind_of_pattern_stands_in_every_kind() -> None:
    for at, outer in enumerate(KINDS):
        for place, inner in enumerate(KINDS, at):
            spine = [KINDS[outer][place % len(KINDS[outer])], KINDS[inner][at % len(KINDS[inner])]]
            seen = await ran(tree(spine))
            assert seen.result == "completed", spine
            check_terms(seen)


@pytest.mark.promise("PATTERN-1")
@given(DEEPEST)
@settings(max_examples=10, deadline=None)
async def test_at_every_depth_trace_deadline_and_budget_are_those_of_the_root_or_less(spine: list[str]) -> None:
    seen = await ran(tree(spine))
    assert seen.result == "completed"
    assert len(seen.tasks) >= 1
    check_terms(seen)


@pytest.mark.promise("PATTERN-1")
@given(SPINES, st.integers(0, 40), st.booleans())
@settings(max_examples=15, deadline=None)
async def test_a_cancel_at_any_moment_closes_everything_below_and_undoes_what_was_written(
    spine: list[str], moment: int, hangs: bool
) -> None:
    seen = await ran(tree(spine, Leaf(skill="hang" if hangs else "work")), cancel_after=moment * LEAF_SECONDS / 4)
    assert (seen.waits, seen.reviews) == (0, 0)
    if seen.result != "completed":  # It ended before, or what hangs was given up before the cancel came.
        assert seen.result == "cancelled" or (hangs and seen.result == "failed")
        assert seen.erased == len(seen.written)
    check_terms(seen)
