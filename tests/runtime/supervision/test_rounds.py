"""What happens while a group starts its children again: further failures, stops and kills in the middle of a round."""

from collections.abc import Callable

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.supervision import Restart, RestartLimit, Strategy, Supervision
from tests.support.family import LONG, Diary, Gate, Kin, begin, found, parent_of, reached, settle, tell

ALL = Strategy.ONE_FOR_ALL
REST = Strategy.REST_FOR_ONE
THREE = (Kin("elder"), Kin("subject"), Kin("younger"))
TWICE = {"p": 1, "elder": 2, "subject": 2, "younger": 2}

pytestmark = pytest.mark.promise("KERNEL-8")


async def begin_round(system: ActorSystem, family: Kin, diary: Diary, *, late: str, words: str = "wait") -> None:
    """Start a family and a round of it, by the subject's failure, that waits for the handler of `late`."""
    await begin(system, family, diary=diary)
    tell(system, f"p/{late}", words)
    await reached(diary.gate(late))
    tell(system, "p/subject", "boom")
    await anyio.wait_all_tasks_blocked()
    assert diary.began == [], "the round waits"


async def end_round(system: ActorSystem, diary: Diary, late: str) -> None:
    diary.gate(late).open.set()
    await system.wait_quiet()


@pytest.mark.parametrize("late", ["elder", "younger"])
@pytest.mark.parametrize("how", ["raises", "leaves", "killed", "its job raises"])
async def test_the_failure_of_a_sibling_that_the_round_ends_anyway_is_absorbed(late: str, how: str) -> None:
    diary = Diary()
    words = {"raises": "wait boom", "leaves": "wait leave", "killed": "wait", "its job raises": "job-at-gate wait"}[how]
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(*THREE, strategy=ALL, intensity=1)
            await begin_round(system, family, diary, late=late, words=words)
            if how == "killed":
                found(system, f"p/{late}").kill()
            if how == "its job raises":
                diary.gate(f"{late}/job").open.set()
                await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, late)
            assert diary.made == TWICE
            assert diary.began == ["elder", "subject", "younger"]
            assert diary.heard == []


async def test_the_failure_of_a_job_that_was_not_yet_heeded_when_the_round_began_is_absorbed() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL, intensity=1), diary=diary)
            tell(system, "p/younger", "job wait")
            await reached(diary.gate("younger"))
            await anyio.wait_all_tasks_blocked()
            tell(system, "p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert diary.made == TWICE


async def test_siblings_that_fail_in_the_same_moment_are_one_failure_where_one_is_for_all() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL, intensity=1), diary=diary)
            for kin in THREE:
                tell(system, f"p/{kin.name}", "wait boom")
                await reached(diary.gate(kin.name))
            for kin in THREE:
                diary.gate(kin.name).open.set()
            await system.wait_quiet()
            assert diary.made == TWICE


async def test_an_elder_that_fails_during_a_round_of_younger_ones_begins_a_round_for_all_after_it() -> None:
    diary = Diary()
    four = (Kin("first"), *THREE)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(*four, strategy=REST, intensity=2)
            await begin_round(system, family, diary, late="younger")
            tell(system, "p/first", "boom")
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert (diary.made["p"], diary.made["first"], diary.made["elder"]) == (1, 2, 2)
            assert diary.began[-4:] == ["first", "elder", "subject", "younger"]
            assert diary.made["subject"] == diary.made["younger"]
            for kin in four:
                answer = await found(system, f"p/{kin.name}").ask(b"hello", timeout_seconds=LONG)
                assert answer.decode() == f"{kin.name} {diary.made[kin.name]}"


async def test_an_elder_that_fails_during_a_round_of_younger_ones_is_counted() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(Kin("first"), *THREE, strategy=REST, intensity=1)
            await begin_round(system, family, diary, late="younger")
            tell(system, "p/first", "boom")
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert diary.made["p"] == 2
            assert set(system.addresses) == {"p", "p/first", "p/elder", "p/subject", "p/younger"}
            assert diary.began[-5] == "p"


async def test_elders_that_fail_one_after_another_during_a_round_all_start_again_once() -> None:
    diary = Diary()
    four = (Kin("first"), *THREE)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin_round(system, parent_of(*four, strategy=REST), diary, late="younger")
            for name in ("first", "elder"):
                tell(system, f"p/{name}", "boom")
                await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert (diary.made["p"], diary.made["first"], diary.made["elder"]) == (1, 2, 2)
            assert diary.made["subject"] == diary.made["younger"]
            assert diary.began[-4:] == ["first", "elder", "subject", "younger"]


