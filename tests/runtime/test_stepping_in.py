"""Whoever steps in for an actor acts as the actor, with nothing of its own."""

from contextvars import ContextVar

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope


async def test_who_steps_in_for_an_actor_brings_no_context_variables_and_leaves_none() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="")
    seen: list[str] = []
    contexts: list[Context] = []

    class Open:
        async def receive(self, context: Context, envelope: Envelope) -> None:
            contexts.append(context)

    def act() -> None:
        seen.append(tenant.get())
        tenant.set("of the actor")

    async with ActorSystem() as system:
        system.spawn("a", Open).tell_nowait(b"x")
        await system.wait_quiet()
        tenant.set("acme")
        assert contexts[0].step_in(act)
        assert contexts[0].step_in(act)
    assert (seen, tenant.get()) == (["", ""], "acme")
