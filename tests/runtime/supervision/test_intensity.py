"""How often a group may fail within how much time, and who fails when it does so more often."""

from typing import Any

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.errors import Escalated
from casework.runtime.lifecycle import Exit
from casework.runtime.seams import World
from casework.runtime.supervision import Restart, RestartLimit, Strategy, Supervision
from tests.support.family import LONG, Diary, Kin, begin, found, parent_of, settle, tell

THREE = (Kin("elder"), Kin("subject"), Kin("younger"))

pytestmark = pytest.mark.promise("KERNEL-8")

each_strategy = pytest.mark.parametrize("strategy", Strategy, ids=[strategy.value for strategy in Strategy])


async def fail(system: ActorSystem, *names: str) -> None:
    """Make the children of `p` fail, one after another, each when the one before is dealt with."""
    for name in names:
        tell(system, f"p/{name}", "boom")
        await system.wait_quiet()


@each_strategy
async def test_as_many_failures_as_the_intensity_are_restarted_and_one_more_fails_the_parent(
    hand_world: World, strategy: Strategy
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=2), diary=diary)
            await fail(system, "subject", "subject")
            assert (diary.made["p"], diary.made["subject"]) == (1, 3)
            await fail(system, "subject")
            assert (diary.made["p"], diary.made["subject"]) == (2, 4)
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}


@each_strategy
async def test_the_limit_is_for_all_children_of_a_group_together(hand_world: World, strategy: Strategy) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=2), diary=diary)
            await fail(system, "younger", "subject")
            assert diary.made["p"] == 1
            await fail(system, "elder")
            assert diary.made["p"] == 2


@each_strategy
async def test_restarts_that_are_as_old_as_the_period_no_longer_count(
    hand_world: World, hand_clock: Any, strategy: Strategy
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=2, period_seconds=5.0), diary=diary)
            await fail(system, "subject")
            hand_clock.forward(3)
            await fail(system, "subject")
            hand_clock.forward(2)
            await fail(system, "subject")
            assert diary.made["p"] == 1
            await fail(system, "subject")
            assert diary.made["p"] == 2


@each_strategy
async def test_failures_that_are_rare_enough_go_on_for_ever(
    hand_world: World, hand_clock: Any, strategy: Strategy
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=2, period_seconds=5.0), diary=diary)
            for _ in range(20):
                await fail(system, "subject")
                hand_clock.forward(3)
            assert (diary.made["p"], diary.made["subject"]) == (1, 21)


async def test_siblings_that_start_again_with_a_failed_child_are_not_counted(hand_world: World) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=Strategy.ONE_FOR_ALL, intensity=2), diary=diary)
            await fail(system, "subject", "elder")
            assert diary.made == {"p": 1, "elder": 3, "subject": 3, "younger": 3}


@each_strategy
async def test_ends_that_are_forgotten_are_not_counted(hand_world: World, strategy: Strategy) -> None:
    diary = Diary()
    forgotten = tuple(Kin(f"forgotten-{number}", restart=Restart.TEMPORARY) for number in range(5))
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(Kin("subject"), *forgotten, strategy=strategy, intensity=0), diary=diary)
            await fail(system, *(kin.name for kin in forgotten))
            assert (diary.made["p"], diary.made["subject"]) == (1, 1)
            assert set(system.addresses) == {"p", "p/subject"}


@each_strategy
async def test_with_an_intensity_of_zero_the_first_failure_fails_the_parent(
    hand_world: World, strategy: Strategy
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=0), diary=diary)
            await fail(system, "subject")
            assert diary.made == {"p": 2, "elder": 2, "subject": 2, "younger": 2}


@each_strategy
async def test_a_parent_that_began_anew_has_all_its_restarts_again(hand_world: World, strategy: Strategy) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=2), diary=diary)
            await fail(system, "subject", "subject", "subject")
            assert diary.made["p"] == 2
            await fail(system, "subject", "subject")
            assert diary.made["p"] == 2
            await fail(system, "subject")
            assert diary.made["p"] == 3


@pytest.mark.promise("KERNEL-9")
@each_strategy
async def test_before_a_parent_fails_its_other_children_end_the_youngest_first(
    hand_world: World, strategy: Strategy
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=0), Kin("watcher"), diary=diary)
            tell(system, "watcher", "watch:p/elder watch:p/subject watch:p/younger")
            await system.wait_quiet()
            await fail(system, "subject")
            assert [name for name in diary.ended if name != "subject"] == ["younger", "elder", "p"]
            assert diary.began[0] == "p"
            assert diary.entries.index("-subject") < diary.entries.index("+p")
            assert sorted(diary.heard) == [
                "watcher: Down p/elder shutdown",
                "watcher: Down p/subject escalated",
                "watcher: Down p/younger shutdown",
            ]