async def test_after_an_escalation_nobody_of_the_group_starts_again_while_the_parent_still_works() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(Kin("first"), *THREE, strategy=REST, intensity=1)
            await begin_round(system, family, diary, late="younger")
            tell(system, "p", "wait done")
            await reached(diary.gate("p"))
            tell(system, "p/first", "boom")
            await anyio.wait_all_tasks_blocked()
            diary.gate("younger").open.set()
            await anyio.wait_all_tasks_blocked()
            assert diary.began == []
            diary.gate("p").open.set()
            await system.wait_quiet()
            assert diary.handled == ["p done"]
            assert diary.began[0] == "p"
            assert diary.made == dict.fromkeys(("p", "first", "elder", "subject", "younger"), 2)


@pytest.mark.parametrize("whose", ["its parent", "the system"])
async def test_a_stop_of_what_is_above_wins_over_a_round_and_nothing_starts_again(whose: str) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=LONG) as system, anyio.create_task_group() as group:
            await begin_round(system, parent_of(*THREE, strategy=ALL), diary, late="younger")
            if whose == "the system":
                group.start_soon(system.drain, 0)
            else:
                found(system, "p").stop()
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            await anyio.wait_all_tasks_blocked()
            assert system.addresses == ()
            assert diary.began == []
            assert [name for name in diary.ended if name != "subject"] == ["younger", "elder", "p"]


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TEMPORARY], ids=lambda restart: restart.value)
async def test_a_kill_of_the_parent_wins_over_a_round(restart: Restart) -> None:
    diary = Diary()
    supervision = Supervision(ALL, RestartLimit(), LONG)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = Kin("p", THREE, restart=restart, supervision=supervision)
            await begin_round(system, family, diary, late="younger")
            found(system, "p").kill()
            await system.wait_quiet()
            assert diary.cancelled == ["younger"]
            if restart is Restart.TEMPORARY:
                assert diary.began == []
                assert system.addresses == ()
            else:
                assert diary.began[0] == "p"
                assert diary.made == {"p": 2, "elder": 2, "subject": 2, "younger": 2}
                assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}


async def test_a_parent_that_fails_during_a_round_takes_the_round_along_and_begins_anew() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin_round(system, parent_of(*THREE, strategy=ALL), diary, late="younger")
            tell(system, "p", "boom")
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert diary.began[0] == "p"
            assert diary.made == {"p": 2, "elder": 2, "subject": 2, "younger": 2}
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}


@pytest.mark.parametrize("name", ["elder", "subject", "younger"])
async def test_who_is_asked_from_outside_to_stop_during_a_round_is_not_started_again(name: str) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin_round(system, parent_of(*THREE, strategy=ALL), diary, late="younger")
            found(system, f"p/{name}").stop()
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"} - {f"p/{name}"}
            assert diary.heard == [f"p: ChildEnded p/{name} shutdown"]
            assert diary.made["p"] == 1
            assert name not in diary.began


@pytest.mark.parametrize("name", ["elder", "subject", "younger"])
async def test_a_kill_of_a_child_during_its_round_changes_nothing_but_the_pace(name: str) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin_round(system, parent_of(*THREE, strategy=ALL, intensity=1), diary, late="younger")
            found(system, f"p/{name}").kill()
            await anyio.wait_all_tasks_blocked()
            await end_round(system, diary, "younger")
            assert diary.made["p"] == 1
            assert {diary.made[kin.name] for kin in THREE} == {2}
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_an_uncle_ends_beside_a_round_without_disturbing_it(end: str) -> None:
    diary = Diary()
    ends: dict[str, Callable[[ActorSystem], None]] = {
        "stop": lambda system: found(system, "uncle").stop(),
        "kill": lambda system: found(system, "uncle").kill(),
    }
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            settle(system, Kin("uncle", restart=Restart.TEMPORARY), diary)
            await begin_round(system, parent_of(*THREE, strategy=ALL), diary, late="younger")
            ends[end](system)
            await anyio.wait_all_tasks_blocked()
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}
            await end_round(system, diary, "younger")
            assert diary.began == ["elder", "subject", "younger"]


async def test_a_sibling_without_a_place_in_the_round_works_on_while_it_lasts() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin_round(system, parent_of(*THREE, strategy=REST), diary, late="younger")
            answer = await found(system, "p/elder").ask(b"hello", timeout_seconds=LONG)
            assert answer == b"elder 1"
            assert (await found(system, "p").ask(b"hello", timeout_seconds=LONG)) == b"p 1"
            assert diary.began == []
            await end_round(system, diary, "younger")
            assert diary.began == ["subject", "younger"]


