"""What becomes of messages and asks when siblings end and start again together: nothing accepted is lost."""

from typing import Any

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.errors import ActorStopped, AskFailed
from casework.runtime.mailbox import Overflow
from casework.runtime.seams import World
from casework.runtime.supervision import Restart, Strategy
from tests.support.family import LONG, Diary, Kin, begin, engage, found, parent_of, tell

ALL = Strategy.ONE_FOR_ALL
THREE = (Kin("elder"), Kin("subject"), Kin("younger"))


@pytest.mark.promise("KERNEL-11", "KERNEL-8")
async def test_mailboxes_keep_what_waits_over_a_round_and_take_more_but_the_failed_message_is_not_tried_again() -> None:
    diary = Diary()
    names = ("elder", "subject", "younger")
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL), diary=diary)
            for name in ("elder", "younger"):
                await engage(system, diary, name)
            tell(system, "p/subject", "boom")
            for name in names:
                tell(system, f"p/{name}", "before")
            await anyio.wait_all_tasks_blocked()
            for name in names:
                tell(system, f"p/{name}", "during")
            assert diary.handled == []
            for name in ("elder", "younger"):
                diary.gate(name).open.set()
            await system.wait_quiet()
            for name in names:
                mine = [entry for entry in diary.handled if entry.startswith(name)]
                assert mine == [f"{name} before", f"{name} during"]
            assert diary.made == {"p": 1, "elder": 2, "subject": 2, "younger": 2}
            seen = system.statistics()
            assert (seen.handled, seen.failed, seen.dead_lettered) == (8, 1, 0)


@pytest.mark.promise("KERNEL-6", "KERNEL-8")
async def test_in_a_round_every_ask_in_flight_is_answered_with_an_error_and_those_that_wait_by_the_next_incarnation(
) -> None:  # fmt: skip
    diary, answers = Diary(), dict[str, str]()
    guest = Kin("guest", restart=Restart.TEMPORARY)
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            family = parent_of(*THREE, guest, strategy=ALL, grace_seconds=0.0)
            await begin(system, family, diary=diary)

            async def ask(name: str, words: str) -> None:
                try:
                    answer = await found(system, f"p/{name}").ask(words.encode(), timeout_seconds=LONG)
                    answers[f"{name} {words}"] = answer.decode()
                except (AskFailed, ActorStopped) as error:
                    answers[f"{name} {words}"] = type(error).__name__

            for name in ("elder", "guest"):
                for words in ("keep", "wait", "waiting"):
                    group.start_soon(ask, name, words)
                    await anyio.wait_all_tasks_blocked()
            for words in ("keep", "wait boom", "waiting"):
                group.start_soon(ask, "subject", words)
                await anyio.wait_all_tasks_blocked()
            assert answers == {}
            diary.gate("subject").open.set()
    assert answers == {
        "elder keep": "AskFailed",
        "elder wait": "AskFailed",
        "elder waiting": "elder 2",
        "guest keep": "AskFailed",
        "guest wait": "AskFailed",
        "guest waiting": "ActorStopped",
        "subject keep": "AskFailed",
        "subject wait boom": "AskFailed",
        "subject waiting": "subject 2",
    }


@pytest.mark.promise("KERNEL-3", "KERNEL-8")
async def test_who_waits_for_room_in_the_mailbox_of_a_sibling_waits_on_over_a_round() -> None:
    diary = Diary()
    narrow = Kin("younger", mailbox_depth_max=1, overflow=Overflow.WAIT)
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            await begin(system, parent_of(Kin("elder"), Kin("subject"), narrow, strategy=ALL), diary=diary)
            await engage(system, diary, "younger")
            for number in range(3):
                group.start_soon(found(system, "p/younger").tell, str(number).encode())
                await anyio.wait_all_tasks_blocked()
            tell(system, "p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            diary.gate("younger").open.set()
            await anyio.wait_all_tasks_blocked()
            await system.wait_quiet()
            assert diary.handled == ["younger 0", "younger 1", "younger 2"]
            assert diary.made["younger"] == 2


@pytest.mark.promise("KERNEL-3", "KERNEL-8")
async def test_who_waits_for_room_in_the_mailbox_of_a_temporary_sibling_is_told_that_it_is_gone() -> None:
    diary, refused = Diary(), list[bytes]()
    guest = Kin("guest", restart=Restart.TEMPORARY, mailbox_depth_max=1, overflow=Overflow.WAIT)
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            await begin(system, parent_of(Kin("subject"), guest, strategy=ALL), diary=diary)
            await engage(system, diary, "guest")

            async def send(frame: bytes) -> None:
                try:
                    await found(system, "p/guest").tell(frame)
                except ActorStopped as error:
                    refused.append(error.envelope.frame)

            for frame in (b"accepted", b"waiting"):
                group.start_soon(send, frame)
                await anyio.wait_all_tasks_blocked()
            tell(system, "p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            diary.gate("guest").open.set()
    assert refused == [b"waiting"]
    assert [letter.envelope.frame for letter in system.dead_letters] == [b"accepted"]


@pytest.mark.promise("KERNEL-5", "KERNEL-8")
async def test_a_message_whose_deadline_passes_during_a_round_is_dropped_unread(
    hand_world: World, hand_clock: Any
) -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await begin(system, parent_of(*THREE, strategy=ALL), diary=diary)
            await engage(system, diary, "younger")
            tell(system, "p/subject", "boom")
            await anyio.wait_all_tasks_blocked()
            for name in ("elder", "subject"):
                found(system, f"p/{name}").tell_nowait(b"late", deadline=hand_clock.now + 1)
                found(system, f"p/{name}").tell_nowait(b"good", deadline=hand_clock.now + 3)
            hand_clock.forward(2)
            diary.gate("younger").open.set()
            await system.wait_quiet()
            assert sorted(diary.handled) == ["elder good", "subject good"]
            assert system.statistics().expired == 2


@pytest.mark.promise("KERNEL-6", "KERNEL-8")
async def test_an_ask_that_is_cancelled_during_a_round_is_dropped_unread() -> None:
    diary = Diary()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await begin(system, parent_of(*THREE, strategy=ALL), diary=diary)
            await engage(system, diary, "younger")
            tell(system, "p/subject", "boom")
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: found(system, "p/subject").ask(b"hello", timeout_seconds=LONG))
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            diary.gate("younger").open.set()
            await system.wait_quiet()
            assert diary.handled == []
            assert system.statistics().expired == 1
