"""What a job sets going as its last act goes on in the same job: nobody starves for it, and nobody inherits from it."""

import gc
import itertools
import math
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from casework.runtime import belongings
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import AskFailed
from casework.runtime.jobs import CHAIN_MAX
from casework.runtime.mailbox import Envelope
from casework.runtime.supervision import Restart


class Acting:
    """A behavior made of one function."""

    def __init__(self, receive: Callable[[Context, Envelope], Awaitable[None]]) -> None:
        self._receive = receive

    async def receive(self, context: Context, envelope: Envelope) -> None:
        await self._receive(context, envelope)


async def job() -> int:
    return anyio.get_current_task().id


async def test_a_chain_of_things_to_find_out_goes_on_in_one_job_and_gives_way_now_and_then() -> None:
    links = 5 * CHAIN_MAX
    jobs: list[int] = []
    turns: list[int] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        def found(number: int) -> None:
            jobs.append(number)
            if len(jobs) < links:
                context.find_out("link", job, found)

        context.find_out("link", job, found)

    async def beside() -> None:
        while len(jobs) < links:
            turns.append(len(jobs))
            await anyio.lowlevel.checkpoint()

    async with ActorSystem() as system, anyio.create_task_group() as group:
        group.start_soon(beside)
        system.spawn("a", lambda: Acting(receive)).tell_nowait(b"")
        await system.wait_quiet()
    assert len(jobs) == links
    changes = sum(one != other for one, other in itertools.pairwise(jobs))
    assert changes <= links // CHAIN_MAX
    # Others have a turn in each round of the loop; two rounds may meet, for their jobs are in no order on every loop.
    assert max(later - earlier for earlier, later in zip(turns, [*turns[1:], links], strict=True)) <= 2 * (
        CHAIN_MAX + 1
    )


async def test_what_goes_on_in_the_same_job_sees_no_context_variable_of_what_went_before() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="")
    seen: list[str] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        async def find() -> None:
            seen.append(tenant.get())
            tenant.set("acme")

        def found(_: None) -> None:
            if len(seen) < 3:
                context.find_out("link", find, found)

        context.find_out("link", find, found)

    async with ActorSystem() as system:
        system.spawn("a", lambda: Acting(receive)).tell_nowait(b"")
        await system.wait_quiet()
    assert seen == ["", "", ""]


async def test_an_actor_that_is_killed_by_what_its_job_found_leaves_nothing_running() -> None:
    diary: list[str] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        async def find() -> None:
            diary.append("first")

        async def wait() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                diary.append("second is cancelled")

        def found(_: None) -> None:
            context.find_out("second", wait, lambda _: diary.append("never"))
            context.self_ref.kill()

        context.find_out("first", find, found)

    async with ActorSystem() as system:
        ref = system.spawn("a", lambda: Acting(receive), restart=Restart.TEMPORARY)
        ref.tell_nowait(b"")
        await ref.wait_stopped()
        await system.wait_quiet()
        assert not system.addresses
    assert diary == ["first", "second is cancelled"]


async def test_what_a_job_found_that_cannot_be_heard_is_the_failure_of_its_actor() -> None:
    incarnations: list[int] = []

    def make() -> Acting:
        incarnations.append(len(incarnations))
        return Acting(receive)

    async def receive(context: Context, envelope: Envelope) -> None:
        def found(_: int) -> None:
            raise ValueError("it is not what was looked for")

        context.find_out("search", job, found)

    async with ActorSystem() as system:
        system.spawn("a", make).tell_nowait(b"")
        await system.wait_quiet()
        assert system.statistics().restarts == 1
    assert incarnations == [0, 1]


async def test_the_last_act_of_a_handler_comes_after_it_and_before_the_next_message() -> None:
    diary: list[str] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        text = envelope.frame.decode()
        context.at_end(lambda: diary.append(f"{text} ends"))
        diary.append(f"{text} begins")
        await anyio.lowlevel.checkpoint()
        diary.append(f"{text} returns")

    async with ActorSystem() as system:
        ref = system.spawn("a", lambda: Acting(receive))
        for text in (b"one", b"two"):
            ref.tell_nowait(text)
        await system.wait_quiet()
    assert diary == [f"{text} {what}" for text in ("one", "two") for what in ("begins", "returns", "ends")]


async def test_who_is_asked_answers_with_the_failure_of_its_last_act_and_a_failed_handler_has_none() -> None:
    acted: list[bytes] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        def act() -> None:
            acted.append(envelope.frame)
            raise ValueError("the last act")

        context.at_end(act)
        if envelope.frame == b"handler":
            raise ValueError("the handler")

    async with ActorSystem() as system:
        ref = system.spawn("a", lambda: Acting(receive))
        for frame, why in ((b"handler", "the handler"), (b"act", "the last act")):
            with pytest.raises(AskFailed, match=why):
                await ref.ask(frame, timeout_seconds=5)
        tally = system.statistics()
    assert acted == [b"act"]
    assert (tally.handled, tally.failed) == (0, 2)


async def test_messages_that_wait_are_handled_though_a_turn_ended_early_for_what_it_had_set_going() -> None:
    handled: list[bytes] = []
    told: list[bytes] = []

    async def other(context: Context, envelope: Envelope) -> None:
        told.append(envelope.frame)

    async def receive(context: Context, envelope: Envelope) -> None:
        handled.append(envelope.frame)
        context.at_end(lambda: second.tell_nowait(envelope.frame))

    frames = [str(number).encode() for number in range(3 * CHAIN_MAX)]
    async with ActorSystem() as system:
        second = system.spawn("b", lambda: Acting(other))
        first = system.spawn("a", lambda: Acting(receive))
        for frame in frames:
            first.tell_nowait(frame)
        await system.wait_quiet()
        assert system.statistics().handled == 2 * len(frames)
    assert (handled, told) == (frames, frames)


