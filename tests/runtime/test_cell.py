"""The cell: one message at a time, and every end of a message is told to whoever waits for it."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import ActorStopped, AskFailed, Expired
from casework.runtime.lifecycle import ChildEnded, Down
from casework.runtime.mailbox import Envelope
from casework.runtime.seams import World
from casework.runtime.supervision import Restart

Receive = Callable[[Context, Envelope], Awaitable[None]]


class Acting:
    """A behavior made of one function; it writes down what happens to it."""

    def __init__(self, receive: Receive, diary: list[str] | None = None) -> None:
        self._receive = receive
        self._diary = diary if diary is not None else []

    async def started(self, context: Context) -> None:
        self._diary.append("started")

    async def stopped(self, context: Context) -> None:
        self._diary.append("stopped")

    async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
        self._diary.append(f"{type(signal).__name__} {signal.subject} {signal.exit.value}")

    async def receive(self, context: Context, envelope: Envelope) -> None:
        await self._receive(context, envelope)


class Gate:
    """A handler that waits to be let through."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.open = anyio.Event()
        self.cancelled = False
        self.handled: list[bytes] = []

    async def __call__(self, context: Context, envelope: Envelope) -> None:
        self.entered.set()
        try:
            await self.open.wait()
        except BaseException:
            self.cancelled = True
            raise
        self.handled.append(envelope.frame)
        context.reply(envelope.frame)


async def echo(context: Context, envelope: Envelope) -> None:
    if envelope.frame == b"boom":
        raise ValueError("boom")
    context.reply(envelope.frame)


@pytest.mark.promise("KERNEL-1")
async def test_one_message_is_handled_at_a_time_in_the_order_of_its_sender() -> None:
    inside = 0
    seen: list[bytes] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        nonlocal inside
        inside += 1
        await anyio.lowlevel.checkpoint()
        assert inside == 1
        seen.append(envelope.frame)
        inside -= 1

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(receive))
            for number in range(200):
                ref.tell_nowait(bytes([number]))
            await system.wait_quiet()
    assert seen == [bytes([number]) for number in range(200)]


async def test_an_event_of_this_process_arrives_as_it_was_sent() -> None:
    event, seen = object(), []

    async def receive(context: Context, envelope: Envelope) -> None:
        seen.append((envelope.local, envelope.frame))

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("a", lambda: Acting(receive)).tell_local(event)
            await system.wait_quiet()
    assert seen == [(event, b"")]


async def test_an_answer_may_be_given_after_the_handler_ended() -> None:
    kept: list[Any] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"keep":
            kept.append(envelope.reply)
        else:
            kept.pop()(b"late")

    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            ref = system.spawn("a", lambda: Acting(receive))
            answers: list[bytes] = []

            async def ask() -> None:
                answers.append(await ref.ask(b"keep", timeout_seconds=5))

            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            ref.tell_nowait(b"answer")
    assert answers == [b"late"]


@pytest.mark.promise("KERNEL-6")
async def test_an_asker_is_told_when_the_handler_raises_and_the_next_message_is_handled() -> None:
    diary: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(echo, diary))
            with pytest.raises(AskFailed, match="ValueError: boom"):
                await ref.ask(b"boom", timeout_seconds=5)
            assert await ref.ask(b"next", timeout_seconds=5) == b"next"
            assert system.statistics().failed == 1
            assert system.statistics().restarts == 1
    assert diary == ["started", "stopped", "started", "stopped"]


