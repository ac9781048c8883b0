"""How the siblings of a failed child end: in which order, within which time, and what becomes of their messages."""

import anyio
import pytest

from casework.runtime import children
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import AskFailed
from casework.runtime.mailbox import Envelope
from casework.runtime.supervision import Restart, Strategy, Supervision
from tests.support.family import LONG, Diary, Kin, begin, engage, found, parent_of, reached, settle, tell

ALL = Strategy.ONE_FOR_ALL
REST = Strategy.REST_FOR_ONE
THREE = (Kin("elder"), Kin("subject"), Kin("younger"))


@pytest.mark.promise("KERNEL-9", "KERNEL-8")
async def test_a_sibling_finishes_its_running_handler_and_the_older_ones_wait_for_it() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL), diary=diary)
            await engage(system, diary, "younger", "last")
            tell(system, "p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            assert [name for name in diary.ended if name != "subject"] == []
            assert diary.began == []
            diary.gate("younger").open.set()
            await system.wait_quiet()
            assert [name for name in diary.ended if name != "subject"] == ["younger", "elder"]
            assert diary.began == ["elder", "subject", "younger"]
            assert diary.handled == ["younger last"]
            assert diary.cancelled == []


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize(
    ("of_child", "of_group"),
    [(0.0, LONG), (0.01, LONG), (None, 0.0), (None, 0.01), (LONG, 0.0), (LONG, 0.01)],
    ids=["at once", "own", "group, at once", "group", "never longer than its group, at once", "never longer"],
)
async def test_a_sibling_that_does_not_end_within_its_grace_is_killed_and_starts_again(
    of_child: float | None, of_group: float
) -> None:
    diary = Diary()
    deaf = Kin("younger", grace_seconds=of_child)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(Kin("elder"), Kin("subject"), deaf, strategy=ALL, grace_seconds=of_group)
            await begin(system, family, diary=diary)
            await engage(system, diary, "younger", "never")
            tell(system, "p/subject", "boom")
            await system.wait_quiet()
            assert diary.cancelled == ["younger"]
            assert "younger" not in diary.ended
            assert diary.began == ["elder", "subject", "younger"]
            assert diary.made == {"p": 1, "elder": 2, "subject": 2, "younger": 2}
            assert diary.handled == []


@pytest.mark.promise("KERNEL-8")
async def test_a_kill_for_want_of_grace_leaves_the_other_siblings_their_own() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            hasty = Kin("younger", grace_seconds=0.0)
            await begin(system, parent_of(Kin("elder"), Kin("subject"), hasty, strategy=ALL), diary=diary)
            await engage(system, diary, "younger")
            await engage(system, diary, "elder", "last")
            tell(system, "p/subject", "boom")
            await diary.reads("!younger")
            await anyio.wait_all_tasks_blocked()
            assert diary.began == []
            diary.gate("elder").open.set()
            await system.wait_quiet()
            assert diary.cancelled == ["younger"]
            assert diary.handled == ["elder last"]
            assert diary.made == {"p": 1, "elder": 2, "subject": 2, "younger": 2}


@pytest.mark.promise("KERNEL-9")
async def test_when_its_parent_stops_each_child_has_its_own_grace() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            hasty = Kin("younger", grace_seconds=0.0)
            family = parent_of(Kin("elder"), Kin("subject"), hasty, strategy=Strategy.ONE_FOR_ONE)
            await begin(system, family, diary=diary)
            await engage(system, diary, "younger")
            await engage(system, diary, "elder", "last")
            parent = found(system, "p")
            parent.stop()
            await diary.reads("-subject")
            await anyio.wait_all_tasks_blocked()
            assert diary.entries == ["!younger", "-subject"]
            diary.gate("elder").open.set()
            await parent.wait_stopped()
            assert diary.handled == ["elder last"]
            assert diary.ended == ["subject", "elder", "p"]


@pytest.mark.promise("KERNEL-8")
async def test_a_sibling_takes_its_own_children_along_and_has_new_ones_when_it_starts_again() -> None:
    diary = Diary()
    old = Kin("elder", (Kin("niece"), Kin("nephew")))
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(old, Kin("subject"), strategy=ALL), diary=diary)
            tell(system, "p/subject", "boom")
            await system.wait_quiet()
            assert [name for name in diary.ended if name != "subject"] == ["nephew", "niece", "elder"]
            assert diary.made == {"p": 1, "elder": 2, "subject": 2, "niece": 2, "nephew": 2}
            assert set(system.addresses) == {"p", "p/elder", "p/elder/niece", "p/elder/nephew", "p/subject"}


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("strategy", [ALL, REST], ids=lambda strategy: strategy.value)
async def test_a_temporary_sibling_that_is_ended_is_gone_for_good(strategy: Strategy) -> None:
    diary = Diary()
    guest = Kin("guest", restart=Restart.TEMPORARY)
    host = Kin("host", restart=Restart.TRANSIENT)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(Kin("subject"), guest, host, strategy=strategy), Kin("watcher"), diary=diary)
            tell(system, "watcher", "watch:p/guest watch:p/host watch:p/subject")
            await engage(system, diary, "guest")
            tell(system, "p/guest", "late")
            tell(system, "p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            diary.gate("guest").open.set()
            await system.wait_quiet()
            assert diary.made == {"p": 1, "subject": 2, "guest": 1, "host": 2, "watcher": 1}
            assert set(system.addresses) == {"p", "p/subject", "p/host", "watcher"}
            assert sorted(diary.heard) == ["p: ChildEnded p/guest shutdown", "watcher: Down p/guest shutdown"]
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"late"]


