"""The calls of tools: a call that was ruled on is made here, and here is found out what became of one nobody saw end.

Only this file reaches a tool. What a tool raises, or that it takes too long, becomes a result. A read by a tool that
awaits nothing is over when it has begun: nothing can cut it short, so neither a job nor a time limit is made for it.

    a write ...                                    becomes
    was not begun (time over, circuit open)        TIMEOUT, UNAVAILABLE: it did not happen
    raised KnownFailure                            ERROR, UNAVAILABLE: it did not happen
    returned, and `verify` says yes                its value
    returned, but `verify` says no, or cannot say  UNKNOWN
    took too long, or raised anything else         UNKNOWN

It does not know who may call what, what a case does with a result, nor what a tool is for.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, cast

import anyio
from msgspec import Struct
from msgspec.structs import replace

from casework.actors.admission import CIRCUIT_OPEN, Admission
from casework.actors.breaker import CircuitBreaker
from casework.actors.declared import decode_declared
from casework.actors.errors import KnownFailure, NotFetched, UndeclaredFields
from casework.actors.failures import classify, describe, describe_arguments
from casework.actors.policy import Policy, of_kind, policy_hash
from casework.actors.retry import tell_reread
from casework.actors.sources import Sources
from casework.actors.tools import Tool, ToolContext, ToolRegistry, awaits_nothing
from casework.actors.tries import Tried, cost_of, encoded, micros_of, not_begun, unknown
from casework.protocols.errors import ProtocolError
from casework.protocols.records import Decision
from casework.protocols.wire import Cost, FailureKind, RiskTier
from casework.runtime.blame import blame
from casework.runtime.seams import MICROS, World
from casework.runtime.staff import CallRequest, CallResult
from casework.runtime.store.base import StoreReader
from casework.runtime.timers import Timers

#: What is chosen where nothing may be called.
NONE: Final = "none"


class Asked(NamedTuple):
    """A call as it was asked for."""

    request: CallRequest
    call_before: int
    """Microseconds since the epoch; 0 for a call that may be made late."""


@dataclass(slots=True, frozen=True, eq=False)
class Ground:
    """What the gate stands on: the world, what may be read, this run's settings, alarms of timeouts, and sources."""

    world: World
    reader: StoreReader
    settings: Mapping[str, str]
    timers: Timers
    sources: Sources = field(default_factory=Sources)