@pytest.mark.promise("KERNEL-6")
@pytest.mark.parametrize("end", ["stop", "kill", "leave the system"])
async def test_every_waiting_ask_is_answered_with_an_error_when_the_actor_ends(end: str) -> None:
    errors: list[Exception] = []
    gate = Gate()

    async def receive(context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"wait":
            await gate(context, envelope)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, ActorSystem(grace_seconds=0.0) as system:
            ref = system.spawn("a", lambda: Acting(receive), restart=Restart.TEMPORARY)

            async def ask(frame: bytes) -> None:
                try:
                    await ref.ask(frame, timeout_seconds=60)
                except (AskFailed, ActorStopped) as error:
                    errors.append(error)

            for frame in (b"owed", b"wait", b"queued"):
                group.start_soon(ask, frame)
                await anyio.wait_all_tasks_blocked()
            if end == "stop":
                ref.stop()
                gate.open.set()
            elif end == "kill":
                ref.kill()
            if end != "leave the system":
                await ref.wait_stopped()
    told = 2 if end == "stop" else 3
    assert len(errors) == told
    assert sum(isinstance(error, ActorStopped) for error in errors) == 1


@pytest.mark.promise("KERNEL-5")
async def test_an_expired_message_is_dropped_before_it_runs_and_counted(hand_world: World, hand_clock: Any) -> None:
    gate = Gate()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            ref = system.spawn("a", lambda: Acting(gate))
            ref.tell_nowait(b"first")
            ref.tell_nowait(b"late", deadline=hand_clock.now + 1)
            ref.tell_nowait(b"in time", deadline=hand_clock.now + 3)
            await gate.entered.wait()
            hand_clock.forward(2)
            gate.open.set()
            await system.wait_quiet()
            assert system.statistics().expired == 1
    assert gate.handled == [b"first", b"in time"]


@pytest.mark.promise("KERNEL-5")
async def test_an_ask_ends_at_its_deadline_and_its_waiting_message_never_runs(
    hand_world: World, hand_clock: Any
) -> None:
    gate = Gate()
    ended: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            ref = system.spawn("a", lambda: Acting(gate))

            async def ask(seconds: float) -> None:
                try:
                    await ref.ask(b"x", timeout_seconds=seconds)
                except (AskFailed, Expired) as error:
                    ended.append(type(error).__name__)

            async with anyio.create_task_group() as group:
                for seconds in (3.0, 2.0, 1.0):
                    group.start_soon(ask, seconds)
                    await anyio.wait_all_tasks_blocked()
                hand_clock.forward(1.5)
                await anyio.wait_all_tasks_blocked()
                assert ended == ["Expired"]
                hand_clock.forward(1)
                await anyio.wait_all_tasks_blocked()
                hand_clock.forward(1)
            assert ended == ["Expired", "Expired", "AskFailed"]
            gate.open.set()
            await system.wait_quiet()
            assert system.statistics().expired == 2
            assert system.statistics().asks_waiting == 0


async def test_an_ask_never_waits_longer_than_the_work_that_asks(hand_world: World, hand_clock: Any) -> None:
    gate = Gate()
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system, anyio.create_task_group() as group:
            ref = system.spawn("a", lambda: Acting(gate))

            async def ask() -> None:
                with pytest.raises(AskFailed, match="deadline"):
                    await ref.ask(b"x", timeout_seconds=60, deadline=hand_clock.now + 1)

            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            hand_clock.forward(1.1)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()


@pytest.mark.promise("KERNEL-6")
async def test_cancelling_an_ask_cancels_the_handlers_below_it_and_the_actors_go_on() -> None:
    gate = Gate()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            below = system.spawn("below", lambda: Acting(gate))

            async def pass_on(context: Context, envelope: Envelope) -> None:
                context.reply(await below.ask(envelope.frame, timeout_seconds=60))

            above = system.spawn("above", lambda: Acting(pass_on))
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: above.ask(b"cancelled", timeout_seconds=60))
                await gate.entered.wait()
                group.cancel_scope.cancel()
            await system.wait_quiet()
            assert gate.cancelled
            gate.open.set()
            assert await above.ask(b"next", timeout_seconds=5) == b"next"
            assert system.statistics().restarts == 0
    assert gate.handled == [b"next"]


async def test_work_is_abandoned_by_whoever_holds_its_context_and_the_actor_goes_on_with_the_next_message() -> None:
    gates = {b"a": Gate(), b"b": Gate()}
    contexts: dict[bytes, Context] = {}

    async def receive(context: Context, envelope: Envelope) -> None:
        contexts[envelope.frame] = context
        await gates[envelope.frame](context, envelope)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(receive))
            ref.tell_nowait(b"a")
            ref.tell_nowait(b"b")
            await gates[b"a"].entered.wait()
            contexts[b"a"].abandon()
            await gates[b"b"].entered.wait()
            contexts[b"a"].abandon()
            gates[b"b"].open.set()
            await system.wait_quiet()
            statistics = system.statistics()
    assert [gates[frame].cancelled for frame in (b"a", b"b")] == [True, False]
    assert (gates[b"b"].handled, statistics.failed, statistics.restarts) == ([b"b"], 1, 0)


