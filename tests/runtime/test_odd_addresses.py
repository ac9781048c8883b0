"""Addresses that come again, are nobody's, or somebody's twice: each is one actor's at a time, and is reached."""

import math
from typing import Any

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import ActorStopped, NameTaken, WakeFailed
from casework.runtime.lifecycle import ChildEnded, Down
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.seams import World
from casework.runtime.supervision import Restart


class Plain:
    """Answers; raises on `boom`."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        context.reply(envelope.frame)


@pytest.mark.promise("KERNEL-13")
async def test_the_next_life_under_an_address_can_be_monitored_as_well() -> None:
    heard: list[str] = []

    class Watches:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            context.monitor(context.system.ref("a"))
            context.reply(b"")

        async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
            heard.append(signal.subject)

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watcher = system.spawn("watcher", Watches)
            for _ in range(3):
                ref = system.spawn("a", Plain, restart=Restart.TEMPORARY)
                await watcher.ask(b"", timeout_seconds=5)
                ref.stop()
                await ref.wait_stopped()
                await system.wait_quiet()
    assert heard == ["a", "a", "a"]


@pytest.mark.promise("KERNEL-14")
async def test_a_logical_actor_has_children_and_rests_once_its_jobs_and_debts_are_done(
    hand_world: World, hand_clock: Any
) -> None:
    kept: list[Envelope] = []
    go = anyio.Event()

    class Parent(Plain):
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if envelope.frame == b"child":
                context.spawn("child", Plain, restart=Restart.TEMPORARY)
            elif envelope.frame == b"job":
                context.start_soon(go.wait)
            elif envelope.frame == b"owe":
                kept.append(envelope)
                return
            context.reply(envelope.frame)

    async def forward() -> None:
        hand_clock.forward(10.1)
        await anyio.wait_all_tasks_blocked()

    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            system.declare("parent", lambda _key: Parent(), idle_seconds=10)
            ref = system.ref("parent:1")
            await ref.ask(b"child", timeout_seconds=60)
            await ref.ask(b"job", timeout_seconds=60)
            owed = ref.ask_nowait(b"owe", timeout_seconds=600)
            await anyio.wait_all_tasks_blocked()
            await forward()
            assert list(system.addresses) == ["parent:1", "parent:1/child"]
            system.ref("parent:1/child").stop()
            go.set()
            reply = kept.pop().reply
            assert reply is not None
            reply(b"paid")
            assert await owed == b"paid"
            await forward()
            await forward()
            assert list(system.addresses) == []
            with pytest.raises(ActorStopped):
                system.ref("parent:1/child").tell_nowait(b"")


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan])
async def test_an_actor_rests_after_some_time_and_never_at_once(seconds: float) -> None:
    async with ActorSystem() as system:
        with pytest.raises(ValueError, match="more than 0 seconds"):
            system.declare("a", lambda _key: Plain(), idle_seconds=seconds)


async def test_nobody_is_woken_after_the_end_of_the_system() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            system.declare("a", lambda _key: Plain())
            ref = system.ref("a:1")
            await ref.ask(b"x", timeout_seconds=5)
        with pytest.raises(ActorStopped):
            ref.tell_nowait(b"")
        with pytest.raises(ActorStopped):
            await ref.ask(b"", timeout_seconds=0.1)


@pytest.mark.parametrize("logical", [True, False])
async def test_a_factory_that_makes_its_own_actor_makes_one(logical: bool) -> None:
    made: list[Ref] = []

    with anyio.fail_after(5):
        async with ActorSystem() as system:

            def factory(_key: str = "") -> Plain:
                if not made:
                    if logical:
                        made.append(system.ref("a:1"))
                        made[0].tell_nowait(b"x")
                    else:
                        made.append(system.spawn("a", Plain))
                return Plain()

            if logical:
                system.declare("a", factory)
                with pytest.raises(WakeFailed):
                    system.ref("a:1").tell_nowait(b"y")
            else:
                with pytest.raises(NameTaken):
                    system.spawn("a", factory)
            await system.wait_quiet()
            assert len(system.addresses) == 1


@pytest.mark.promise("KERNEL-11")
async def test_what_is_no_frame_is_not_counted() -> None:
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            ref = system.spawn("a", Plain)
            with pytest.raises(TypeError):
                ref.tell_nowait(None)  # type: ignore[arg-type]
            assert system.statistics().sent == 0


@pytest.mark.parametrize("name", ["", "\n", "a\tb"])
async def test_an_address_can_be_printed(name: str) -> None:
    async with ActorSystem() as system:
        with pytest.raises(ValueError, match="is no address"):
            system.spawn(name, Plain)