@dataclass(slots=True, eq=False)
class Calling:
    """Makes calls; one for each staff, shared by all cases."""

    tools: ToolRegistry
    policy: Policy
    ground: Ground
    admission: Admission
    policy_hash: str = field(init=False)
    fallbacks: Mapping[str, str] = field(init=False)
    """Which tool is read while the circuit of another one is open."""
    _prompt: Mapping[str, Tool] = field(init=False)
    """Tools that only read, cost nothing, and await nothing."""
    _new_scope: type[anyio.CancelScope] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        reads = (tool for tool in self.tools if tool.tier is RiskTier.READ_ONLY and not tool.micros_max)
        self._prompt = {tool.name: tool for tool in reads if awaits_nothing(tool.body)}
        self.policy_hash = policy_hash(self.policy)
        self.fallbacks = of_kind("tool", self.policy.fallbacks)

    async def perform(
        self, request: CallRequest, *, idempotency_key: str, call_before: int, inputs: object = None
    ) -> CallResult:
        """Make an allowed call; `call_before` is in microseconds since the epoch, 0 for a call that may be made late.

        `inputs` are the arguments as the gate has read them, None if it has not. Never raises for what the tool did.
        If cancelled, a write may have happened.
        """
        tool = self.tools.find(request.tool)
        if tool is None:
            return CallResult(failure=FailureKind.REFUSED, message=f"no tool {request.tool!r} is registered any more")
        arguments = inputs
        if not isinstance(arguments, tool.arguments):
            try:
                arguments = decode_declared(request.arguments, tool.arguments, f"tool {tool.name}")
            except (UndeclaredFields, ProtocolError) as error:
                return CallResult(failure=FailureKind.INVALID, message=describe_arguments(error))
        context, asked = self._context(request, idempotency_key), Asked(request, call_before)
        if tool.tier is RiskTier.READ_ONLY:
            read = self._read_somehow if self.fallbacks else self._read
            return await read(tool, arguments, context, asked)
        if request.undoes:
            self.ground.world.point("undo.before")
        tried = await self._try(tool, arguments, context, asked)
        if request.undoes:
            self.ground.world.point("undo.after")
        return await self._written(tool, arguments, context, tried)

    def begin(self, request: CallRequest, inputs: object) -> CallResult | Callable[[], Awaitable[CallResult]] | None:
        """Make an allowed read that costs nothing, if nothing has to be waited for; None if it has, see `perform`.

        Gives what is left to be awaited where it is tried again. Never raises for what the tool did.
        """
        tool = self._prompt.get(request.tool)
        circuits = self.admission.clear(tool) if tool is not None else ()
        if tool is None or not circuits or not isinstance(inputs, tool.arguments):
            return None
        context = self._context(request, "")
        tried = self._try_nowait(tool, inputs, context, circuits)
        if tried.retryable and self.policy.retry.read_only.attempts > 1:
            return partial(self._read, tool, inputs, context, Asked(request, 0), tried)
        return self._ended(tool, context, tried, 1, ())

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        """Find out what became of a write: its value, a failure that says it did not happen, or UNKNOWN.

        It was intended at `intended_at`, from when on the time runs for which its key is honoured, and was not to
        begin from `call_before` on: in microseconds since the epoch. If cancelled, ask again.
        """
        tool = self.tools.find(request.tool)
        if tool is None:
            return unknown(f"no tool {request.tool!r} is registered any more")
        try:
            arguments = decode_declared(request.arguments, tool.arguments, f"tool {tool.name}")
        except (UndeclaredFields, ProtocolError) as error:
            return unknown(describe_arguments(error))
        context = self._context(request, idempotency_key)
        found = Tried(failure=FailureKind.UNKNOWN, message=f"{tool.name} has no lookup", known=False)
        if tool.lookup is not None:
            self.ground.world.point("lookup.before")
            found = await self._bounded(tool, tool.lookup(arguments, context))
            self.ground.world.point("lookup.after")
            if found.failure is None and found.value is not None:
                return await self._written(tool, arguments, context, found)
        key_until, cost = tool.key_until(intended_at), Cost()
        if key_until is not None:
            again = await self._try(tool, arguments, context, Asked(request, key_until))
            if again.begun and again.speaks_for_key:
                return await self._written(tool, arguments, context, again)
            if again.begun:
                cost = cost_of(tool, context, 1, begun=not again.known)
                found = again if tool.lookup is None else Tried()
        if tool.tier is RiskTier.READ_ONLY:
            why = f"nobody heard the answer of {tool.name}"
            return CallResult(failure=FailureKind.UNAVAILABLE, message=why, cost=Cost(calls=1, micros=tool.micros_max))
        if found.failure is None and tool.lookup is not None:
            late = _late(intended_at, call_before, self.ground.world.clock.wall_micros())
            return await self._settled(tool, arguments, context, late, cost)
        return unknown(found.message)

    def _context(self, request: CallRequest, idempotency_key: str) -> ToolContext:
        ground, key = self.ground, request.key
        world, reader, settings, policy = ground.world, ground.reader, ground.settings, self.policy.settings
        return ToolContext(
            idempotency_key, world, reader, settings, policy, key.tenant, key.case_id, request.reserve,
            sources=ground.sources,
        )  # fmt: skip

    async def _read_somehow(self, tool: Tool, arguments: Struct, context: ToolContext, asked: Asked) -> CallResult:
        """Read, by the tool that the policy names for it while its circuit is open."""
        other = self._standing_in(tool)
        result = await self._read(other, arguments, context, asked)
        if other is tool:
            return result
        if result.decisions and result.decisions[-1].rule == CIRCUIT_OPEN:  # That of the other one as well.
            none = replace(result.decisions[-1], subject=f"call {tool.name}", options=(tool.name, other.name, NONE))
            return replace(result, decisions=(*result.decisions[:-1], none))
        decision = Decision(
            subject=f"call {tool.name}",
            options=(tool.name, other.name),
            chosen=other.name,
            rule="fallback",
            why=f"the circuit of {tool.name} is open",
            policy_hash=self.policy_hash,
        )
        return replace(result, decisions=(decision, *result.decisions))

    def _left(self, tool: Tool, tried: Tried) -> tuple[Decision, ...]:
        """Tell of a call that was not made because a circuit is open."""
        if not tried.circuit:
            return ()
        decision = Decision(
            subject=f"call {tool.name}",
            options=(tool.name, NONE),
            chosen=NONE,
            rule=CIRCUIT_OPEN,
            why=tried.message,
            policy_hash=self.policy_hash,
        )
        return (decision,)

    def _standing_in(self, tool: Tool) -> Tool:
        now = self.ground.world.clock.monotonic()
        while tool.name in self.fallbacks and not self.admission.lets(tool, now):
            tool = self.tools.get(self.fallbacks[tool.name])
        return tool

    async def _read(
        self, tool: Tool, arguments: Struct, context: ToolContext, asked: Asked, tried: Tried | None = None
    ) -> CallResult:
        """Read, after a first try that was made before, if one was."""
        retries, tries, decisions = self.policy.retry.read_only, 1, tuple[Decision, ...]()
        if tried is None:
            tried = await self._try(tool, arguments, context, asked)
        while tried.failure is not None and tried.retryable and tries < retries.attempts:
            # What was drawn is enough for one try: another one has it if that one is known to have cost nothing.
            if tool.micros_max and tried.begun:
                if context.micros_spent != 0:
                    break
                context.micros_spent = None
            decisions = (*decisions, tell_reread(self.policy, tool.name, tried.failure, tries, again=True))
            await self.ground.world.clock.sleep(retries.delay_seconds(tries))
            tries += 1
            tried = await self._try(tool, arguments, context, asked)
        return self._ended(tool, context, tried, tries, decisions)

    def _ended(
        self, tool: Tool, context: ToolContext, tried: Tried, tries: int, decisions: tuple[Decision, ...]
    ) -> CallResult:
        """Say what became of a read after its last try."""
        cost = cost_of(tool, context, tries, begun=tried.begun)
        if tried.failure is not None:
            last = self._left(tool, tried)
            if decisions and not (last or tried.held):
                last = (tell_reread(self.policy, tool.name, tried.failure, tries, again=False),)
            result = CallResult(failure=tried.failure, message=tried.message, cost=cost, tries=tries, held=tried.held)
            return replace(result, decisions=(*decisions, *last)) if decisions or last else result
        try:
            return CallResult(value=encoded(tool, tried.value), cost=cost, tries=tries, decisions=decisions)
        except ProtocolError as error:
            invalid, why = FailureKind.INVALID, describe(error)
            return CallResult(failure=invalid, message=why, cost=cost, tries=tries, decisions=decisions)

    async def _written(self, tool: Tool, arguments: Struct, context: ToolContext, tried: Tried) -> CallResult:
        """Say what became of a write, after `tried`; see the table above."""
        cost = cost_of(tool, context, 1, begun=tried.begun) if tried.begun else Cost()
        if tried.failure is not None and tried.known:
            left = self._left(tool, tried)
            return CallResult(failure=tried.failure, message=tried.message, cost=cost, held=tried.held, decisions=left)
        if tried.failure is not None:
            return unknown(tried.message, cost)
        assert tool.verify is not None, "a write is registered with `verify`"
        verified = await self._bounded(tool, tool.verify(arguments, tried.value, context))
        if verified.failure is not None or verified.value is not True:
            why = verified.message or "what it left is not what it should have left"
            return unknown(f"{tool.name} was called, but is not verified: {why}", cost)
        try:
            return CallResult(value=encoded(tool, tried.value), cost=cost)
        except ProtocolError as error:
            return unknown(f"{tool.name} was called, but its value cannot be recorded: {describe(error)}", cost)

    async def _settled(
        self, tool: Tool, arguments: Struct, context: ToolContext, late_micros: int, cost: Cost
    ) -> CallResult:
        """Believe a lookup's no only when nothing that was under way, or begins so late, can still appear."""
        wait = tool.timeout_seconds + tool.settling_seconds + late_micros / MICROS
        if wait > 0:
            await self.ground.world.clock.sleep(wait)
            assert tool.lookup is not None, "the caller has asked it"
            found = await self._bounded(tool, tool.lookup(arguments, context))
            if found.failure is not None:
                return unknown(found.message)
            if found.value is not None:
                return await self._written(tool, arguments, context, found)
        why = f"{tool.name} did not happen, says its lookup"
        return CallResult(failure=FailureKind.UNAVAILABLE, message=why, cost=cost)

    async def _try(self, tool: Tool, arguments: Struct, context: ToolContext, asked: Asked) -> Tried:
        """Call a tool's body once, if it may be called now; feeds its circuits."""
        admission = self.admission
        if not admission.enter_nowait(tool, asked.request):
            refusal = await admission.enter(tool, asked.request, asked.call_before)
            if refusal is not None:
                return not_begun(refusal)
        try:
            return await self._admitted(tool, arguments, context, asked)
        finally:
            admission.leave(tool, asked.request)

    def _try_nowait(
        self, tool: Tool, arguments: Struct, context: ToolContext, circuits: tuple[CircuitBreaker, ...]
    ) -> Tried:
        """Call the body of a tool that awaits nothing, once, while its circuits are closed; feeds them."""
        clock, point = self.ground.world.clock, self.ground.world.point
        begun = clock.monotonic()
        point("effect.before")
        try:
            call = cast("Coroutine[object, object, object]", tool.body(arguments, context))
            call.send(None)
        except StopIteration as over:
            tried = Tried(over.value)
        except BaseException as raised:  # noqa: BLE001 - a tool is somebody else's code
            tried = _raised(raised)
        else:
            raise AssertionError("what awaits nothing is over")
        point("effect.after")
        _tell(circuits, tried, begun, clock.monotonic(), 0)
        return tried

    async def _admitted(self, tool: Tool, arguments: Struct, context: ToolContext, asked: Asked) -> Tried:
        clock, admission = self.ground.world.clock, self.admission
        begun, spent = clock.monotonic(), context.micros_spent
        refusal = admission.admit(tool, asked.request, asked.call_before, begun)
        if refusal is not None:
            return not_begun(refusal)
        circuits, told = admission.behind(tool), False
        try:
            if context.reserve is not None:
                unpaid = await self._unpaid(context.reserve, asked.call_before)
                if unpaid is not None:
                    return unpaid
            self.ground.world.point("effect.before")
            tried = await self._bounded(tool, tool.body(arguments, context))
            self.ground.world.point("effect.after")
            told = True
        finally:
            if not told:
                for circuit in circuits:
                    circuit.dropped()
        micros = micros_of(tool, spent, context.micros_spent) if tool.micros_max else 0
        _tell(circuits, tried, begun, clock.monotonic(), micros)
        return tried

    async def _unpaid(self, reserve: Callable[[], Awaitable[bool]], call_before: int) -> Tried | None:
        """Draw what a call may cost, and say why it is not made, if so: too little is left, or its time is over now."""
        if not await reserve():
            return Tried(failure=FailureKind.REFUSED, message="not called: too little is left for it", begun=False)
        if call_before and self.ground.world.clock.wall_micros() >= call_before:
            why = "not called: the time in which it could be was over when its cost was drawn"
            return Tried(failure=FailureKind.TIMEOUT, message=why, begun=False)
        return None

    async def _bounded(self, tool: Tool, call: Awaitable[object]) -> Tried:
        """Await what a tool does, no longer than it may take."""
        # `anyio.CancelScope()` asks each time which event loop runs; the answer does not change.
        if self._new_scope is None:
            self._new_scope = type(anyio.CancelScope())
        with self._new_scope() as scope:
            alarm = self.ground.timers.after(tool.timeout_seconds, scope.cancel)
            try:
                return await _answer(call)
            finally:
                alarm.cancel()
        why = f"no answer within {tool.timeout_seconds:g} s"
        return Tried(failure=FailureKind.TIMEOUT, message=why, known=False, retryable=True)