async def test_rounds_of_two_groups_do_not_wait_for_each_other() -> None:
    diary = Diary()
    supervision = Supervision(ALL, grace_seconds=LONG)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            settle(system, Kin("q", (Kin("one"), Kin("two")), supervision=supervision), diary)
            await begin_round(system, parent_of(*THREE, strategy=ALL), diary, late="younger")
            tell(system, "q/one", "boom")
            await anyio.wait_all_tasks_blocked()
            assert diary.began == ["one", "two"]
            await end_round(system, diary, "younger")
            assert diary.made == {**TWICE, "q": 1, "one": 2, "two": 2}


async def test_each_child_has_started_before_the_next_one_starts() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL), diary=diary)
            gate = diary.start_gates["elder"] = Gate()
            tell(system, "p/subject", "boom")
            await reached(gate)
            await anyio.wait_all_tasks_blocked()
            assert diary.began == ["elder"]
            gate.open.set()
            await system.wait_quiet()
            assert diary.began == ["elder", "subject", "younger"]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_an_end_of_the_parent_while_one_starts_again_keeps_the_others_from_starting(end: str) -> None:
    diary = Diary()
    supervision = Supervision(ALL, RestartLimit(), LONG)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, Kin("p", THREE, restart=Restart.TEMPORARY, supervision=supervision), diary=diary)
            gate = diary.start_gates["elder"] = Gate()
            tell(system, "p/subject", "boom")
            await reached(gate)
            parent = found(system, "p")
            (parent.stop if end == "stop" else parent.kill)()
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
            await parent.wait_stopped()
            await system.wait_quiet()
            assert diary.began == ["elder"]
            assert system.addresses == ()


async def test_a_child_that_fails_again_while_the_others_still_start_begins_another_round_and_is_counted() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL, intensity=2), diary=diary)
            gate = diary.start_gates["subject"] = Gate()
            tell(system, "p/subject", "boom")
            await reached(gate)
            tell(system, "p/elder", "boom")
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
            await system.wait_quiet()
            assert (diary.made["p"], diary.made["elder"]) == (1, 3)
            assert diary.began[-3:] == ["elder", "subject", "younger"]
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}
            tell(system, "p/younger", "boom")
            await system.wait_quiet()
            assert diary.made["p"] == 2


async def test_a_temporary_sibling_that_fails_while_a_round_ends_it_is_gone_and_told_of_once() -> None:
    diary = Diary()
    guest = Kin("guest", restart=Restart.TEMPORARY)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(*THREE, guest, strategy=ALL, intensity=1)
            await begin_round(system, family, diary, late="guest", words="wait boom")
            await end_round(system, diary, "guest")
            assert diary.made == {**TWICE, "guest": 1}
            assert len(diary.heard) == 1
            assert diary.heard[0].startswith("p: ChildEnded p/guest")


@pytest.mark.parametrize("grace_seconds", [0.0, LONG])
async def test_leaving_the_system_during_a_round_starts_nobody_and_accounts_for_every_message(
    grace_seconds: float,
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, ActorSystem(grace_seconds=grace_seconds) as system:
            await begin_round(system, parent_of(*THREE, strategy=ALL), diary, late="younger")
            for name in ("subject", "younger"):
                tell(system, f"p/{name}", "late")

            async def open_later() -> None:
                await anyio.wait_all_tasks_blocked()
                diary.gate("younger").open.set()

            if grace_seconds:
                group.start_soon(open_later)
    assert diary.began == []
    assert system.statistics().dead_lettered == 2
    assert diary.cancelled == ([] if grace_seconds else ["younger"])


async def test_a_round_of_the_group_above_ends_the_round_below_and_everybody_starts_once() -> None:
    diary = Diary()
    above = Supervision(ALL, grace_seconds=LONG)
    below = parent_of(*THREE, strategy=ALL)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            settle(system, Kin("g", (below, Kin("uncle")), supervision=above), diary)
            await system.wait_quiet()
            tell(system, "g/p/younger", "wait")
            await reached(diary.gate("younger"))
            diary.entries.clear()
            tell(system, "g/p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            tell(system, "g/uncle", "boom")
            await anyio.wait_all_tasks_blocked()
            assert diary.began == []
            await end_round(system, diary, "younger")
            assert diary.made == {"g": 1, "p": 2, "uncle": 2, "elder": 2, "subject": 2, "younger": 2}
            assert [name for name in diary.ended if name not in ("uncle", "subject")] == ["younger", "elder", "p"]
