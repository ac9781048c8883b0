"""The actor system: names, families of actors, escalation, drain, and nothing lost on the way."""

import gc
import weakref
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import AskFailed, Draining, Escalated, MailboxFull, NameTaken, Stopping
from casework.runtime.lifecycle import ChildEnded, Down
from casework.runtime.mailbox import Envelope, Overflow
from casework.runtime.ref import Ref
from casework.runtime.supervision import Restart, RestartLimit
from tests.support.mute import Mute


class Echo:
    """Answers; raises on `boom`; waits on `wait`."""

    def __init__(self, log: list[str] | None = None, name: str = "") -> None:
        self.log = log if log is not None else []
        self.name = name

    async def stopped(self, context: Context) -> None:
        self.log.append(f"{self.name} stopped")

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        if envelope.frame == b"wait":
            await anyio.sleep_forever()
        context.reply(envelope.frame)


class Parent(Echo):
    """Starts three children and hears of their ends."""

    def __init__(self, log: list[str], restart: Restart = Restart.PERMANENT) -> None:
        super().__init__(log, "parent")
        self.restart = restart

    async def started(self, context: Context) -> None:
        self.log.append("parent started")
        for name in "abc":
            context.spawn(name, self.child(name), restart=self.restart)

    async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
        self.log.append(f"{signal.subject} {signal.exit.value}")

    def child(self, name: str) -> Callable[[], Echo]:
        return lambda: Echo(self.log, name)


async def test_a_name_is_taken_until_its_actor_has_ended() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Echo)
            with pytest.raises(NameTaken):
                system.spawn("a", Echo)
            ref.stop()
            await ref.wait_stopped()
            assert system.lookup("a") is None
            system.spawn("a", Echo)
            assert await ref.ask(b"x", timeout_seconds=5) == b"x"


async def test_two_systems_in_one_process_do_not_meet() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as one, ActorSystem() as other:
            one.spawn("a", Echo)
            assert other.lookup("a") is None
            other.spawn("a", Echo)


@pytest.mark.promise("KERNEL-3")
async def test_a_shed_message_becomes_a_dead_letter_and_its_asker_is_told() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Echo, mailbox_depth_max=1, overflow=Overflow.SHED_OLDEST)
            ref.tell_nowait(b"old")
            ref.tell_nowait(b"young")
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"old"]
            assert system.statistics().dead_lettered == 1


@pytest.mark.promise("KERNEL-3")
async def test_overload_is_refused_at_once_and_nothing_accepted_is_lost() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Echo, mailbox_depth_max=10)
            refused = 0
            for _ in range(1_000):
                try:
                    ref.tell_nowait(b"x")
                except MailboxFull:
                    refused += 1
            await system.wait_quiet()
            seen = system.statistics()
            assert (seen.handled, seen.refused, refused) == (10, 990, 990)


async def test_tell_waits_for_room_where_the_policy_says_so() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as group:
            ref = system.spawn("a", Echo, mailbox_depth_max=2, overflow=Overflow.WAIT)

            async def send() -> None:
                for _ in range(50):
                    await ref.tell(b"x")

            for _ in range(4):
                group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            assert system.statistics().handled == 200


@pytest.mark.promise("KERNEL-9")
async def test_children_stop_before_their_parent_the_youngest_first() -> None:
    log: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("p", lambda: Parent(log))
            await system.wait_quiet()
            begun = system.addresses
            assert begun == ("p", "p/a", "p/b", "p/c")
            ref.stop()
            await ref.wait_stopped()
            assert system.addresses == ()
    assert log == ["parent started", "c stopped", "b stopped", "a stopped", "parent stopped"]


@pytest.mark.promise("KERNEL-8")
async def test_a_failed_child_is_restarted_alone() -> None:
    log: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("p", lambda: Parent(log))
            await system.wait_quiet()
            child = system.lookup("p/b")
            assert child is not None
            child.tell_nowait(b"boom")
            assert await child.ask(b"x", timeout_seconds=5) == b"x"
            assert log == ["parent started", "b stopped"]


