"""Monitors: whoever asked hears of an end once, and nothing of it is left behind."""

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.lifecycle import ChildEnded, Down, Exit
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Ref
from casework.runtime.supervision import Restart


class Watches:
    """Monitors the address that it is sent; keeps the ends that it hears of."""

    def __init__(self, heard: list[tuple[str, str, Exit]], to: list[Ref]) -> None:
        self.heard = heard
        self.to = to

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        for ref in self.to:
            context.monitor(ref)

    async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
        assert isinstance(signal, Down)
        self.heard.append((context.self_ref.address, signal.subject, signal.exit))


class Fails:
    """Raises on any message."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        raise ValueError("boom")


async def end(ref: Ref) -> None:
    ref.stop()
    await ref.wait_stopped()


Heard = list[tuple[str, str, Exit]]


@pytest.mark.promise("KERNEL-13")
async def test_each_of_several_watchers_hears_of_an_end_once() -> None:
    heard: Heard = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watched = system.spawn("a", Fails)
            for name in ("x", "y", "z"):
                system.spawn(name, lambda: Watches(heard, [watched])).tell_nowait(b"")
            await system.wait_quiet()
            await end(watched)
            await system.wait_quiet()
            system.spawn("a", Fails)
            await end(watched)
            await system.wait_quiet()
            assert sorted(heard) == [(name, "a", Exit.SHUTDOWN) for name in ("x", "y", "z")]


@pytest.mark.promise("KERNEL-13")
async def test_whoever_monitors_an_actor_that_has_ended_hears_of_it_at_once() -> None:
    heard: Heard = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watched = system.spawn("a", Fails)
            await end(watched)
            system.spawn("x", lambda: Watches(heard, [watched])).tell_nowait(b"")
            await system.wait_quiet()
            assert [(by, subject) for by, subject, _ in heard] == [("x", "a")]


@pytest.mark.promise("KERNEL-13")
async def test_to_monitor_twice_is_to_hear_once() -> None:
    heard: Heard = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watched = system.spawn("a", Fails)
            watcher = system.spawn("x", lambda: Watches(heard, [watched, watched]))
            watcher.tell_nowait(b"")
            watcher.tell_nowait(b"")
            await system.wait_quiet()
            await end(watched)
            await system.wait_quiet()
            assert heard == [("x", "a", Exit.SHUTDOWN)]
            assert not system._kernel._watchers


@pytest.mark.promise("KERNEL-13")
async def test_a_restart_is_no_end() -> None:
    heard: Heard = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            stays, goes = system.spawn("stays", Fails), system.spawn("goes", Fails, restart=Restart.TEMPORARY)
            system.spawn("x", lambda: Watches(heard, [stays, goes])).tell_nowait(b"")
            await system.wait_quiet()
            stays.tell_nowait(b"")
            goes.tell_nowait(b"")
            await system.wait_quiet()
            assert heard == [("x", "goes", Exit.FAILED)]


@pytest.mark.promise("KERNEL-13")
async def test_a_watcher_that_ended_first_leaves_nothing_behind() -> None:
    heard: Heard = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watched = system.spawn("a", Fails)
            for name in ("x", "y"):
                system.spawn(name, lambda: Watches(heard, [watched])).tell_nowait(b"")
            await system.wait_quiet()
            for name in ("x", "y"):
                watcher = system.lookup(name)
                assert watcher is not None
                await end(watcher)
            assert not system._kernel._watchers
            await end(watched)
            assert heard == []


@pytest.mark.promise("KERNEL-13")
async def test_a_watcher_that_is_started_again_monitors_what_it_asks_for_again() -> None:
    heard: Heard = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            watched = system.spawn("a", Fails)
            watcher = system.spawn("x", lambda: Watches(heard, [watched]))
            watcher.tell_nowait(b"")
            watcher.tell_nowait(b"boom")
            await system.wait_quiet()
            assert not system._kernel._watchers, "what the failed behavior asked for ended with it"
            watcher.tell_nowait(b"")
            await system.wait_quiet()
            await end(watched)
            await system.wait_quiet()
            assert heard == [("x", "a", Exit.SHUTDOWN)]
