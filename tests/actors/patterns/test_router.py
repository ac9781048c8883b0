"""A router's choice is recorded with what was offered; work that is handed to and fro comes to an end."""

from functools import partial

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.actors import Skill
from casework.actors.patterns import Assignment, Choice, Handoff, Pattern, Router
from casework.actors.patterns.router import choose, hand_on, returns
from casework.actors.testing import CaseBench
from casework.protocols.codec import unpack
from casework.protocols.records import Decision
from tests.support.pattern_crew import Crashes, Job, code, crew, does, task

ROUTES = ("billing", "shipping", "person")


def chooser(route: str, confidence: float = 1.0) -> Pattern:
    return code("intent", lambda job: Choice(route=route, confidence=confidence, reason="it says so"), gives=Choice)


def router(chosen: Pattern, **more: object) -> Router:
    routes: dict[str, Pattern] = {name: task(name, gives=str | Handoff) for name in ROUTES}
    figures = {"routes": routes, "default": "person", "floor": 0.7, **more}
    return Router("desk", Job, str, chosen, **figures)  # type: ignore[arg-type]


def answers(**instead: object) -> dict[str, Skill]:
    """Make skills that answer by their name, or as is said."""
    given = {name: instead.get(name, f"{name} did it") for name in ROUTES}
    return {name: does(partial(_says, value), returns=str | Handoff) for name, value in given.items()}


def _says(value: object, job: Job) -> object:
    return value


def decided(bench: CaseBench) -> list[Decision]:
    entries = bench.log("c1").entries
    return [each for each in entries if isinstance(each, Decision) and each.subject == "desk"]


async def run(made: Router, skills: dict[str, Skill]) -> tuple[str, list[tuple[str, str]]]:
    """Give the value, or the error, and (chosen, rule) of every decision."""
    async with CaseBench(crew(made, skills)) as bench:
        await bench.open("desk", "c1", Job(1))
        closed = bench.log("c1").entries[-1]
        value = closed.error or unpack(closed.value, str)  # type: ignore[union-attr]
        return value, [(each.chosen, each.rule) for each in decided(bench)]


async def test_work_goes_to_the_chosen_route_and_the_log_says_what_was_offered_and_how_sure_the_choice_was() -> None:
    with anyio.fail_after(5):
        async with CaseBench(crew(router(chooser("billing", 0.8)), answers())) as bench:
            await bench.open("desk", "c1", Job(1))
            assert bench.value("c1", str) == "billing did it"
            (decision,) = decided(bench)
    assert (decision.subject, decision.options, decision.chosen) == ("desk", ROUTES, "billing")
    assert (decision.rule, decision.confidence, decision.why) == ("chosen", 0.8, "billing: it says so")
    assert decision.inputs_hash


async def test_a_choice_below_the_floor_goes_to_the_default() -> None:
    with anyio.fail_after(5):
        assert await run(router(chooser("billing", 0.6)), answers()) == (
            "person did it",
            [("person", "confidence_floor")],
        )


async def test_the_confidence_of_the_choosers_own_outcome_counts_as_well() -> None:
    skills = {**answers(), "guess": does(lambda job: Choice(route="billing"), returns=Choice, confidence=0.5)}
    with anyio.fail_after(5):
        value, rules = await run(router(task("guess", gives=Choice)), skills)
    assert (value, rules) == ("person did it", [("person", "confidence_floor")])


async def test_a_choice_that_is_surer_than_sure_is_none() -> None:
    skills = {**answers(), "guess": does(lambda job: Choice(route="billing", confidence=7.0), returns=Choice)}
    with anyio.fail_after(5):
        value, rules = await run(router(task("guess", gives=Choice)), skills)
    assert (value.startswith("task 'guess' failed (invalid)"), rules) == (True, [])


async def test_a_route_that_was_not_offered_goes_to_the_default() -> None:
    with anyio.fail_after(5):
        assert await run(router(chooser("legal")), answers()) == ("person did it", [("person", "unknown_route")])