def _late(intended_at: int, call_before: int, now: int) -> int:
    """Give for how long a call may begin yet, in microseconds of the wall's clock.

    That may have jumped since its intent, which makes this no longer than the intent let it be, nor less than nothing.
    """
    return max(min(call_before - now, call_before - intended_at), 0) if call_before else 0


async def _answer(call: Awaitable[object]) -> Tried:
    """Await what a tool does, however long."""
    try:
        return Tried(await call)
    except BaseException as raised:  # noqa: BLE001 - a tool is somebody else's code
        return _raised(raised)


def _raised(raised: BaseException) -> Tried:
    """Say how a try ended that raised; what is no failure of the tool is raised again."""
    error, passing = blame(raised)
    if error is None or passing is not None:
        raise passing or raised from None
    kind, retryable = classify(error)
    known = isinstance(error, KnownFailure)
    unfetched = isinstance(error, NotFetched)
    return Tried(failure=kind, message=describe(error), known=known, retryable=retryable, unfetched=unfetched)


def _tell(circuits: tuple[CircuitBreaker, ...], tried: Tried, begun: float, now: float, micros: int) -> None:
    """Tell the circuits of a tool how a try ended."""
    for circuit in circuits:
        if tried.failure is None or (tried.known and not tried.retryable):
            circuit.succeeded(now, now - begun, micros)
        else:
            circuit.failed(now, now - begun, micros)
