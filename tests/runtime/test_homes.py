"""Logical addresses: woken by a message, passivated when idle, with nothing lost in between."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.errors import ActorStopped, KindTaken, WakeFailed
from casework.runtime.lifecycle import ChildEnded, Down, Exit
from casework.runtime.mailbox import Envelope
from casework.runtime.seams import World

pytestmark = pytest.mark.promise("KERNEL-14")


class Account:
    """Adds up what it is sent; its state outlives it in `states`."""

    def __init__(self, key: str, states: dict[str, int], diary: list[str]) -> None:
        self.key = key
        self.states = states
        self.diary = diary
        self.sum = 0
        self.tidying: Callable[[], Any] | None = None

    async def started(self, context: Context) -> None:
        self.diary.append(f"wakes {self.key}")
        self.sum = self.states.get(self.key, 0)

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"boom":
            raise ValueError("boom")
        self.sum += int(envelope.frame or b"0")
        context.reply(str(self.sum).encode())

    async def stopped(self, context: Context) -> None:
        self.states[self.key] = self.sum
        self.diary.append(f"rests {self.key}")


class Scene:
    """A system with one declared kind."""

    def __init__(self, system: ActorSystem, *, idle_seconds: float = 10.0) -> None:
        self.states: dict[str, int] = {}
        self.diary: list[str] = []
        system.declare("account", lambda key: Account(key, self.states, self.diary), idle_seconds=idle_seconds)


async def test_the_first_message_wakes_the_actor_and_an_idle_one_costs_nothing(
    hand_world: World, hand_clock: Any
) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            scene = Scene(system)
            ref = system.ref("account:1")
            assert list(system.addresses) == []
            assert await ref.ask(b"2", timeout_seconds=5) == b"2"
            assert list(system.addresses) == ["account:1"]
            await system.wait_quiet()
            hand_clock.forward(10.1)
            await anyio.wait_all_tasks_blocked()
            assert list(system.addresses) == []
            assert scene.states == {"1": 2}
            assert await ref.ask(b"3", timeout_seconds=5) == b"5"
    assert scene.diary == ["wakes 1", "rests 1", "wakes 1", "rests 1"]


async def test_an_actor_that_had_something_to_do_meanwhile_is_not_passivated(
    hand_world: World, hand_clock: Any
) -> None:
    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            scene = Scene(system)
            for number in range(4):
                for key in "12" if number == 0 else "1":
                    system.ref(f"account:{key}").tell_nowait(b"1")
                await system.wait_quiet()
                hand_clock.forward(6.0)
                await anyio.wait_all_tasks_blocked()
            assert system.addresses == ("account:1",)
            assert sorted(scene.diary[:2]) == ["wakes 1", "wakes 2"]
            assert scene.diary[2:] == ["rests 2"]


async def test_a_long_handler_is_not_idleness(hand_world: World, hand_clock: Any) -> None:
    entered, let_go = anyio.Event(), anyio.Event()

    class Slow:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            if envelope.frame:
                entered.set()
                await let_go.wait()

    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            system.declare("slow", lambda _key: Slow(), idle_seconds=10.0)
            system.ref("slow:1").tell_nowait(b"")
            await system.wait_quiet()
            system.ref("slow:1").tell_nowait(b"x")
            await entered.wait()
            hand_clock.forward(11)
            await anyio.wait_all_tasks_blocked()
            let_go.set()
            await system.wait_quiet()
            assert system.addresses == ("slow:1",)
            hand_clock.forward(11)
            await anyio.wait_all_tasks_blocked()
            assert not system.addresses


async def test_a_message_that_comes_while_the_actor_puts_its_state_away_is_handled_by_the_next_one(
    hand_world: World, hand_clock: Any
) -> None:
    storing, stored = anyio.Event(), anyio.Event()
    saved: dict[str, int] = {}

    class Careful:
        def __init__(self, key: str) -> None:
            self.key = key
            self.sum = saved.get(key, 0)

        async def receive(self, context: Context, envelope: Envelope) -> None:
            self.sum += 1
            context.reply(str(self.sum).encode())

        async def stopped(self, context: Context) -> None:
            storing.set()
            await stored.wait()
            saved[self.key] = self.sum

    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            system.declare("careful", Careful, idle_seconds=10.0)
            ref = system.ref("careful:1")
            assert await ref.ask(b"", timeout_seconds=5) == b"1"
            await system.wait_quiet()
            hand_clock.forward(10.1)
            await storing.wait()
            for _ in range(5):
                ref.tell_nowait(b"")
            stored.set()
            assert await ref.ask(b"", timeout_seconds=5) == b"7"
            assert system.statistics().restarts == 0


async def test_whoever_monitors_a_logical_address_is_told_of_a_failure_for_good_and_not_of_its_rest(
    hand_world: World, hand_clock: Any
) -> None:
    heard: list[Exit] = []

    class Watcher:
        async def started(self, context: Context) -> None:
            context.monitor(context.system.ref("account:1"))

        async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
            heard.append(signal.exit)

        async def receive(self, context: Context, envelope: Envelope) -> None:
            pass

    with anyio.fail_after(5):
        async with ActorSystem(hand_world) as system:
            Scene(system)
            ref = system.ref("account:1")
            ref.tell_nowait(b"1")
            system.spawn("watcher", Watcher)
            await system.wait_quiet()
            hand_clock.forward(10.1)
            await anyio.wait_all_tasks_blocked()
            assert system.addresses == ("watcher",)
            assert heard == []
            for _ in range(4):
                ref.tell_nowait(b"boom")
            await system.wait_quiet()
            assert heard == [Exit.ESCALATED]
            assert await ref.ask(b"1", timeout_seconds=5) == b"2"


async def test_what_cannot_be_woken_gives_the_message_back_and_harms_nobody() -> None:
    def broken(key: str) -> Account:
        raise LookupError(f"no account {key}")

    with anyio.fail_after(5):
        async with ActorSystem() as system:
            Scene(system)
            system.declare("broken", broken)
            with pytest.raises(WakeFailed, match="LookupError: no account 7") as failed:
                system.ref("broken:7").tell_nowait(b"kept")
            assert failed.value.envelope.frame == b"kept"
            with pytest.raises(ActorStopped):
                system.ref("unknown:7").tell_nowait(b"")
            with pytest.raises(ActorStopped):
                system.ref("account").tell_nowait(b"")
            assert await system.ref("account:7").ask(b"7", timeout_seconds=5) == b"7"
            assert system.statistics().refused == 3


@pytest.mark.parametrize("kind", ["account", "", "a:b"])
async def test_a_kind_is_declared_once_under_a_plain_name(kind: str) -> None:
    async with ActorSystem() as system:
        Scene(system)
        with pytest.raises(KindTaken):
            system.declare(kind, lambda key: Account(key, {}, []))


async def test_ten_thousand_logical_actors_rest_together_and_wake_each_with_its_own_state(
    hand_world: World, hand_clock: Any
) -> None:
    with anyio.fail_after(60):
        async with ActorSystem(hand_world) as system:
            scene = Scene(system)
            for number in range(10_000):
                system.ref(f"account:{number}").tell_nowait(str(number).encode())
            await system.wait_quiet()
            hand_clock.forward(10.1)
            await anyio.wait_all_tasks_blocked()
            await system.wait_quiet()
            assert not system.addresses
            assert scene.states == {str(number): number for number in range(10_000)}
            for number in (0, 9_999, 1_234):
                assert await system.ref(f"account:{number}").ask(b"0", timeout_seconds=5) == str(number).encode()