async def test_an_actor_that_tidies_up_without_waiting_does_so_in_a_plain_function(
    caplog: pytest.LogCaptureFixture,
) -> None:
    diary: list[str] = []

    class Tidy:
        def __init__(self, name: str) -> None:
            self._name = name

        async def receive(self, context: Context, envelope: Envelope) -> None:
            context.reply(b"")

        def stopped(self, context: Context) -> None:
            diary.append(self._name)
            if self._name == "b":
                raise ValueError("what it tidied up was not there")

    async with ActorSystem() as system:
        for name in ("a", "b"):
            ref = system.spawn(name, lambda name=name: Tidy(name))  # type: ignore[misc]
            ref.stop()
            await ref.wait_stopped()
    assert diary == ["a", "b"]
    assert [record.getMessage() for record in caplog.records] == [
        "b failed: ValueError: what it tidied up was not there"
    ]


async def test_what_a_failed_last_act_has_set_going_does_not_wait_for_the_end_of_its_actor() -> None:
    begun: list[bytes] = []
    answers: list[bytes] = []

    async def other(context: Context, envelope: Envelope) -> None:
        begun.append(envelope.frame)
        context.reply(b"here")

    class Asking:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            def act() -> None:
                second.tell_nowait(b"told")
                raise ValueError("the last act")

            context.at_end(act)

        async def stopped(self, context: Context) -> None:
            answers.append(await context.ask(second, b"asked", timeout_seconds=5))

    async with ActorSystem() as system:
        second = system.spawn("b", lambda: Acting(other))
        first = system.spawn("a", Asking, restart=Restart.TEMPORARY)
        first.tell_nowait(b"")
        await first.wait_stopped()
    assert (begun, answers) == ([b"told", b"asked"], [b"here"])


async def test_an_actor_whose_last_act_started_a_job_and_failed_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its jobs are waited for, for ever here: none of them may be one that cannot run before.
    monkeypatch.setattr(belongings, "JOBS_END_SECONDS", math.inf)
    incarnations: list[int] = []

    def make() -> Acting:
        incarnations.append(len(incarnations))
        return Acting(receive)

    async def receive(context: Context, envelope: Envelope) -> None:
        def act() -> None:
            context.find_out("search", job, lambda _: None)
            raise ValueError("the last act")

        if envelope.frame:
            context.at_end(act)
        context.reply(b"")

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", make)
            ref.tell_nowait(b"fail")
            await ref.ask(b"", timeout_seconds=5)
    assert incarnations == [0, 1]


async def test_whom_an_abandoned_message_told_at_its_end_can_be_asked_by_the_next_one() -> None:
    answers: list[bytes] = []

    async def other(context: Context, envelope: Envelope) -> None:
        context.reply(b"here")

    async def receive(context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"one":
            context.at_end(lambda: second.tell_nowait(b""))
            context.abandon()
        else:
            answers.append(await context.ask(second, b"", timeout_seconds=5))

    async with ActorSystem() as system:
        second = system.spawn("b", lambda: Acting(other))
        first = system.spawn("a", lambda: Acting(receive))
        for frame in (b"one", b"two"):
            first.tell_nowait(frame)
        await system.wait_quiet()
    assert answers == [b"here"]


async def test_what_a_job_found_is_not_heard_by_an_actor_that_has_failed_meanwhile() -> None:
    heard: list[int] = []
    found = anyio.Event()

    async def receive(context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"find":
            context.find_out("search", found.wait, lambda _: heard.append(1))
        else:
            found.set()
            raise ValueError("the handler")

    async with ActorSystem() as system:
        ref = system.spawn("a", lambda: Acting(receive), restart=Restart.TEMPORARY)
        ref.tell_nowait(b"find")
        await anyio.wait_all_tasks_blocked()
        ref.tell_nowait(b"fail")
        await ref.wait_stopped()
    assert heard == []


async def test_nobody_inherits_the_context_variables_of_a_handler_that_was_killed() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="")
    seen: list[str] = []

    async def killed(context: Context, envelope: Envelope) -> None:
        tenant.set("acme")
        await anyio.sleep_forever()

    async def next_one(context: Context, envelope: Envelope) -> None:
        seen.append(tenant.get())

    async with ActorSystem() as system:
        ref = system.spawn("a", lambda: Acting(killed), restart=Restart.TEMPORARY)
        ref.tell_nowait(b"")
        await anyio.wait_all_tasks_blocked()
        ref.kill()
        await ref.wait_stopped()
        system.spawn("b", lambda: Acting(next_one)).tell_nowait(b"")
        await system.wait_quiet()
    assert seen == [""]


async def test_a_failed_handler_leaves_nothing_of_its_last_act_behind() -> None:
    class Large:
        pass

    kept: list[weakref.ref[Large]] = []

    async def receive(context: Context, envelope: Envelope) -> None:
        large = Large()
        kept.append(weakref.ref(large))
        context.at_end(partial(_nothing, context, large))
        raise ValueError("the handler")

    async with ActorSystem() as system:
        ref = system.spawn("a", lambda: Acting(receive), restart=Restart.TEMPORARY)
        ref.tell_nowait(b"")
        await ref.wait_stopped()
    gc.collect()
    assert kept[0]() is None


def _nothing(*_: object) -> None:
    """Do nothing with what it is given."""
