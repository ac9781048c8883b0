"""A crew as a simulated node runs it: all its own, but for the way of its tools to the world outside.

The gate calls each tool as ever; what it calls is slow or fails as the plan says, before or after the effect. Where a
stand-in is declared, the effect is the stand-in's and happens outside of every process; else the tool's own body runs
in its process. It does not know what the plan is.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast, final

from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.errors import KnownFailure
from casework.actors.simulation.attempts import Attempts
from casework.actors.simulation.effects import STEP, Effects
from casework.actors.simulation.scenario import Stub
from casework.actors.staff import CrewStaff
from casework.actors.tools import Tool, ToolContext
from casework.protocols.wire import Failed, RiskTier, Task
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.flow.case import Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.simulation.simulation import Simulation
from casework.runtime.simulation.world import alive
from casework.runtime.staff import CallRequest, CallResult, CaseRef, Staff
from casework.runtime.store.base import StoreReader
from casework.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def wired(crew: Crew, stubs: Mapping[str, Stub], effects: Effects, simulation: Simulation) -> Crew:
    """Make the crew anew, with its tools reaching the world of this run."""
    return Crew(
        crew.name,
        crew.version,
        flows=tuple(crew.flows.values()),
        policy=crew.policy,
        agents=tuple(crew.agents.values()),
        tools=[_wired(tool, stubs.get(tool.name), effects, simulation) for tool in crew.tools],
        criteria=crew.criteria,
        sources=tuple(crew.sources.values()),
    )


def _wired(tool: Tool, stub: Stub | None, effects: Effects, simulation: Simulation) -> Tool:
    # By name: only the gate may touch what reaches the world.
    declared: dict[str, Any] = {each.name: getattr(tool, each.name) for each in fields(tool)}
    wire = _Wire(tool, declared["body"], stub, effects, simulation)
    if stub is None:
        return replace(tool, body=wire.act_inside)
    write = tool.tier is not RiskTier.READ_ONLY
    return replace(
        tool,
        body=wire.act_outside,
        verify=wire.stands if write else None,
        lookup=wire.find if declared["lookup"] is not None else None,
    )


@dataclass(slots=True, frozen=True, eq=False)
class _Wire:
    """The way of one tool to the world."""

    tool: Tool
    own: Any
    stub: Stub | None
    effects: Effects
    simulation: Simulation

    async def act_outside(self, arguments: Struct, context: ToolContext) -> object:
        """Have the stand-in do it, outside of every process."""
        step_id = STEP.get()
        value, failed = await self.simulation.outside.reach(
            self.tool.name, lambda: self._happen(arguments, context, step_id)
        )
        if failed is not None:
            raise failed
        return value

    async def act_inside(self, arguments: Struct, context: ToolContext) -> object:
        """Have the tool's own code do it, in its process."""
        mischief, name = self.simulation.mischief, self.tool.name
        mischief.points.point(f"{name}.before")
        await alive()
        if mischief.strikes("tool_failure"):
            raise ConnectionError(f"{name} could not be reached")
        seconds = mischief.seconds("tool_seconds")
        if seconds:
            await context.world.clock.sleep(seconds)
        value: object = await self.own(arguments, context)
        self._note(arguments, context, STEP.get(), value)
        mischief.points.point(f"{name}.after")
        await alive()
        if mischief.strikes("tool_unheard"):
            raise ConnectionError(f"{name} broke off")
        return value

    async def stands(self, arguments: Struct, value: object, context: ToolContext) -> bool:
        """Read back, from the books."""
        key, name = context.idempotency_key, self.tool.name
        return await self.simulation.outside.reach(f"{name}.verify", lambda: self.effects.find(name, key) is not None)

    async def find(self, arguments: Struct, context: ToolContext) -> object:
        """Look a key up, in the books."""
        key, name = context.idempotency_key, self.tool.name
        found = await self.simulation.outside.reach(f"{name}.lookup", lambda: self.effects.find(name, key))
        return None if found is None else found.value

    def _happen(self, arguments: Struct, context: ToolContext, step_id: str) -> tuple[object, KnownFailure | None]:
        assert self.stub is not None, "only a stand-in is outside"
        earlier = self.effects.honoured(self.tool, context.idempotency_key, self.simulation.loop.time())
        if earlier is not None:
            return earlier.value, None
        try:
            value = self.stub.act(arguments, context)
        except KnownFailure as error:
            return None, error
        self._note(arguments, context, step_id, value)
        return value, None

    def _note(self, arguments: Struct, context: ToolContext, step_id: str, value: object) -> None:
        if self.tool.tier is not RiskTier.READ_ONLY:
            now = self.simulation.loop.time()
            self.effects.note(self.tool, arguments, context, step_id=step_id, value=value, at=now)


