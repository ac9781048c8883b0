"""The way from a simulated process to the world outside: slow, in vain, or without hearing that it was done.

What was sent arrives, whatever becomes of its sender meanwhile: a process that is killed while its request is on its
way has still asked, and one that no longer waits is still served. That is why whoever finds no answer may not believe
too early that nothing happened. It does not know what is done outside.
"""

from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Generic, TypeVar, final

import anyio

from casework.runtime.simulation.loop import SimulationLoop
from casework.runtime.simulation.mischief import Mischief
from casework.runtime.simulation.world import alive

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Reply(Generic[T]):
    came: anyio.Event = field(default_factory=anyio.Event)
    values: list[T] = field(default_factory=list[T])


@final
class Outside:
    """What tools of simulated processes reach."""

    def __init__(self, loop: SimulationLoop, mischief: Mischief) -> None:
        self._loop = loop
        self._mischief = mischief

    async def reach(self, name: str, effect: Callable[[], T]) -> T:
        """Have something done outside, and give what it gave.

        Args:
            name: names the points before and after the effect, `<name>.before` and `<name>.after`.
            effect: what is done to the world, at once, when the request has arrived; must not raise.

        Raises:
            ConnectionError: it did not happen, or it did and nobody says so.

        If cancelled, it happens all the same if the request was on its way.
        """
        mischief, reply = self._mischief, _Reply[T]()
        await self._pass(f"{name}.before")
        if mischief.strikes("tool_failure"):
            raise ConnectionError(f"{name} could not be reached")

        def arrive() -> None:
            self._loop.trace.event(self._loop.time(), f"{name} happens")
            reply.values.append(effect())
            reply.came.set()

        self._loop.call_later(mischief.seconds("tool_seconds"), arrive, context=Context())
        await reply.came.wait()
        await self._pass(f"{name}.after")
        if mischief.strikes("tool_unheard"):
            raise ConnectionError(f"{name} broke off")
        return reply.values[0]

    async def _pass(self, point: str) -> None:
        self._mischief.points.point(point)
        await alive()