@pytest.mark.promise("KERNEL-4")
async def test_stop_lets_the_handler_finish_and_what_waits_becomes_dead_letters() -> None:
    gate = Gate()
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(gate))
            ref.tell_nowait(b"running")
            ref.tell_nowait(b"waiting")
            await gate.entered.wait()
            ref.stop()
            gate.open.set()
            await ref.wait_stopped()
            with pytest.raises(ActorStopped):
                ref.tell_nowait(b"late")
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"waiting"]
    assert gate.handled == [b"running"]
    assert not gate.cancelled


@pytest.mark.promise("KERNEL-4")
async def test_kill_cancels_the_handler_and_a_permanent_actor_goes_on_with_the_next_message() -> None:
    gate = Gate()
    diary: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(gate, diary))
            ref.tell_nowait(b"killed")
            ref.tell_nowait(b"next")
            await gate.entered.wait()
            ref.kill()
            gate.open.set()
            await system.wait_quiet()
            assert gate.handled == [b"next"]
            assert diary == ["started", "started"]


async def test_an_idle_actor_can_be_killed() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(echo), restart=Restart.TEMPORARY)
            await system.wait_quiet()
            ref.kill()
            await ref.wait_stopped()
            assert system.lookup("a") is None


async def test_a_handler_that_swallows_its_kill_harms_only_itself() -> None:
    entered = anyio.Event()

    async def stubborn(context: Context, envelope: Envelope) -> None:
        entered.set()
        with contextlib.suppress(BaseException):
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            bad = system.spawn("bad", lambda: Acting(stubborn), restart=Restart.TEMPORARY)
            bad.tell_nowait(b"")
            await entered.wait()
            bad.kill()
            await bad.wait_stopped()
            assert await system.spawn("good", lambda: Acting(echo)).ask(b"x", timeout_seconds=5) == b"x"


async def test_a_job_ends_with_its_actor() -> None:
    ended: list[str] = []

    async def job() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("job")

    async def receive(context: Context, envelope: Envelope) -> None:
        context.start_soon(job)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(receive, ended))
            ref.tell_nowait(b"")
            await anyio.wait_all_tasks_blocked()
            ref.stop()
            await ref.wait_stopped()
    assert ended == ["started", "job", "stopped"]


@pytest.mark.promise("KERNEL-8")
async def test_what_a_job_raises_is_the_failure_of_its_actor() -> None:
    async def job(text: str) -> None:
        raise ValueError(text)

    async def receive(context: Context, envelope: Envelope) -> None:
        context.start_soon(job, "boom")

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", lambda: Acting(receive))
            ref.tell_nowait(b"")
            await system.wait_quiet()
            assert system.statistics().restarts == 1
            assert system.statistics().handled == 1
            assert system.lookup("a") is not None


async def test_a_monitor_is_told_of_an_end_and_at_once_of_one_that_was() -> None:
    diary: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watched = system.spawn("watched", lambda: Acting(echo))
            gone = system.spawn("gone", lambda: Acting(echo))
            gone.stop()
            await gone.wait_stopped()

            async def watch(context: Context, envelope: Envelope) -> None:
                context.monitor(watched)
                context.monitor(gone)

            system.spawn("watcher", lambda: Acting(watch, diary)).tell_nowait(b"")
            await system.wait_quiet()
            watched.stop()
            await watched.wait_stopped()
            await system.wait_quiet()
            assert diary == ["started", "Down gone normal", "Down watched shutdown"]


async def test_an_actor_that_never_waits_lets_the_others_run() -> None:
    turns: list[str] = []

    async def again(context: Context, envelope: Envelope) -> None:
        if "other" not in turns:
            turns.append("busy")
            context.self_ref.tell_nowait(b"")

    async def other(context: Context, envelope: Envelope) -> None:
        turns.append("other")

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("busy", lambda: Acting(again)).tell_nowait(b"")
            await anyio.lowlevel.checkpoint()
            system.spawn("other", lambda: Acting(other)).tell_nowait(b"")
            await system.wait_quiet()
    assert turns[-1] == "other"


async def test_an_actor_that_ends_itself_ends_for_good_unless_it_is_permanent() -> None:
    async def leave(context: Context, envelope: Envelope) -> None:
        context.stop()

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            for restart in Restart:
                system.spawn(restart.value, lambda: Acting(leave), restart=restart).tell_nowait(b"")
            await system.wait_quiet()
            assert system.addresses == (Restart.PERMANENT.value,)
