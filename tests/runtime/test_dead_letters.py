"""Dead letters: listed, and each sent again at most once, as a message of its own."""

import anyio
import pytest

from casework.protocols.codec import FRAME_BYTES_MAX
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.deadletters import DEAD_LETTERS_MAX, DeadLetter
from casework.runtime.errors import ActorStopped, Expired, LetterUnknown, MailboxFull
from casework.runtime.mailbox import Envelope, Overflow
from casework.runtime.seams import World


class Keeps:
    """Keeps the envelopes that it is sent; answers."""

    def __init__(self, kept: list[Envelope] | None = None) -> None:
        self.kept = kept if kept is not None else []

    async def receive(self, context: Context, envelope: Envelope) -> None:
        self.kept.append(envelope)
        context.reply(envelope.frame)


class Deaf:
    """Never done with its first message."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        await anyio.sleep_forever()


async def leave_letters(system: ActorSystem, name: str, *frames: bytes, deadline: float = 0.0) -> None:
    """Have messages wait for an actor that ends before it reads them."""
    ref = system.spawn(name, Deaf)
    for frame in frames:
        ref.tell_nowait(frame, sender="s", attempt=2, deadline=deadline, trace="t")
    ref.stop()
    await ref.wait_stopped()


def frames(letters: tuple[DeadLetter, ...]) -> list[bytes]:
    return [letter.envelope.frame for letter in letters]


@pytest.mark.promise("KERNEL-17")
async def test_a_letter_is_sent_again_as_the_next_attempt_and_leaves_the_list() -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await leave_letters(system, "a", b"x", b"y")
            first, second = system.dead_letters
            assert first.why == "its actor ended"
            system.spawn("a", lambda: Keeps(kept))
            system.redrive(first)
            assert system.dead_letters == (second,)
            await system.wait_quiet()
            [got] = kept
            assert (got.receiver, got.frame, got.sender, got.attempt, got.trace) == ("a", b"x", "s", 3, "t")
            assert got.reply is None
            seen = system.statistics()
            assert (seen.sent, seen.dead_lettered, seen.handled) == (3, 2, 1), "a new message, beside the dead one"


@pytest.mark.promise("KERNEL-17")
async def test_a_letter_is_sent_again_at_most_once() -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await leave_letters(system, "a", b"x")
            [letter] = system.dead_letters
            system.spawn("a", lambda: Keeps(kept))
            system.redrive(letter)
            with pytest.raises(LetterUnknown) as raised:
                system.redrive(letter)
            assert raised.value.envelope is letter.envelope
            with pytest.raises(LetterUnknown):
                system.redrive(DeadLetter(Envelope("a", b"never"), "made up", 0))
            await system.wait_quiet()
            assert len(kept) == 1
            assert system.statistics().sent == 2


@pytest.mark.promise("KERNEL-17")
async def test_a_letter_that_is_refused_keeps_its_place_and_can_be_sent_later() -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await leave_letters(system, "a", b"1", b"2", b"3")
            letters = system.dead_letters
            with pytest.raises(ActorStopped) as gone:
                system.redrive(letters[1])
            assert gone.value.envelope.attempt == 3
            assert system.dead_letters == letters
            ref = system.spawn("a", lambda: Keeps(kept), mailbox_depth_max=1)
            ref.tell_nowait(b"first")
            with pytest.raises(MailboxFull):
                system.redrive(letters[1])
            assert system.dead_letters == letters
            await system.wait_quiet()
            system.redrive(letters[1])
            await system.wait_quiet()
            assert [envelope.frame for envelope in kept] == [b"first", b"2"]
            assert frames(system.dead_letters) == [b"1", b"3"]


@pytest.mark.promise("KERNEL-17")
async def test_a_letter_keeps_its_deadline_and_is_refused_when_that_has_passed(hand_world: World) -> None:
    kept: list[Envelope] = []
    now = hand_world.clock.monotonic()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            await leave_letters(system, "a", b"late", deadline=now + 1)
            await leave_letters(system, "a", b"in time", deadline=now + 10)
            hand_world.clock.forward(2)  # type: ignore[attr-defined]  # the clock of these tests
            system.spawn("a", lambda: Keeps(kept))
            result = system.redrive_all()
            assert result.sent == 1
            assert [(type(error), error.envelope.frame) for error in result.refused] == [(Expired, b"late")]
            await system.wait_quiet()
            assert [(envelope.frame, envelope.deadline) for envelope in kept] == [(b"in time", now + 10)]
            assert frames(system.dead_letters) == [b"late"]


@pytest.mark.promise("KERNEL-17")
async def test_all_letters_are_sent_again_the_oldest_first_and_a_refused_one_keeps_back_no_other() -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await leave_letters(system, "gone", b"to nobody")
            await leave_letters(system, "a", b"1", b"2")
            system.spawn("a", lambda: Keeps(kept))
            result = system.redrive_all()
            assert result.sent == 2
            assert [(type(error), error.envelope.frame) for error in result.refused] == [(ActorStopped, b"to nobody")]
            await system.wait_quiet()
            assert [envelope.frame for envelope in kept] == [b"1", b"2"]
            assert frames(system.dead_letters) == [b"to nobody"]
            assert system.redrive_all().sent == 0


async def test_an_event_of_this_process_is_sent_again_as_it_was() -> None:
    kept: list[Envelope] = []
    event = object()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Deaf)
            ref.tell_local(event)
            ref.stop()
            await ref.wait_stopped()
            system.spawn("a", lambda: Keeps(kept))
            assert system.redrive_all().sent == 1
            await system.wait_quiet()
            assert [envelope.local for envelope in kept] == [event]


async def test_an_ask_is_counted_and_not_listed_for_who_asked_was_told() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            ref = system.spawn("a", Deaf)
            ref.tell_nowait(b"first")

            async def ask() -> None:
                with pytest.raises(ActorStopped):
                    await ref.ask(b"asked", timeout_seconds=60)

            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            ref.stop()
            ref.kill()
            await ref.wait_stopped()
            assert frames(system.dead_letters) == []
            assert system.statistics().dead_lettered == 1


async def test_letters_are_bounded_by_their_bytes_as_well() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await leave_letters(system, "a", *(bytes([number]) * FRAME_BYTES_MAX for number in range(20)))
            assert [frame[0] for frame in frames(system.dead_letters)] == list(range(4, 20))
            assert system.statistics().dead_lettered == 20


@pytest.mark.promise("KERNEL-17")
async def test_a_letter_that_dies_again_is_a_new_letter() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            await leave_letters(system, "a", b"x")
            [letter] = system.dead_letters
            ref = system.spawn("a", Deaf)
            system.redrive(letter)
            ref.stop()
            await ref.wait_stopped()
            [again] = system.dead_letters
            assert (again.envelope.frame, again.envelope.attempt) == (b"x", 3)
            with pytest.raises(LetterUnknown):
                system.redrive(letter)
            assert system.statistics().dead_lettered == 2


@pytest.mark.promise("KERNEL-17")
async def test_the_list_is_bounded_and_older_letters_are_only_counted() -> None:
    extra = 10
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Deaf, mailbox_depth_max=1, overflow=Overflow.SHED_OLDEST)
            for number in range(DEAD_LETTERS_MAX + extra + 1):
                ref.tell_nowait(str(number).encode())
            assert len(system.dead_letters) == DEAD_LETTERS_MAX
            assert frames(system.dead_letters)[0] == str(extra).encode()
            assert system.statistics().dead_lettered == DEAD_LETTERS_MAX + extra


@pytest.mark.promise("KERNEL-17")
async def test_letters_sent_again_to_a_full_list_do_not_go_twice_nor_in_circles() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Deaf, mailbox_depth_max=1, overflow=Overflow.SHED_OLDEST)
            for number in range(DEAD_LETTERS_MAX + 1):
                ref.tell_nowait(str(number).encode())
            before = system.statistics()
            # Each one sent sheds the one before it, which becomes a letter in turn.
            assert system.redrive_all() == (DEAD_LETTERS_MAX, ())
            after = system.statistics()
            assert after.sent - before.sent == DEAD_LETTERS_MAX
            assert after.dead_lettered - before.dead_lettered == DEAD_LETTERS_MAX
            assert {letter.envelope.attempt for letter in system.dead_letters} == {1, 2}
            ref.kill()