async def test_a_failure_that_cannot_say_what_it_is_is_told_by_its_type_and_ends_its_actor_alone() -> None:
    class Silent(Echo):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if envelope.frame == b"boom":
                raise Mute
            await super().receive(context, envelope)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            silent, other = system.spawn("a", Silent), system.spawn("b", Echo)
            with pytest.raises(AskFailed, match="'a' did not answer: Mute"):
                await silent.ask(b"boom", timeout_seconds=5)
            assert await silent.ask(b"x", timeout_seconds=5) == b"x"
            assert await other.ask(b"y", timeout_seconds=5) == b"y"


async def test_a_parent_hears_of_a_child_that_is_gone_for_good() -> None:
    log: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("p", lambda: Parent(log, Restart.TEMPORARY))
            await system.wait_quiet()
            child = system.lookup("p/b")
            assert child is not None
            child.tell_nowait(b"boom")
            await system.wait_quiet()
            assert log == ["parent started", "b stopped", "p/b failed"]


@pytest.mark.promise("KERNEL-8")
async def test_a_child_that_fails_too_often_fails_its_parent_whose_family_begins_anew() -> None:
    log: list[str] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("p", lambda: Parent(log))
            await system.wait_quiet()
            child = system.lookup("p/b")
            assert child is not None
            for _ in range(4):
                child.tell_nowait(b"boom")
            await system.wait_quiet()
            assert log.count("parent started") == 2
            assert system.addresses == ("p", "p/a", "p/b", "p/c")


@pytest.mark.promise("KERNEL-8")
async def test_an_actor_at_the_top_that_fails_too_often_ends_the_system_which_raises() -> None:
    with anyio.fail_after(5), pytest.raises(Escalated, match="'a' failed again after 2 restarts"):  # noqa: PT012 - it raises on leaving
        async with ActorSystem(restart_limit=RestartLimit(intensity=2)) as system:
            ref = system.spawn("a", Echo)
            for _ in range(3):
                ref.tell_nowait(b"boom")
            await anyio.sleep_forever()


@pytest.mark.promise("KERNEL-8")
async def test_whoever_asks_to_hear_of_escalation_keeps_the_rest_of_the_system() -> None:
    heard: list[Escalated] = []
    with anyio.fail_after(5):
        async with ActorSystem(restart_limit=RestartLimit(intensity=0), on_escalation=heard.append) as system:
            bad, good = system.spawn("bad", Echo), system.spawn("good", Echo)
            bad.tell_nowait(b"boom")
            bad.tell_nowait(b"waiting")
            await bad.wait_stopped()
            assert await good.ask(b"x", timeout_seconds=5) == b"x"
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"waiting"]
    assert [error.address for error in heard] == ["bad"]


@pytest.mark.promise("KERNEL-8")
async def test_a_behavior_that_cannot_start_is_not_tried_for_ever() -> None:
    made: list[int] = []

    class Broken(Echo):
        async def started(self, context: Context) -> None:
            made.append(1)
            raise ValueError("cannot start")

    heard: list[Escalated] = []
    with anyio.fail_after(5):
        async with ActorSystem(on_escalation=heard.append) as system:
            await system.spawn("a", Broken).wait_stopped()
    assert len(made) == 4
    assert len(heard) == 1


async def test_a_factory_that_fails_at_a_restart_is_one_more_failure() -> None:
    made: list[int] = []

    def factory() -> Echo:
        made.append(1)
        if len(made) == 2:
            raise ValueError("not now")
        return Echo()

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", factory)
            ref.tell_nowait(b"boom")
            assert await ref.ask(b"x", timeout_seconds=5) == b"x"
    assert len(made) == 3


