"""Fake tools: what stands in for a tool's body, while its name, tier, schema, key and limits stay those declared.

A call still goes through the gate; only what the gate calls in the end is the fake. What it does to the world is an
entry in a `World` that outlives every restart of a test, so a key can be honoured and a lookup answered truthfully.
It does not know who calls, nor whether the call was allowed.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, TypeAlias, final

import anyio
from msgspec import Struct

from casework.actors.errors import KnownFailure
from casework.actors.tools import Tool, ToolContext
from casework.protocols.wire import RiskTier
from casework.runtime.seams import MICROS

#: What a fake's `does` may be: it is given the arguments and gives the value.
Does: TypeAlias = Callable[..., object]


@dataclass(slots=True, frozen=True)
class Fails:
    """In a plan: the call surely does not happen."""

    message: str = "the world said no"
    retryable: bool = False


@dataclass(slots=True, frozen=True)
class TimesOut:
    """In a plan: no answer comes before the tool's timeout; the effect may have happened all the same."""

    happened: bool = False


@dataclass(slots=True, frozen=True)
class Unsure:
    """In a plan: the call breaks off with an error that does not say whether it happened."""

    happened: bool = True


@dataclass(slots=True, eq=False)
class ToolCall:
    """One call that reached a tool."""

    tool: str
    tier: RiskTier
    arguments: object
    """As the tool declares them."""
    key: str
    """The idempotency key; empty for reads that cost nothing."""
    case_id: str
    at: int
    """Microseconds since the epoch."""
    value: object = None
    happened: bool = False
    """The world was changed, or read, as asked."""


@dataclass(slots=True, eq=False)
class Outside:
    """The world outside: every call that reached it. It survives crashes, as the world does."""

    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    turns: dict[str, int] = field(default_factory=dict[str, int])
    """How many entries of its plan each fake has used."""
    recalled: list[str] = field(default_factory=list[str])
    """Keyed tools that were called again to find out what became of a write."""

    def reached(self) -> list[str]:
        """Name the tool of each call, of those to find out too."""
        return [*(call.tool for call in self.calls), *self.recalled]

    def effects(self) -> list[ToolCall]:
        """Give the writes that happened, in order."""
        return [call for call in self.calls if call.happened and call.tier is not RiskTier.READ_ONLY]

    def effect(self, tool: str, key: str) -> ToolCall | None:
        """Give what a tool did under a key, if it did; a read that costs something has a key as well."""
        return next((call for call in self.calls if call.happened and (call.tool, call.key) == (tool, key)), None)


@final
class FakeTool:
    """Stands in for a tool; hand it to a bench by the tool's name."""

    def __init__(self, result: object = None, *, does: Does | None = None, plan: Sequence[object] = ()) -> None:
        """Declare what its calls give.

        Args:
            result: the value of every call.
            does: computes it from the arguments instead; plain or async.
            plan: what the first calls do, in order: a value, or one of `Fails`, `TimesOut`, `Unsure`. Calls under a
                key that was honoured before use up nothing. Afterwards `result` or `does` holds.
        """
        self.result = result
        self.does = does
        self.plan = tuple(plan)


def with_fakes(tool: Tool, fake: FakeTool, outside: Outside, alive: Callable[[], bool]) -> Tool:
    """Give the declaration of `tool` the fake's behaviour; once `alive` says no, nothing reaches the world any more."""
    declared: Mapping[str, object] = {each.name: getattr(tool, each.name) for each in fields(tool)}
    acting = _Acting(tool, fake, outside, alive)
    return replace(
        tool,
        body=acting.act,
        verify=acting.stands if tool.tier is not RiskTier.READ_ONLY else None,
        lookup=acting.find if declared["lookup"] is not None else None,
    )


@dataclass(slots=True, frozen=True, eq=False)
class _Acting:
    """A fake at work."""

    tool: Tool
    fake: FakeTool
    outside: Outside
    alive: Callable[[], bool]

    async def act(self, arguments: Struct, context: ToolContext) -> object:
        await self._reach(context)
        call = self._call(arguments, context)
        earlier = self._honoured(call)
        self.outside.calls.append(call)
        if earlier is not None:
            call.value = earlier.value
            return call.value
        turn = self._turn()
        match turn:
            case Fails(message, retryable):
                raise KnownFailure(message, retryable=retryable)
            case TimesOut(happened) | Unsure(happened):
                if happened:
                    await self._happen(call, arguments)
                if isinstance(turn, Unsure):
                    raise ConnectionError("the fake broke off")
                await anyio.sleep_forever()
            case _Nothing():
                await self._happen(call, arguments)
            case value:
                call.value, call.happened = value, True
        return call.value

    async def stands(self, arguments: Struct, value: object, context: ToolContext) -> bool:
        await self._reach(context)
        return self.outside.effect(self.tool.name, context.idempotency_key) is not None

    async def find(self, arguments: Struct, context: ToolContext) -> object:
        await self._reach(context)
        found = self.outside.effect(self.tool.name, context.idempotency_key)
        return None if found is None else found.value

    async def _reach(self, context: ToolContext) -> None:
        """Go on only while the process lives: a dead one does nothing more to the world."""
        if not self.alive():
            await anyio.sleep_forever()

    def _call(self, arguments: Struct, context: ToolContext) -> ToolCall:
        now = context.world.clock.wall_micros()
        tool = self.tool
        return ToolCall(tool.name, tool.tier, arguments, context.idempotency_key, context.case_id, now)

    def _honoured(self, call: ToolCall) -> ToolCall | None:
        earlier = self.outside.effect(call.tool, call.key) if self.tool.keyed else None
        if earlier is None or call.at >= earlier.at + self.tool.key_window_seconds * MICROS:
            return None
        return earlier

    def _turn(self) -> object:
        used = self.outside.turns.get(self.tool.name, 0)
        self.outside.turns[self.tool.name] = used + 1
        return self.fake.plan[used] if used < len(self.fake.plan) else _NOTHING

    async def _happen(self, call: ToolCall, arguments: Struct) -> None:
        given = self.fake.result if self.fake.does is None else self.fake.does(arguments)
        call.value = await _awaited(given) if inspect.isawaitable(given) else given
        call.happened = True


@final
class _Nothing:
    """The plan says nothing about a call."""


_NOTHING: Final = _Nothing()


async def _awaited(given: Awaitable[object]) -> object:
    return await given