@pytest.mark.promise("KERNEL-8")
async def test_a_child_that_is_spawned_again_is_the_youngest() -> None:
    diary = Diary()
    guest = Kin("guest", restart=Restart.TEMPORARY)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(guest, Kin("elder"), Kin("younger"), strategy=REST), diary=diary)
            found(system, "p/guest").stop()
            await system.wait_quiet()
            tell(system, "p", "spawn:guest")
            await system.wait_quiet()
            diary.entries.clear()
            tell(system, "p/younger", "boom")
            await system.wait_quiet()
            assert diary.began == ["younger", "guest"]
            assert diary.made["elder"] == 1


@pytest.mark.promise("KERNEL-8")
async def test_a_sibling_that_shields_itself_from_its_kill_does_not_hold_up_the_others_and_starts_again_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "KILL_SECONDS", 0.01)
    diary = Diary()
    deaf = Kin("younger", grace_seconds=0.0)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            family = parent_of(Kin("elder"), Kin("subject"), deaf, strategy=ALL, intensity=1)
            await begin(system, family, diary=diary)
            tell(system, "p/younger", "shield")
            await reached(diary.gate("younger"))
            tell(system, "p/subject", "boom")
            await diary.reads("+subject")
            diary.gate("younger").open.set()
            await system.wait_quiet()
            assert diary.made == {"p": 1, "elder": 2, "subject": 2, "younger": 2}
            assert set(system.addresses) == {"p", "p/elder", "p/subject", "p/younger"}


@pytest.mark.promise("KERNEL-8")
async def test_a_sibling_whose_end_raises_starts_again_and_is_not_counted() -> None:
    diary = Diary()
    diary.stop_faults.update(elder=1, younger=1, subject=1)
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL, intensity=1), diary=diary)
            tell(system, "p/subject", "boom")
            await system.wait_quiet()
            assert diary.made == {"p": 1, "elder": 2, "subject": 2, "younger": 2}


@pytest.mark.promise("KERNEL-8")
async def test_a_parent_may_ask_a_child_again_in_the_handler_in_which_the_child_failed() -> None:
    diary = Diary()
    got: list[bytes] = []

    class Asking:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            child = [settle(context, kin, diary) for kin in THREE][1]
            with pytest.raises(AskFailed):
                await child.ask(b"boom", timeout_seconds=LONG)
            got.append(await child.ask(b"hello", timeout_seconds=LONG))

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("p", Asking, children=Supervision(ALL, grace_seconds=LONG))
            ref.tell_nowait(b"")
            await system.wait_quiet()
    assert got == [b"subject 2"]
