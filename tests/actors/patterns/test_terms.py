"""Terms: what a part of some work is given is never more than the work has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.actors.errors import Widened
from casework.actors.patterns import Terms
from casework.protocols.wire import Budget, Mandate, RiskTier, widened_term

WHOLE = Terms(deadline=1_000, calls=10, micros=100, tools=("look", "book"), tier=RiskTier.REVERSIBLE)


def test_what_a_part_does_not_name_stays_as_it_is() -> None:
    assert WHOLE.narrowed("part") == WHOLE


@pytest.mark.parametrize(
    ("asked", "term"),
    [
        ({"calls": 11}, "calls"),
        ({"micros": 101}, "micros"),
        ({"tools": ("look", "send")}, "tools"),
        ({"tier": RiskTier.IRREVERSIBLE}, "tier"),
    ],
)
def test_a_part_that_asks_for_more_is_refused_by_the_name_of_the_term(asked: dict[str, object], term: str) -> None:
    with pytest.raises(Widened, match=f"part asks for {term} ") as caught:
        WHOLE.narrowed("part", **asked)  # type: ignore[arg-type]
    assert caught.value.term == term


def test_of_two_deadlines_the_earlier_one_counts() -> None:
    assert WHOLE.narrowed("part", deadline=2_000).deadline == 1_000
    assert WHOLE.narrowed("part", deadline=500).deadline == 500


@given(st.lists(st.floats(min_value=0.01, max_value=100), min_size=1, max_size=20))
def test_shares_are_never_more_than_the_whole_together(weights: list[float]) -> None:
    shares = WHOLE.shares(weights)
    assert len(shares) == len(weights)
    assert sum(share.calls for share in shares) <= WHOLE.calls
    assert sum(share.micros for share in shares) <= WHOLE.micros


mandates = st.builds(
    Mandate,
    tools_allowed=st.lists(st.sampled_from(["look", "book", "pay"]), unique=True).map(tuple),
    risk_tier=st.sampled_from(RiskTier),
    deadline=st.integers(1, 2_000),
    budget=st.builds(Budget, calls=st.integers(0, 20), micros=st.integers(0, 200)),
)


@given(mandates)
def test_terms_within_a_mandate_are_wider_than_neither(mandate: Mandate) -> None:
    within = WHOLE.within(mandate)
    assert widened_term(within.mandate(), mandate) is None
    assert widened_term(within.mandate(), WHOLE.mandate()) is None


def test_a_mandate_says_what_the_terms_say() -> None:
    assert WHOLE.within(WHOLE.mandate()) == WHOLE
