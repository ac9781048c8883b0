"""Code that misbehaves: what it does harms its own actor at most, and nothing is lost or left behind."""

import asyncio
import math
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import AskFailed, Expired, Stopping
from casework.runtime.mailbox import Envelope, Overflow
from casework.runtime.seams import World


class Plain:
    """Answers; raises on `boom`."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        context.reply(envelope.frame)


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio lets nobody cancel what he does not own
@pytest.mark.parametrize("where", ["handler", "job", "stopped"])
async def test_a_cancellation_of_somebody_else_is_a_failure_of_the_actor_alone(where: str) -> None:
    async def meet() -> None:
        inner = asyncio.ensure_future(asyncio.sleep(9))
        inner.cancel()
        await inner

    class Meets(Plain):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if envelope.frame == b"meet" and where == "job":
                context.start_soon(meet)
            elif envelope.frame == b"meet" and where == "handler":
                await meet()
            await super().receive(context, envelope)

        async def stopped(self, context: Context) -> None:
            if where == "stopped":
                await meet()

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Meets)
            ref.tell_nowait(b"meet")
            await system.wait_quiet()
            assert await ref.ask(b"x", timeout_seconds=5) == b"x"
            assert system.statistics().restarts == (where != "stopped")


class Odd(BaseException):
    """What nobody catches."""


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("raised", [SystemExit(3), Odd("odd"), BaseExceptionGroup("some", [Odd("odd")])], ids=repr)
@pytest.mark.parametrize("where", ["handler", "job", "started", "stopped"])
async def test_an_exit_that_code_of_an_actor_raises_is_a_failure_of_the_actor_alone(
    where: str, raised: BaseException
) -> None:
    once = [raised]

    async def exits() -> None:
        if once:
            raise once.pop()

    class Exits(Plain):
        async def started(self, context: Context) -> None:
            if where == "started":
                await exits()

        async def receive(self, context: Context, envelope: Envelope) -> None:
            if where == "job":
                context.start_soon(exits)
            elif where == "handler":
                await exits()
            await super().receive(context, envelope)

        async def stopped(self, context: Context) -> None:
            if where == "stopped":
                await exits()

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            other = system.spawn("b", Plain)
            system.spawn("a", Exits).tell_nowait(b"x")
            await system.wait_quiet()
            assert await other.ask(b"x", timeout_seconds=5) == b"x"


@pytest.mark.parametrize("where", ["handler", "job"])
async def test_what_somebody_leaves_in_a_context_variable_is_seen_by_nobody_else(where: str) -> None:
    tenant = ContextVar("tenant", default="")
    seen: list[str] = []

    async def set_and_forget() -> None:
        seen.append(tenant.get())
        tenant.set("acme")

    class Forgetful(Plain):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if where == "handler":
                await set_and_forget()
            else:
                context.start_soon(set_and_forget)

    async with ActorSystem() as system:
        for number in range(3):
            system.spawn(f"a{number}", Forgetful).tell_nowait(b"set")
            await system.wait_quiet()
    assert seen == ["", "", ""]


@pytest.mark.promise("KERNEL-4")
async def test_code_that_fails_while_it_is_killed_harms_only_itself() -> None:
    entered = anyio.Event()

    async def fails_when_cancelled() -> None:
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("while it tidied up")

    class Grouped(Plain):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if envelope.frame == b"wait":
                async with anyio.create_task_group() as group:
                    group.start_soon(fails_when_cancelled)
                    group.start_soon(anyio.sleep_forever)
            await super().receive(context, envelope)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Grouped)
            ref.tell_nowait(b"wait")
            await entered.wait()
            ref.kill()
            await system.wait_quiet()
            assert await ref.ask(b"x", timeout_seconds=5) == b"x"


@pytest.mark.promise("KERNEL-4", "KERNEL-9")
async def test_code_that_shields_itself_outlives_its_actor_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casework.runtime.children.KILL_SECONDS", 0.01)
    let_go = anyio.Event()

    class Shields(Plain):
        async def stopped(self, context: Context) -> None:
            with anyio.CancelScope(shield=True):
                await let_go.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def release() -> None:
                await anyio.wait_all_tasks_blocked()
                let_go.set()

            async with ActorSystem(grace_seconds=0.01) as system:
                system.spawn("a", Shields)
                await system.drain(1)
                assert system.addresses == ()
                group.start_soon(release)


@pytest.mark.promise("KERNEL-9", "KERNEL-10")
async def test_one_that_hangs_takes_no_time_from_the_others() -> None:
    ended: list[str] = []

    class Slow(Plain):
        def __init__(self, name: str) -> None:
            self.name = name

        async def stopped(self, context: Context) -> None:
            if self.name == "hangs":
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()
            ended.append(self.name)

    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=0.2) as system:
            for name in ("a", "b", "c", "hangs"):
                system.spawn(name, lambda name=name: Slow(name))  # type: ignore[misc]
            assert not await system.drain(5)
    assert sorted(ended) == ["a", "b", "c"]


@pytest.mark.promise("KERNEL-8")
async def test_an_actor_that_hangs_while_it_tidies_up_after_a_failure_goes_on_after_its_grace() -> None:
    class Hangs(Plain):
        async def stopped(self, context: Context) -> None:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=0.0) as system:
            ref = system.spawn("a", Hangs, grace_seconds=0.01)
            ref.tell_nowait(b"boom")
            assert await ref.ask(b"x", timeout_seconds=4) == b"x"


@pytest.mark.promise("KERNEL-10")
async def test_an_actor_that_is_ending_starts_nothing() -> None:
    refused: list[str] = []

    class Busy(Plain):
        async def stopped(self, context: Context) -> None:
            with pytest.raises(Stopping):
                context.spawn("child", Plain)
            with pytest.raises(Stopping):
                context.start_soon(anyio.sleep_forever)
            refused.append("both")

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("a", Busy)
            assert await system.drain(5)
    assert refused == ["both"]


@pytest.mark.promise("KERNEL-5")
async def test_an_ask_ends_in_time_where_senders_wait_for_room(hand_world: World, hand_clock: Any) -> None:
    class Stuck:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system, anyio.create_task_group() as group:
            ref = system.spawn("a", Stuck, mailbox_depth_max=1, overflow=Overflow.WAIT)
            ref.tell_nowait(b"running")
            await anyio.wait_all_tasks_blocked()
            ref.tell_nowait(b"waiting")

            async def ask() -> None:
                with pytest.raises(Expired):
                    await ref.ask(b"", timeout_seconds=2)

            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert system.statistics().asks_waiting == 1
            hand_clock.forward(2.1)
            await anyio.wait_all_tasks_blocked()
            assert system.statistics().asks_waiting == 0
            ref.kill()
            ref.stop()


@pytest.mark.promise("KERNEL-5")
async def test_told_work_that_is_too_late_together_with_what_it_asks_is_nobodys_failure(
    hand_world: World, hand_clock: Any
) -> None:
    class Stuck:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            await anyio.sleep_forever()

    class Asks:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            await context.ask(stuck, b"", timeout_seconds=60)

    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            stuck = system.spawn("stuck", Stuck)
            system.spawn("asks", Asks).tell_nowait(b"", deadline=hand_clock.now + 1)
            await anyio.wait_all_tasks_blocked()
            hand_clock.forward(1.1)
            await system.wait_quiet()
            assert system.statistics().restarts == 0
            assert system.statistics().failed == 2


async def test_a_job_answers_the_message_that_it_was_started_for() -> None:
    go = anyio.Event()

    class Later:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if envelope.frame == b"slow":
                context.start_soon(self.answer, context)
            else:
                go.set()
                await anyio.wait_all_tasks_blocked()
                context.reply(b"to fast")

        async def answer(self, context: Context) -> None:
            await go.wait()
            context.reply(b"to slow")

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Later)
            slow = ref.ask_nowait(b"slow", timeout_seconds=5)
            await anyio.wait_all_tasks_blocked()
            assert await ref.ask(b"fast", timeout_seconds=5) == b"to fast"
            assert await slow == b"to slow"


async def test_an_ask_may_wait_for_ever_and_never_for_no_number() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Plain)
            assert await ref.ask(b"x", timeout_seconds=math.inf) == b"x"
            with pytest.raises(ValueError, match="NaN"):
                await ref.ask(b"x", timeout_seconds=math.nan)
            assert system.statistics().asks_waiting == 0
            assert system.statistics().sent == 1


async def test_an_ask_that_may_wait_for_ever_is_counted_while_it_waits() -> None:
    go = anyio.Event()

    class Later(Plain):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            await go.wait()
            await super().receive(context, envelope)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            asked = system.spawn("a", Later).ask_nowait(b"x", timeout_seconds=math.inf)
            assert system.statistics().asks_waiting == 1
            go.set()
            assert await asked == b"x"
            assert system.statistics().asks_waiting == 0


async def test_asks_that_may_take_a_day_leave_no_empty_buckets(hand_world: World, hand_clock: Any) -> None:
    with anyio.fail_after(10):
        async with ActorSystem(hand_world) as system:
            ref = system.spawn("a", Plain)
            for _ in range(5_000):
                hand_clock.now += 0.02
                await ref.ask(b"x", timeout_seconds=86_400)
            assert len(system._kernel.sweep._buckets) <= 2_048


@pytest.mark.promise("KERNEL-8")
async def test_two_jobs_of_one_name_that_fail_together_are_both_heard() -> None:
    heard: list[str] = []
    go = anyio.Event()

    class Hears:
        def cell_failed(self, address: str, error: BaseException) -> None:
            heard.append(str(error))

        def cell_restarted(self, address: str) -> None:
            pass

        def dead_lettered(self, letter: object) -> None:
            pass

    async def fails(text: str) -> None:
        await go.wait()
        raise ValueError(text)

    class Starts(Plain):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            context.start_soon(fails, "one", name="job")
            context.start_soon(fails, "two", name="job")

    with anyio.fail_after(5):
        async with ActorSystem(hooks=Hears()) as system:
            system.spawn("a", Starts).tell_nowait(b"")
            await anyio.wait_all_tasks_blocked()
            go.set()
            await system.wait_quiet()
    assert sorted(heard) == ["one", "two"]


async def test_an_ask_that_was_given_up_is_not_answered_by_waiting_again() -> None:
    class Stuck:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            asked = system.spawn("a", Stuck).ask_nowait(b"", timeout_seconds=60)
            with anyio.move_on_after(0.01):
                await asked
            with pytest.raises(AskFailed, match="nobody waited"):
                await asked