async def test_a_worker_may_hand_its_work_on() -> None:
    skills = answers(billing=Handoff(route="shipping", reason="a parcel is missing"))
    with anyio.fail_after(5):
        value, rules = await run(router(chooser("billing")), skills)
    assert (value, rules) == ("shipping did it", [("billing", "chosen"), ("shipping", "handed_on")])


async def test_work_that_comes_back_for_the_second_time_goes_to_the_default() -> None:
    skills = answers(billing=Handoff(route="shipping"), shipping=Handoff(route="billing"))
    with anyio.fail_after(5):
        value, rules = await run(router(chooser("billing")), skills)
    assert value == "person did it"
    assert rules == [
        ("billing", "chosen"),
        ("shipping", "handed_on"),
        ("billing", "handed_on"),  # the first return
        ("person", "bounce_limit"),  # instead of the second
    ]


async def test_a_default_that_hands_on_what_went_to_and_fro_fails_the_work() -> None:
    skills = answers(
        billing=Handoff(route="shipping"), shipping=Handoff(route="billing"), person=Handoff(route="billing")
    )
    with anyio.fail_after(5):
        value, _ = await run(router(chooser("billing")), skills)
    assert value.endswith("nobody keeps it: it went billing > shipping > billing > person")


@given(st.lists(st.sampled_from([*ROUTES, "nowhere"]), min_size=1, max_size=30), st.integers(1, 4))
def test_work_moves_on_until_somebody_keeps_it_but_never_more_often_than_routes_and_limit_say(
    wishes: list[str], bounces: int
) -> None:
    ruling = choose(Choice(route=wishes[0]), ROUTES, default="person", sure=True)
    path = [ruling.route]
    for wish in wishes[1:]:
        if ruling.rule == "bounce_limit":
            break
        ruling = hand_on(path, wish, ROUTES, default="person", bounces=bounces)
        path.append(ruling.route)
    assert set(path) <= set(ROUTES)
    assert len(path) <= len(ROUTES) + bounces
    assert returns(path[:-1]) < bounces
    assert (ruling.rule == "bounce_limit") <= (path[-1] == "person")


@pytest.mark.parametrize(("path", "count"), [("A", 0), ("AB", 0), ("ABA", 1), ("ABAB", 2), ("AA", 1), ("ABCABC", 3)])
def test_every_visit_of_a_route_but_its_first_is_a_return(path: str, count: int) -> None:
    assert returns(path) == count


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"routes": {}, "default": ""}, "has no routes; give at least the default"),
        ({"default": "nobody"}, "has a default 'nobody' that is no route; name one of billing, shipping, person"),
        ({"floor": 1.5}, "has a floor of 1.5, which is no confidence; give 0 to 1"),
        ({"bounces": 0}, "has a bounce limit of 0; give at least 1"),
        ({"routes": {"person": Assignment("ask", str, str, "ask")}}, "'ask' takes str, but is given Job"),
        ({"routes": {"person": task("person", gives=int)}}, "'person' gives int, but str | .*Handoff is wanted"),
    ],
)
def test_a_router_that_cannot_work_says_what_to_do(figures: dict[str, object], says: str) -> None:
    assert router(chooser("billing")).flaws() == []
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(" / ".join(router(chooser("billing"), **figures).flaws()))


def test_a_chooser_that_gives_no_choice_is_a_flaw() -> None:
    (flaw,) = router(code("intent", lambda job: "billing", gives=str)).flaws()
    assert flaw.startswith("router 'desk': 'intent' gives str, but Choice is wanted")


TO_AND_FRO = answers(billing=Handoff(route="shipping"), shipping=Handoff(route="billing"))


@pytest.mark.crash_anywhere(crew(router(chooser("billing")), TO_AND_FRO), flow="desk", inputs=Job(1))
async def test_routing_survives_whatever_happens_to_its_process(crashes: Crashes) -> None:
    assert (await crashes()).value == "person did it"