@dataclass(slots=True, frozen=True, eq=False)
class _SteppingStaff:
    """The staff of a node: it says for which step a call is made, and who has which attempt; the rest is passed on."""

    inner: Staff
    attempts: Attempts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def dispatch(self, frame: bytes, task: Task, attempt: int, case: CaseRef) -> Failed | None:
        """Send a task's frame to the supervisor."""
        return self.attempts.dispatch(self.inner, frame, task, attempt, case)

    def recall(self, task_id: str, cell: str) -> None:
        """Stop work on a task for the cell that gave it out."""
        self.attempts.recall(task_id, cell)
        self.inner.recall(task_id, cell)

    def begin(self, request: CallRequest, inputs: object) -> Callable[[], Awaitable[CallResult]]:
        """Give what is left to be awaited: all of it, for every tool of a simulation waits."""
        return partial(self.perform, request, idempotency_key="", call_before=0, inputs=inputs)

    async def perform(
        self, request: CallRequest, *, idempotency_key: str, call_before: int, inputs: object = None
    ) -> CallResult:
        """Have the gate make the call; if cancelled, a write may have happened."""
        STEP.set(request.step_id)
        return await self.inner.perform(
            request, idempotency_key=idempotency_key, call_before=call_before, inputs=inputs
        )

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        """Have the gate find out; if cancelled, ask again."""
        STEP.set(request.step_id)
        return await self.inner.look_up(
            request, idempotency_key=idempotency_key, intended_at=intended_at, call_before=call_before
        )


@final
@dataclass(slots=True, eq=False)
class WatchedCrew:
    """A crew as one process staffs it: it says for which step each call is made, and which system its actors are of."""

    crew: Crew
    lost: list[Task]
    """Gets the attempts at tasks that nobody had any more when they were taken back."""
    system: ActorSystem | None = None
    """The system of the process, once its staff is there."""

    @property
    def name(self) -> str:
        """Name the crew."""
        return self.crew.name

    @property
    def version(self) -> str:
        """Name its version."""
        return self.crew.version

    @property
    def flows(self) -> Mapping[str, Flow]:
        """Give its flows by name."""
        return self.crew.flows

    def staff(
        self, system: ActorSystem, world: World, reader: StoreReader, settings: Mapping[str, str], telemetry: Telemetry
    ) -> AbstractAsyncContextManager[Staff]:
        """Give its agents their actors for as long as the block lasts."""
        self.system = system
        return self._staffed(self.crew.staff(system, world, reader, settings, telemetry))

    @asynccontextmanager
    async def _staffed(self, staffed: AbstractAsyncContextManager[Staff]) -> "AsyncGenerator[Staff, None]":
        async with staffed as staff:
            assert isinstance(staff, CrewStaff), "a crew's own"
            attempts = Attempts(staff.desk, self.lost)
            try:
                yield cast("Staff", _SteppingStaff(staff, attempts))
            finally:
                attempts.close()


@dataclass(slots=True, frozen=True, eq=False)
class Service:
    """What requests to a node are made of."""

    runtime: Runtime
    system: ActorSystem
