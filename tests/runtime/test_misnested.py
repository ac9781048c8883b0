"""Code that enters what belongs to its job and never leaves it: nobody else ends for that, or is cancelled for good."""

import anyio
import anyio.lowlevel
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope


class Plain:
    """Answers."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        context.reply(envelope.frame)


class Leaves(Plain):
    """Enters something when it is told to, and never leaves it, as a generator does that is broken off."""

    def __init__(self, entered: list[anyio.CancelScope]) -> None:
        self.entered = entered

    async def receive(self, context: Context, envelope: Envelope) -> None:
        if envelope.frame == b"enter":
            self.entered.append(anyio.CancelScope())
            self.entered[-1].__enter__()
        await super().receive(context, envelope)


@pytest.mark.promise("KERNEL-8")
async def test_what_code_enters_and_never_leaves_ends_nobody_else() -> None:
    entered: list[anyio.CancelScope] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            leaves, plain = system.spawn("leaves", lambda: Leaves(entered)), system.spawn("plain", Plain)
            for _ in range(3):
                assert await leaves.ask(b"enter", timeout_seconds=5) == b"enter"
                assert await plain.ask(b"x", timeout_seconds=5) == b"x"
                entered[-1].cancel()
                await system.wait_quiet()
                await anyio.lowlevel.checkpoint()
                assert await plain.ask(b"y", timeout_seconds=5) == b"y"
                assert await leaves.ask(b"z", timeout_seconds=5) == b"z"
            assert len(entered) == 3


class Waits(Plain):
    """Waits in its handler until it may go on, and counts how often it was begun and ended."""

    def __init__(self, go: anyio.Event, counts: list[str]) -> None:
        self.go = go
        self.counts = counts

    async def receive(self, context: Context, envelope: Envelope) -> None:
        self.counts.append("begun")
        await self.go.wait()
        self.counts.append("ended")
        await super().receive(context, envelope)


@pytest.mark.promise("KERNEL-8")
async def test_what_code_never_leaves_is_not_cancelled_in_the_handler_of_another_one() -> None:
    entered: list[anyio.CancelScope] = []
    go, counts = anyio.Event(), list[str]()
    answers: list[bytes] = []
    with anyio.fail_after(5):
        async with ActorSystem() as system, anyio.create_task_group() as jobs:
            leaves, waits = (
                system.spawn("leaves", lambda: Leaves(entered)),
                system.spawn("w", lambda: Waits(go, counts)),
            )
            assert await leaves.ask(b"enter", timeout_seconds=5) == b"enter"

            async def ask() -> None:
                answers.append(await waits.ask(b"x", timeout_seconds=5))

            jobs.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert counts == ["begun"]
            entered[-1].cancel()
            await anyio.wait_all_tasks_blocked()
            go.set()
    assert answers == [b"x"]
    assert counts == ["begun", "ended"]