async def test_what_waited_for_the_children_of_a_failed_parent_becomes_dead_letters(hand_world: World) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=Strategy.ONE_FOR_ALL, intensity=0), diary=diary)
            tell(system, "p/elder", "wait")
            await diary.gate("elder").entered.wait()
            for name in ("elder", "subject", "subject"):
                tell(system, f"p/{name}", "boom" if name == "subject" else "late")
            await anyio.wait_all_tasks_blocked()
            diary.gate("elder").open.set()
            await system.wait_quiet()
            assert sorted(letter.envelope.frame for letter in system.dead_letters) == [b"boom", b"late"]
            assert diary.handled == []
            assert diary.made["p"] == 2


def of_three_levels(strategy: Strategy, intensity: int) -> Kin:
    parent = parent_of(*THREE, strategy=strategy, intensity=intensity)
    supervision = Supervision(strategy, RestartLimit(intensity=0), LONG)
    return Kin("g", (parent,), supervision=supervision)


def chain(error: BaseException | None) -> list[str]:
    """Give the addresses along a chain of escalations, and what it began with."""
    links: list[str] = []
    while isinstance(error, Escalated):
        links.append(error.address)
        error = error.error
    return [*links, str(error)]


@each_strategy
async def test_an_escalation_goes_up_level_by_level_and_says_what_it_began_with(
    hand_world: World, strategy: Strategy
) -> None:
    diary, raised = Diary(), list[Escalated]()
    with anyio.fail_after(5):
        async with ActorSystem(
            hand_world, restart_limit=RestartLimit(intensity=0), on_escalation=raised.append
        ) as system:
            await begin(system, of_three_levels(strategy, intensity=1), diary=diary)
            tell(system, "g/p/subject", "boom")
            await system.wait_quiet()
            assert raised == []
            tell(system, "g/p/subject", "boom")
            await system.wait_quiet()
            assert system.addresses == ()
    assert [chain(error) for error in raised] == [["g", "g/p", "g/p/subject", "subject went boom"]]
    assert diary.made["g"] == diary.made["p"] == 1
    assert diary.ended[-2:] == ["p", "g"]


@each_strategy
async def test_a_level_that_may_restart_stops_the_escalation(hand_world: World, strategy: Strategy) -> None:
    diary, raised = Diary(), list[Escalated]()
    with anyio.fail_after(5):
        async with ActorSystem(
            hand_world, restart_limit=RestartLimit(intensity=1), on_escalation=raised.append
        ) as system:
            await begin(system, of_three_levels(strategy, intensity=0), diary=diary)
            tell(system, "g/p/subject", "boom")
            await system.wait_quiet()
            assert diary.made == dict.fromkeys(("g", "p", "elder", "subject", "younger"), 2)
            assert raised == []
            tell(system, "g/p/subject", "boom")
            await system.wait_quiet()
    assert len(raised) == 1


async def test_at_the_top_an_escalation_ends_the_system_which_raises_it(hand_world: World) -> None:
    diary = Diary()
    with anyio.fail_after(5), pytest.raises(Escalated, match="'g' failed again after 0 restarts") as caught:  # noqa: PT012 - it raises on leaving
        async with ActorSystem(hand_world, restart_limit=RestartLimit(intensity=0)) as system:
            await begin(system, of_three_levels(Strategy.ONE_FOR_ALL, intensity=0), diary=diary)
            tell(system, "g/p/subject", "boom")
            await anyio.sleep_forever()
    assert chain(caught.value) == ["g", "g/p", "g/p/subject", "subject went boom"]


async def test_a_temporary_parent_whose_children_escalate_is_gone_and_its_own_parent_hears_of_a_failure(
    hand_world: World,
) -> None:
    diary = Diary()
    supervision = Supervision(limit=RestartLimit(intensity=0), grace_seconds=LONG)
    parent = Kin("p", THREE, restart=Restart.TEMPORARY, supervision=supervision)
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, Kin("g", (parent, Kin("other"))), diary=diary)
            tell(system, "g/p/elder", "boom")
            await system.wait_quiet()
            assert set(system.addresses) == {"g", "g/other"}
            assert diary.heard == [f"g: ChildEnded g/p {Exit.FAILED.value}"]