@pytest.mark.promise("KERNEL-10")
async def test_drain_lets_actors_finish_what_they_have_and_starts_nothing_new() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Echo)
            for _ in range(100):
                ref.tell_nowait(b"x")
            assert await system.drain(5)
            assert system.statistics().handled == 100
            assert system.addresses == ()
            with pytest.raises(Stopping):
                system.spawn("b", Echo)
            with pytest.raises(Draining):
                ref.tell_nowait(b"late")
            assert await system.drain(5)


@pytest.mark.promise("KERNEL-10")
async def test_drain_is_bounded_and_what_waits_then_becomes_dead_letters() -> None:
    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=0.0) as system:
            ref = system.spawn("a", Echo)
            ref.tell_nowait(b"wait")
            ref.tell_nowait(b"waiting")
            await anyio.wait_all_tasks_blocked()
            assert not await system.drain(0)
            assert [letter.envelope.frame for letter in system.dead_letters] == [b"waiting"]


@pytest.mark.promise("KERNEL-10")
async def test_a_second_drain_beside_the_first_is_safe() -> None:
    with anyio.fail_after(5):
        async with ActorSystem(grace_seconds=0.0) as system, anyio.create_task_group() as group:
            ref = system.spawn("a", Echo)
            ref.tell_nowait(b"wait")
            group.start_soon(system.drain, 60)
            await anyio.wait_all_tasks_blocked()
            await system.drain(0)
            assert system.addresses == ()


@pytest.mark.promise("KERNEL-11")
async def test_leaving_by_an_error_or_a_cancellation_accounts_for_everything() -> None:
    seen: list[ActorSystem] = []
    with anyio.fail_after(5):
        with anyio.CancelScope() as scope:
            async with ActorSystem(grace_seconds=0.0) as system:
                seen.append(system)
                for name in "abc":
                    ref = system.spawn(name, Echo)
                    for frame in (b"x", b"wait", b"waiting"):
                        ref.tell_nowait(frame)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert seen[0].statistics().waiting == seen[0].statistics().running == 0


async def test_an_error_of_the_block_leaves_the_system_as_it_is() -> None:
    async def embedded() -> None:
        async with ActorSystem() as system:
            system.spawn("a", Echo).tell_nowait(b"x")
            raise KeyError

    with anyio.fail_after(5), pytest.raises(KeyError):
        await embedded()


async def test_an_idle_actor_has_no_job() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            before = len(anyio.get_running_tasks())
            refs = [system.spawn(str(number), Echo) for number in range(500)]
            for ref in refs:
                assert await ref.ask(b"x", timeout_seconds=5) == b"x"
            assert len(anyio.get_running_tasks()) <= before + 1


@pytest.mark.parametrize("end", ["stop", "escalate", "kill", "leave the system"])
async def test_nothing_is_left_of_an_actor_that_ended_though_it_knew_itself(end: str) -> None:
    class Known:
        """Something that only the actor keeps alive."""

    async def life() -> weakref.ref[Known]:
        known = Known()
        refs: list[Ref] = []

        class Selfish:
            def __init__(self, thing: Known) -> None:
                self.thing = thing
                self.refs = refs

            async def started(self, context: Context) -> None:
                self.context = context

            async def receive(self, context: Context, envelope: Envelope) -> None:
                self.envelope = envelope
                raise ValueError(self)

        heard: list[str] = []
        async with ActorSystem(
            restart_limit=RestartLimit(intensity=0), on_escalation=lambda escalated: heard.append(escalated.address)
        ) as system:
            refs.append(system.spawn("selfish", lambda: Selfish(known), restart=Restart.TRANSIENT))
            await system.wait_quiet()
            if end == "stop":
                refs[0].stop()
            elif end == "kill":
                refs[0].kill()
            elif end == "escalate":
                refs[0].tell_nowait(b"")
            await system.wait_quiet()
        return weakref.ref(known)

    with anyio.fail_after(30):
        known = await life()
    gc.collect()
    assert known() is None
