"""Votes: counted by field and by weight, side by side, and what is not decided goes to a person."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.actors.conflicts import Position, Said, positions
from casework.actors.patterns import Missing, Pattern, Tie, Vote, Voter
from casework.actors.patterns.ballot import Quorum, count, sureness
from casework.actors.testing import CaseBench, Ending, FakePerson
from casework.protocols.records import CaseResult, Review
from casework.protocols.wire import OnStop
from tests.support.pattern_scene import (
    Order,
    Receipt,
    crew,
    decisions,
    fails,
    fakes,
    kept,
    says,
    task,
    writing,
)

pytestmark = pytest.mark.anyio
RIGHT, WRONG, OTHER = Receipt("2026-01-05", 12), Receipt("2026-01-05", 21), Receipt("2026-01-06", 12)

Crashes = Callable[..., Coroutine[object, object, Ending]]


def voter(name: str, weight: int = 1, **more: Any) -> Voter:
    return Voter(task(name, **more), f"prompt: {name}", weight)


def vote(needed: int = 2, names: str = "abc", **figures: Any) -> Vote:
    return Vote("what", tuple(map(voter, names)), needed, **figures)


@pytest.mark.promise("PATTERN-2")
async def test_what_enough_of_them_say_counts_and_the_lost_vote_is_found_by_its_step() -> None:
    skills = {"a": says(RIGHT, 0.9), "b": says(WRONG, 0.8), "c": says(RIGHT, 0.6)}
    with anyio.fail_after(5):
        async with CaseBench(crew(vote(), skills)) as bench:
            await bench.open("what", "c", Order())
            assert bench.value("c", Receipt) == RIGHT
            (whole,) = decisions(bench.log("c"), "what")
            assert (whole.chosen, whole.rule) == ("agreed", "vote.2_of_3")
            assert whole.why == "date: 3 for a+b+c; amount: 2 for a+c, 1 for b"
            (amount,) = decisions(bench.log("c"), "what.amount")
            assert (amount.options, amount.chosen) == (("a+c", "b"), "a+c")
            assert amount.confidence == pytest.approx(0.5)
            assert amount.why == "2 for a+c, 1 for b; not taken: b (0.80, gather/1/b)"
            bench.log("c").assert_has("completed gather/1/b")


async def test_each_field_is_decided_by_itself() -> None:
    result = await kept(vote(), {"a": says(RIGHT), "b": says(WRONG), "c": says(Receipt("2026-01-06", 12))})
    assert result.value == RIGHT, "nobody else says both"
    assert result.confidence == pytest.approx(2 / 3)


async def test_fields_that_are_not_voted_on_come_from_a_vote_that_agrees() -> None:
    skills = {"a": says(WRONG, 0.9), "b": says(OTHER, 0.8), "c": says(Receipt("2026-01-07", 12), 0.7)}
    assert (await kept(vote(fields=("amount",)), skills)).value == OTHER


async def test_votes_that_differ_go_to_a_person_and_it_goes_on_with_what_the_person_says() -> None:
    skills = {"a": says(RIGHT, 0.5), "b": says(WRONG, 0.9), "c": says(Receipt("2026-01-05", 3), 0.7)}
    with anyio.fail_after(5):
        async with CaseBench(crew(vote(), skills)) as bench:
            await bench.open("what", "c", Order())
            (review,) = [each for each in bench.log("c").entries if isinstance(each, Review)]
            assert (review.rule, review.title) == ("vote.disagreement", "what: which amount is right?")
            assert review.summary.endswith("; no 2 agree: 1 for a, 1 for b, 1 for c")
            await bench.decide("edit", by="ann", edited=RIGHT)
            assert bench.value("c", Receipt) == RIGHT
            assert decisions(bench.log("c"), "what")[0].chosen == "review"
            assert decisions(bench.log("c"), "what.amount")[0].chosen == "a"


async def test_a_heavy_voter_outvotes_two_light_ones() -> None:
    heavy = Vote("what", (voter("a", 3), voter("b"), voter("c")), 3)
    assert (await kept(heavy, {"a": says(RIGHT), "b": says(WRONG), "c": says(WRONG)})).value == RIGHT


TIED = {"a": says(RIGHT, 0.6), "b": says(WRONG, 0.9)}


async def test_a_tie_goes_to_a_person_unless_the_surer_side_may_win_it() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(vote(1, "ab"), TIED)) as bench:
            await bench.open("what", "c", Order())
            (review,) = [each for each in bench.log("c").entries if isinstance(each, Review)]
            assert review.summary.endswith("a tie: 1 for a, 1 for b")
    assert (await kept(vote(1, "ab", tie=Tie.CONFIDENCE), TIED)).value == WRONG


def test_the_count_says_that_the_surer_side_won_a_tie() -> None:
    said = positions([Said("a", RIGHT, 0.5), Said("b", WRONG, 0.9)])
    counted = count(said, Quorum(1, 2, Tie.CONFIDENCE), 2)
    assert counted.pick is not None
    assert counted.why == counted.pick.why == "a tie: 1 for a, 1 for b; b is surer"


ONE_MISSING = {"a": says(RIGHT), "b": fails(), "c": says(RIGHT)}


@pytest.mark.parametrize(
    ("missing", "needed", "asked"),
    [
        (Missing.AGAINST, 3, True),
        (Missing.AGAINST, 2, False),
        (Missing.SHRINKS, 3, False),
        (Missing.REVIEW, 2, True),
    ],
)
async def test_a_missing_vote_counts_against_or_shrinks_what_is_needed_or_asks_a_person(
    missing: Missing, needed: int, asked: bool
) -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(vote(needed, missing=missing), ONE_MISSING)) as bench:
            await bench.open("what", "c", Order())
            if asked:
                await bench.decide("approve", rule="vote.disagreement")
            assert bench.value("c", Receipt) == RIGHT
            (absent,) = decisions(bench.log("c"), "what/b")
            assert (absent.chosen, absent.rule) == (missing, "vote.missing")
            assert "it does not work" in absent.why


async def test_a_vote_that_nobody_casts_fails_as_the_first_voter_did() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(vote(), {"a": fails(), "b": fails(), "c": fails()})) as bench:
            await bench.open("what", "c", Order())
            assert bench.row("c").result == CaseResult.FAILED
            assert len([each for each in "abc" if decisions(bench.log("c"), f"what/{each}")]) == 3


async def test_five_voters_take_as_long_as_the_slowest_of_them() -> None:
    skills = {name: says(RIGHT, seconds=1) for name in "abcde"}
    with anyio.fail_after(5):
        async with CaseBench(crew(vote(3, "abcde"), skills)) as bench:
            await bench.open("what", "c", Order())
            await bench.forward(seconds=1)
            assert bench.value("c", Receipt) == RIGHT


async def test_what_a_lost_vote_cost_stays_with_its_task() -> None:
    names = "abc"
    dear = Vote("what", tuple(voter(name, tools=("think",), micros=50) for name in names), 2)
    skills = {name: says(WRONG if name == "b" else RIGHT, does="think") for name in names}
    with anyio.fail_after(5):
        async with CaseBench(crew(dear, skills), tools=fakes()) as bench:
            await bench.open("what", "c", Order())
            assert bench.value("c", Receipt) == RIGHT
            assert (bench.log("c").cost.calls, bench.log("c").cost.micros) == (3, 30)
            bench.log("c").assert_has("* gather/1/b:think")


CRASHING = {"a": says(RIGHT, seconds=1), "b": says(WRONG), "c": fails(seconds=2), "d": says(OTHER)}


@pytest.mark.crash_anywhere(crew(vote(2, "abcd"), CRASHING), flow="what", inputs=Order())
async def test_a_vote_ends_the_same_wherever_it_is_killed(crashes: Crashes) -> None:
    whole = await crashes(people=[FakePerson("approve", rule="vote.disagreement", after_seconds=60)])
    assert whole.value == {"date": "2026-01-05", "amount": 12}


# Counting, worked out without anybody.

SAIDS = st.lists(
    st.builds(
        Said,
        st.sampled_from("abcdef"),
        st.integers(min_value=0, max_value=3),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        weight=st.integers(min_value=1, max_value=4),
    ),
    min_size=1,
    max_size=8,
)


@given(SAIDS, st.integers(min_value=1, max_value=20), st.integers(0, 8), st.sampled_from(Tie), st.sampled_from(Missing))
def test_whoever_wins_has_as_much_as_is_needed_and_nobody_has_more(
    said: list[Said], needed: int, absent: int, tie: Tie, missing: Missing
) -> None:
    found, present = positions(said), sum(each.weight for each in said)
    quorum = Quorum(min(needed, present + absent), present + absent, tie, missing)
    counted = count(found, quorum, present)
    backwards = count(found[::-1], quorum, present)
    assert (counted.pick and counted.pick.value) == (backwards.pick and backwards.pick.value), "no order decides"
    if counted.pick is None:
        assert not clear(found, quorum, present)
        return
    winner = next(each for each in found if each.value == counted.pick.value)
    assert winner.weight == max(each.weight for each in found)
    assert winner.weight >= quorum.of(present)
    assert 0.0 <= counted.pick.confidence <= 1.0


def clear(found: tuple[Position, ...], quorum: Quorum, present: int) -> bool:
    """Tell whether one position alone has enough, and nothing else keeps it from winning."""
    if quorum.missing is Missing.REVIEW and present < quorum.total:
        return False
    enough = [each for each in found if each.weight >= quorum.of(present)]
    heaviest = [each for each in enough if each.weight == max(each.weight for each in enough)]
    if quorum.tie is Tie.CONFIDENCE:
        heaviest = [each for each in heaviest if sureness(each) == max(map(sureness, heaviest))]
    return len(heaviest) == 1


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_what_is_needed_shrinks_in_proportion_but_never_to_nothing(
    total: int, needed: int, data: st.DataObject
) -> None:
    needed, present = min(needed, total), data.draw(st.integers(1, total))
    shrunk = Quorum(needed, total, missing=Missing.SHRINKS).of(present)
    assert 1 <= shrunk <= needed
    assert shrunk * total >= needed * present > (shrunk - 1) * total


# What is wrong with a declaration.


@pytest.mark.parametrize(
    ("pattern", "flaw"),
    [
        (vote(1, "a"), "has 1 voters: give it at least two"),
        (vote(4), "needs 4, but its voters weigh 3 together: need 1 to 3"),
        (vote(0), "needs 0"),
        (Vote("x", (voter("a"), Voter(task("b"), "prompt: a")), 1), "independent by the same thing, 'prompt: a'"),
        (Vote("x", (voter("a"), Voter(task("b"), " Prompt:  A")), 1), "independent by the same thing, 'prompt: a'"),
        (Vote("x", (voter("a"), Voter(task("b"), "  ")), 1), "does not say what makes 'b' independent"),
        (Vote("x", (voter("a"), Voter(task("b"), "")), 1), "does not say what makes 'b' independent"),
        (Vote("x", (voter("a"), Voter(task("a"), "source: b")), 1), "two voters called 'a'"),
        (Vote("x", (voter("a"), voter("b", 0)), 1), "a weight of 0"),
        (Vote("x", (voter("a"), Voter(writing("b"), "source: b")), 1), "'b' vote, which may write"),
        (Vote("x", (voter("a"), voter("b", gives=str)), 1), "compares Receipt with str, which 'b' gives"),
        (Vote("x", (voter("a"), voter("b", takes=Receipt)), 1), "takes Order, but 'b' takes Receipt"),
        (Vote("x", (voter("a"), voter("b", on_stop=OnStop.PARK)), 1), "give the task on_stop=OnStop.FAIL"),
        (vote(fields=("total",)), "votes on 'total', which is no field of Receipt; there is date, amount"),
    ],
)
def test_a_declaration_that_cannot_work_is_told_with_what_to_do_about_it(pattern: Pattern, flaw: str) -> None:
    assert [each for each in pattern.flaws() if flaw in each], pattern.flaws()


def test_a_sound_declaration_has_no_flaws_and_shows_what_makes_its_voters_independent() -> None:
    sound = Vote("x", (voter("a"), voter("b", 2)), 2)
    assert (sound.flaws(), sound.takes, sound.gives) == ((), Order, Receipt)
    assert [edge.label for edge in sound.parts] == ["prompt: a", "prompt: b, weighs 2"]
