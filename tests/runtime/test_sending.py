"""Sending: what goes along with a message, what is refused, and what a sender's end does to work below it."""

from typing import Any

import anyio
import pytest

from casework.protocols.codec import FRAME_BYTES_MAX
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import AskFailed, Draining, Expired, FrameOversized, MailboxFull
from casework.runtime.mailbox import Envelope, Overflow
from casework.runtime.ref import Ref
from casework.runtime.seams import World


class Keeper:
    """Keeps what it gets."""

    def __init__(self, kept: list[Envelope]) -> None:
        self.kept = kept

    async def receive(self, context: Context, envelope: Envelope) -> None:
        self.kept.append(envelope)
        context.reply(envelope.frame)


class PassesOn:
    """Asks, or tells, somebody else on behalf of what it handles."""

    def __init__(self, to: Ref) -> None:
        self.to = to

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.reply is None:
            context.tell_nowait(self.to, envelope.frame)
        else:
            context.reply(await context.ask(self.to, envelope.frame, timeout_seconds=60))


class Waits:
    """Waits in its handler, and says when it is cancelled there."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.cancelled = anyio.Event()

    async def receive(self, context: Context, envelope: Envelope) -> None:
        self.entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()


@pytest.mark.promise("KERNEL-5")
async def test_a_deadline_travels_down_the_tree_and_only_shrinks(hand_world: World, hand_clock: Any) -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            last = system.spawn("last", lambda: Keeper(kept))
            middle = system.spawn("middle", lambda: PassesOn(last))
            first = system.spawn("first", lambda: PassesOn(middle))
            await first.ask(b"ask", timeout_seconds=7)
            first.tell_nowait(b"tell", deadline=hand_clock.now + 3)
            await system.wait_quiet()
            await first.ask(b"late", timeout_seconds=600)
    assert [envelope.deadline - hand_clock.now for envelope in kept] == [7, 3, 60]
    assert {envelope.sender for envelope in kept} == {"middle"}


@pytest.mark.promise("KERNEL-5", "KERNEL-6")
async def test_an_ask_that_is_too_late_cancels_the_handlers_below_it(hand_world: World, hand_clock: Any) -> None:
    waits = Waits()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system, anyio.create_task_group() as group:
            last = system.spawn("last", lambda: waits)
            first = system.spawn("first", lambda: PassesOn(last))

            async def ask() -> None:
                with pytest.raises(AskFailed, match="before the deadline"):
                    await first.ask(b"", timeout_seconds=2)

            group.start_soon(ask)
            await waits.entered.wait()
            hand_clock.forward(2.1)
            await waits.cancelled.wait()
            await system.wait_quiet()
            assert system.statistics().restarts == 0
            assert system.statistics().failed == 2


@pytest.mark.promise("KERNEL-5")
async def test_an_ask_whose_time_is_up_before_it_is_sent_is_never_handled(hand_world: World, hand_clock: Any) -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            ref = system.spawn("a", lambda: Keeper(kept))
            with pytest.raises(Expired):
                await ref.ask(b"", timeout_seconds=60, deadline=hand_clock.now - 1)
    assert kept == []


@pytest.mark.promise("FRAME-5", "KERNEL-3")
async def test_a_frame_larger_than_any_may_be_is_refused_with_its_envelope() -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Keeper(kept))
            shedding = system.spawn("b", lambda: Keeper(kept), mailbox_depth_max=1, overflow=Overflow.SHED_OLDEST)
            for send in (ref.tell_nowait, shedding.tell_nowait):
                with pytest.raises(FrameOversized) as refused:
                    send(bytes(FRAME_BYTES_MAX + 1))
                assert len(refused.value.envelope.frame) == FRAME_BYTES_MAX + 1
            with pytest.raises(FrameOversized):
                await ref.tell(bytes(FRAME_BYTES_MAX + 1))
            with pytest.raises(FrameOversized):
                await ref.ask(bytes(FRAME_BYTES_MAX + 1), timeout_seconds=5)
            assert len(await ref.ask(bytes(FRAME_BYTES_MAX), timeout_seconds=5)) == FRAME_BYTES_MAX
            assert system.statistics().refused == 4
            assert system.statistics().asks_waiting == 0


@pytest.mark.promise("KERNEL-10")
async def test_a_draining_system_refuses_what_comes_from_outside_and_lets_actors_finish_among_themselves() -> None:
    kept: list[Envelope] = []
    go = anyio.Event()
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            last = system.spawn("last", lambda: Keeper(kept))

            class Working:
                async def receive(self, context: Context, envelope: Envelope) -> None:
                    await go.wait()
                    last.tell_nowait(b"told")
                    context.start_soon(self.beside)
                    assert await last.ask(b"asked", timeout_seconds=5) == b"asked"

                async def beside(self) -> None:
                    last.tell_nowait(b"from a job")

            system.spawn("working", Working).tell_nowait(b"")
            group.start_soon(system.drain, 5)
            await anyio.wait_all_tasks_blocked()
            for refusing in (last, system.ref("last")):
                with pytest.raises(Draining) as refused:
                    refusing.tell_nowait(b"outside")
                assert refused.value.envelope.frame == b"outside"
                with pytest.raises(Draining):
                    await refusing.ask(b"outside", timeout_seconds=5)
            go.set()
            assert await system.drain(5)
            statistics = system.statistics()
    assert {envelope.frame for envelope in kept} == {b"told", b"asked", b"from a job"}
    assert (statistics.dead_lettered, statistics.refused) == (0, 4)


@pytest.mark.promise("KERNEL-10")
async def test_a_system_that_is_cancelled_from_outside_ends_at_once_with_every_message_accounted_for() -> None:
    waits = Waits()
    entered: list[ActorSystem] = []
    with anyio.fail_after(3):
        async with anyio.create_task_group() as group:

            async def serve() -> None:
                async with ActorSystem(grace_seconds=60) as system:
                    entered.append(system)
                    ref = system.spawn("a", lambda: waits)
                    for _ in range(10):
                        ref.tell_nowait(b"")
                    await anyio.sleep_forever()

            group.start_soon(serve)
            await waits.entered.wait()
            group.cancel_scope.cancel()
    assert entered[0].statistics().failed == 1
    assert entered[0].statistics().dead_lettered == 9


async def test_what_a_handler_learns_of_its_message_is_gone_outside_of_it() -> None:
    seen: list[tuple[float, str]] = []

    class Looks:
        async def started(self, context: Context) -> None:
            seen.append((context.deadline, context.trace))

        async def receive(self, context: Context, envelope: Envelope) -> None:
            seen.append((context.deadline, context.trace))

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Looks)
            ref.tell_nowait(b"", deadline=1e12, trace="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
            await system.wait_quiet()
    assert seen == [(0.0, ""), (1e12, "00-" + "1" * 32 + "-" + "2" * 16 + "-01")]


async def test_many_are_asked_at_once_without_a_job_for_each() -> None:
    kept: list[Envelope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            refs = [system.spawn(f"a-{number}", lambda: Keeper(kept)) for number in range(10)]
            pending = [ref.ask_nowait(bytes([number]), timeout_seconds=5) for number, ref in enumerate(refs * 5)]
            assert [await asked for asked in pending] == [bytes([number]) for number in range(50)]
            assert await pending[0] == bytes([0])
            assert system.statistics().asks_waiting == 0


@pytest.mark.promise("KERNEL-6")
@pytest.mark.parametrize("end", ["who awaits it is cancelled", "it is abandoned"])
async def test_an_ask_that_was_sent_is_cancelled_with_who_wants_it(end: str) -> None:
    waits = Waits()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            asked = system.spawn("a", lambda: waits).ask_nowait(b"", timeout_seconds=60)

            async def wait() -> None:
                await asked

            await waits.entered.wait()
            if end == "it is abandoned":
                asked.abandon()
            else:
                async with anyio.create_task_group() as group:
                    group.start_soon(wait)
                    await anyio.wait_all_tasks_blocked()
                    group.cancel_scope.cancel()
            await waits.cancelled.wait()
            await system.wait_quiet()
            assert system.statistics().asks_waiting == 0
            assert system.statistics().restarts == 0


@pytest.mark.promise("KERNEL-3", "KERNEL-5")
async def test_an_ask_that_is_refused_or_never_awaited_leaves_nothing_behind(
    hand_world: World, hand_clock: Any
) -> None:
    waits = Waits()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            ref = system.spawn("a", lambda: waits, mailbox_depth_max=1)
            ref.ask_nowait(b"", timeout_seconds=2)
            await waits.entered.wait()
            ref.tell_nowait(b"")
            with pytest.raises(MailboxFull):
                ref.ask_nowait(b"", timeout_seconds=2)
            assert system.statistics().asks_waiting == 1
            hand_clock.forward(2.1)
            await waits.cancelled.wait()
            assert system.statistics().asks_waiting == 0
            ref.kill()