async def test_at_the_top_each_actor_has_a_limit_of_its_own_and_a_new_one_of_an_old_name_all_its_restarts(
    hand_world: World,
) -> None:
    diary, raised = Diary(), list[Escalated]()
    with anyio.fail_after(5):
        async with ActorSystem(
            hand_world, restart_limit=RestartLimit(intensity=1), on_escalation=raised.append
        ) as system:
            await begin(system, Kin("a"), Kin("b"), diary=diary)
            for address in ("a", "b"):
                tell(system, address, "boom")
                await system.wait_quiet()
            found(system, "a").stop()
            await system.wait_quiet()
            await begin(system, Kin("a"), diary=diary)
            tell(system, "a", "boom")
            await system.wait_quiet()
            assert raised == []
            tell(system, "a", "boom")
            await system.wait_quiet()
            assert [error.address for error in raised] == ["a"]
            assert system.addresses == ("b",)


@each_strategy
@pytest.mark.parametrize("fault", ["start", "factory"])
async def test_a_failed_restart_is_tried_as_often_as_the_intensity_says_and_not_for_ever(
    hand_world: World, strategy: Strategy, fault: str
) -> None:
    diary, raised = Diary(), list[Escalated]()
    with anyio.fail_after(5):
        async with ActorSystem(
            hand_world, restart_limit=RestartLimit(intensity=0), on_escalation=raised.append
        ) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=3), diary=diary)
            (diary.start_faults if fault == "start" else diary.factory_faults)["subject"] = 1_000
            await fail(system, "subject")
            await found_gone(system)
    assert diary.made["subject"] == 4
    assert all(diary.made[name] <= 4 for name in ("elder", "younger"))
    assert [chain(error) for error in raised] == [["p", "p/subject", "subject cannot"]]


async def found_gone(system: ActorSystem) -> None:
    """Wait until nobody runs."""
    await system.wait_quiet()
    assert system.addresses == ()


@each_strategy
@pytest.mark.parametrize("fault", ["start", "factory"])
async def test_a_failed_restart_counts_as_one_more_failure_and_the_next_one_may_succeed(
    hand_world: World, strategy: Strategy, fault: str
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy, intensity=3), diary=diary)
            (diary.start_faults if fault == "start" else diary.factory_faults)["subject"] = 2
            await fail(system, "subject")
            assert (diary.made["p"], diary.made["subject"]) == (1, 4)
            for name in ("elder", "subject", "younger"):
                answer = await found(system, f"p/{name}").ask(b"hello", timeout_seconds=5)
                assert answer.decode() == f"{name} {diary.made[name]}"
            await fail(system, "younger")
            assert diary.made["p"] == 2


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("fault", ["start", "factory"])
@pytest.mark.parametrize("strategy", [Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL], ids=lambda one: one.value)
async def test_those_after_a_child_whose_restart_failed_start_only_in_the_round_that_follows(
    hand_world: World, strategy: Strategy, fault: str
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=strategy), diary=diary)
            (diary.start_faults if fault == "start" else diary.factory_faults)["elder"] = 2
            await fail(system, "elder")
            assert diary.made == {"p": 1, "elder": 4, "subject": 2, "younger": 2}


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("fault", ["start", "factory"])
async def test_a_sibling_that_cannot_start_again_has_failed_itself_and_begins_a_round_of_its_own(
    hand_world: World, fault: str
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=Strategy.REST_FOR_ONE, intensity=2), diary=diary)
            (diary.start_faults if fault == "start" else diary.factory_faults)["younger"] = 1
            await fail(system, "subject")
            assert diary.made == {"p": 1, "elder": 1, "subject": 2, "younger": 3}
            await fail(system, "elder")
            assert diary.made["p"] == 2


async def test_a_parent_whose_children_cannot_be_made_is_bounded_by_its_own_group(hand_world: World) -> None:
    diary, raised = Diary(), list[Escalated]()
    diary.start_faults["subject"] = 1_000
    with anyio.fail_after(5):
        async with ActorSystem(
            hand_world, restart_limit=RestartLimit(intensity=2), on_escalation=raised.append
        ) as system:
            settle(system, parent_of(*THREE, strategy=Strategy.ONE_FOR_ALL, intensity=1), diary)
            await found_gone(system)
    assert diary.made["p"] == 3
    assert diary.made["subject"] == 6
    assert [error.address for error in raised] == ["p"]
