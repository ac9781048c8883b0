"""Names: one bearer at a time, found like an address, and free as soon as the bearer has ended for good."""

from typing import Protocol

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import ActorStopped, NameTaken, NotRunning
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.seams import World
from casework.runtime.supervision import Restart


class HandClock(Protocol):
    """The clock of `hand_world`, moved by the test."""

    def forward(self, seconds: float) -> None: ...


class Says:
    """Answers with its own address; raises on `boom`."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        context.reply(context.self_ref.address.encode())


async def end(ref: Ref) -> None:
    ref.stop()
    await ref.wait_stopped()


@pytest.mark.promise("KERNEL-15")
async def test_an_actor_is_found_and_reached_by_its_name() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.names.register("chief", system.spawn("a", Says))
            for found in (system.names.find("chief"), system.lookup("chief")):
                assert found is not None
                assert found.address == "a"
                assert await found.ask(b"", timeout_seconds=5) == b"a"
            assert list(system.names) == ["chief"]
            assert len(system.names) == 1


@pytest.mark.promise("KERNEL-15")
async def test_a_name_that_nobody_bears_finds_nobody() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.spawn("a", Says)
            assert system.names.find("a") is None, "an address is no name"
            assert system.names.find("chief") is None
            assert system.lookup("chief") is None


@pytest.mark.promise("KERNEL-15")
async def test_a_name_has_one_bearer_and_is_no_other_actors_address() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            one, other = system.spawn("a", Says), system.spawn("b", Says)
            system.names.register("chief", one)
            for name in ("chief", "a", "b"):
                with pytest.raises(NameTaken):
                    system.names.register(name, other)
            assert list(system.names) == ["chief"]
            with pytest.raises(NameTaken):
                system.spawn("chief", Says)
            with pytest.raises(NameTaken):
                system.spawn_pool("chief", Says, workers=1)
            assert system.addresses == ("a", "b")


@pytest.mark.promise("KERNEL-15")
async def test_an_actor_may_bear_several_names_and_be_given_one_by_another() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.names.register("first", system.spawn("a", Says))
            by_name = system.names.find("first")
            assert by_name is not None
            system.names.register("second", by_name)
            system.names.release("first")
            second = system.lookup("second")
            assert second is not None
            assert second.address == "a"
            await end(second)
            assert list(system.names) == []


@pytest.mark.promise("KERNEL-15")
async def test_a_name_is_free_as_soon_as_its_bearer_has_ended() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            one, other = system.spawn("a", Says), system.spawn("b", Says)
            system.names.register("chief", one)
            by_name = system.names.find("chief")
            assert by_name is not None
            await end(one)
            assert list(system.names) == []
            assert system.lookup("chief") is None
            with pytest.raises(ActorStopped):
                by_name.tell_nowait(b"")
            system.names.register("chief", other)
            assert [ref.address for ref in (system.names.find("chief"), system.lookup("chief")) if ref] == ["b", "b"]


@pytest.mark.promise("KERNEL-15")
async def test_a_name_outlives_a_restart() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Says)
            system.names.register("chief", ref)
            ref.tell_nowait(b"boom")
            await system.wait_quiet()
            assert system.statistics().restarts == 1
            chief = system.lookup("chief")
            assert chief is not None
            assert await chief.ask(b"", timeout_seconds=5) == b"a"


@pytest.mark.promise("KERNEL-15")
async def test_a_name_is_lost_by_a_failure_that_ends_its_bearer() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Says, restart=Restart.TEMPORARY)
            system.names.register("chief", ref)
            ref.tell_nowait(b"boom")
            await system.wait_quiet()
            assert list(system.names) == []


@pytest.mark.promise("KERNEL-15")
async def test_a_released_name_stays_free_of_its_old_bearers_end() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            one, other = system.spawn("a", Says), system.spawn("b", Says)
            system.names.register("chief", one)
            system.names.release("chief")
            system.names.release("chief")
            system.names.register("chief", other)
            await end(one)
            found = system.names.find("chief")
            assert found is not None
            assert found.address == "b"


@pytest.mark.promise("KERNEL-15")
async def test_an_actor_that_has_ended_or_is_ending_gets_no_name() -> None:
    class Lingers(Says):
        async def stopped(self, context: Context) -> None:
            with pytest.raises(NotRunning):
                names.register("late", context.self_ref)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            names = system.names
            ref = system.spawn("a", Lingers)
            await end(ref)
            with pytest.raises(NotRunning, match="'a'"):
                names.register("chief", ref)
            assert list(names) == []


@pytest.mark.promise("KERNEL-15")
async def test_names_are_free_when_the_system_has_ended() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.names.register("chief", system.spawn("a", Says))
        assert list(system.names) == []


@pytest.mark.promise("KERNEL-15")
async def test_names_and_groups_keep_an_actor_that_rests_and_their_messages_wake_it(
    hand_world: World, hand_clock: HandClock
) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            system.declare("account", lambda _key: Says(), idle_seconds=10.0)
            ref = system.ref("account:1")
            with pytest.raises(NotRunning):
                system.names.register("chief", ref)
            assert await ref.ask(b"", timeout_seconds=60)
            system.names.register("chief", ref)
            system.groups.join("all", ref)
            await system.wait_quiet()
            hand_clock.forward(11)
            await anyio.wait_all_tasks_blocked()
            assert system.addresses == ()
            chief = system.names.find("chief")
            assert chief is not None
            assert await chief.ask(b"", timeout_seconds=60) == b"account:1"
            await system.wait_quiet()
            hand_clock.forward(11)
            await anyio.wait_all_tasks_blocked()
            assert system.groups.tell_nowait("all", b"").accepted == 1
            await system.wait_quiet()
            await end(ref)
            assert list(system.names) == list(system.groups) == []
