"""Whether a call may be made now: kill switches, circuits, rates and places, asked at the moment of the call.

    held     something is paused: the call is not made, and waits to be resumed
    late     the time in which a write could be made is over
    open     the circuit of its tool, or of the model behind the tool, is open
    rate     a bucket is empty, and the call is of a tier that does not wait, or would wait beyond its deadline
    place    all places of the tool are taken: it waits, in turn with other tenants

A wait ends in another look at everything, so nothing is called on grounds that were true a while ago.
It does not know what a call does.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, final

from casework.actors.breaker import CircuitBreaker, Circuits, CircuitState
from casework.actors.bulkhead import Bulkhead
from casework.actors.policy import Policy, of_kind
from casework.actors.rates import RateLimits
from casework.actors.tools import Tool
from casework.protocols.wire import FailureKind
from casework.runtime.seams import MICROS, Clock
from casework.runtime.staff import CallRequest
from casework.runtime.switches import Switch, Switches

#: The rule by which a call is not made because of a circuit, and the mark under which that is recorded.
CIRCUIT_OPEN: Final = "circuit.open"


class Refusal(NamedTuple):
    """Why a call is not made now."""

    kind: FailureKind
    why: str
    passing: bool = False
    """It may be made a little later."""
    held: Switch | None = None
    """The switch that holds it."""
    circuit: str = ""
    """Whose circuit is open."""


@final
class Admission:
    """Lets calls through; one for each staff, shared by all cases."""

    __slots__ = (
        "_agents",
        "_behind",
        "_bulkheads",
        "_clock",
        "_rates",
        "_seconds",
        "_shed",
        "models",
        "switches",
        "tools",
    )

    def __init__(self, policy: Policy, clock: Clock, agents: Mapping[str, str]) -> None:
        """Begin with everything closed and nothing paused; `agents` names who has which skill."""
        self.tools = Circuits(policy.breaker, of_kind("tool", policy.breakers))
        self.models = Circuits(policy.breaker, of_kind("model", policy.breakers))
        self.switches = Switches()
        self._clock = clock
        self._agents = agents
        self._behind: dict[str, tuple[CircuitBreaker, ...]] = {}
        self._bulkheads: dict[str, Bulkhead] = {}
        self._rates = RateLimits(policy.rates) if policy.rates.limits else None
        self._shed = policy.rates.shed
        self._seconds = policy.timeouts.default_seconds

    def agent(self, request: CallRequest) -> str:
        """Name the agent that asks for a call; empty if a flow does."""
        kind, _, skill = request.grant.caller.partition(":")
        return self._agents.get(skill, "") if kind == "task" else ""

    def enter_nowait(self, tool: Tool, request: CallRequest) -> bool:
        """Take a place if nothing has to be waited for; whoever is told yes calls `leave` once."""
        bulkhead = self._bulkheads.get(tool.name)
        return self._rates is None and bulkhead is not None and bulkhead.enter_nowait(request.key.tenant)

    async def enter(self, tool: Tool, request: CallRequest, call_before: int) -> Refusal | None:
        """Wait for the call's turn and for a place; after None call `leave` once.

        If cancelled, no place is taken; a turn that was reserved is lost.
        """
        if self._rates is not None:
            refusal = await self._pace(self._rates, tool, request, call_before)
            if refusal is not None:
                return refusal
        bulkhead = self._bulkheads.get(tool.name)
        if bulkhead is None:
            bulkhead = self._bulkheads[tool.name] = Bulkhead(tool.workers)
        await bulkhead.enter(request.key.tenant)
        return None

    def leave(self, tool: Tool, request: CallRequest) -> None:
        """Give the place back."""
        self._bulkheads[tool.name].leave(request.key.tenant)

    def clear(self, tool: Tool) -> tuple[CircuitBreaker, ...]:
        """Give the circuits of a tool where each call goes: all closed, and nothing is paused or paced; else none.

        A call that awaits nothing then needs no place: no other one is under way before it is over.
        """
        if self._rates is not None or self.switches.paused:
            return ()
        circuits = self.behind(tool)
        for circuit in circuits:
            if circuit.state is not CircuitState.CLOSED:
                return ()
        return circuits

    def admit(self, tool: Tool, request: CallRequest, call_before: int, now: float) -> Refusal | None:
        """Look once more, at the very moment of the call; after None report to the circuits of `behind`."""
        if self.switches.paused:
            held = self.switches.holds(request.key.tenant, self.agent(request), tool.name)
            if held is not None:
                return Refusal(FailureKind.UNAVAILABLE, f"not called: {held.why}", held=held)
        if call_before and self._clock.wall_micros() >= call_before:
            return Refusal(FailureKind.TIMEOUT, "not called: the time in which it could be is over")
        if not self.tools.of(tool.name).admit(now):
            return _open(tool.name)
        if tool.model and not self.models.of(tool.model).admit(now):
            self.tools.of(tool.name).dropped()
            return _open(tool.model)
        return None

    def behind(self, tool: Tool) -> tuple[CircuitBreaker, ...]:
        """Give the circuits that are to hear how a call of a tool ended."""
        circuits = self._behind.get(tool.name)
        if circuits is None:
            circuit = self.tools.of(tool.name)
            circuits = (circuit, self.models.of(tool.model)) if tool.model else (circuit,)
            self._behind[tool.name] = circuits
        return circuits

    def lets(self, tool: Tool, now: float) -> bool:
        """Tell whether the circuits of a tool would let a call through; takes nothing."""
        return all(circuit.lets(now) for circuit in self.behind(tool))

    async def _pace(self, rates: RateLimits, tool: Tool, request: CallRequest, call_before: int) -> Refusal | None:
        names = [("tenant", request.key.tenant), ("agent", self.agent(request)), ("tool", tool.name)]
        names = [(kind, name) for kind, name in names if name]
        now = self._clock.monotonic()
        turn = rates.turn(names, now)
        deadline = call_before or request.grant.deadline
        left = (deadline - self._clock.wall_micros()) / MICROS if deadline else self._seconds
        if turn.seconds > 0 and (tool.tier in self._shed or turn.seconds >= left):
            why = f"not called: {turn.bucket} has had its share and lets it go in {turn.seconds:.3g} s"
            return Refusal(FailureKind.UNAVAILABLE, why, passing=tool.tier in self._shed)
        rates.take(names, now + turn.seconds)
        if turn.seconds > 0:
            await self._clock.sleep(turn.seconds)
        return None


def _open(circuit: str) -> Refusal:
    why = f"not called: the circuit of {circuit} is open"
    return Refusal(FailureKind.UNAVAILABLE, why, passing=True, circuit=circuit)
