"""One process of a test: a runtime that can be killed at any moment, with nothing cleaned up.

Killed, its store answers nobody any more, its tools reach nothing, and its lease is over; what it had made durable
stays. The next process is another node over the same store.
It does not know why it is killed.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast, final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from casework.actors.crew import Crew
from casework.actors.testing.clock import VirtualClock
from casework.actors.testing.tools import FakeTool, Outside, ToolCall, with_fakes
from casework.protocols.codec import unpack
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.flow.case import Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.staff import CallRequest, CallResult, Staff
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseKey,
    DeliverResult,
    Opening,
    OpenResult,
    Store,
    StoreReader,
)
from casework.runtime.store.claims import Claimed
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.taking import Delivery
from casework.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


#: What the opening of the case is called among its appends.
OPENING: Final = "open"


@dataclass(slots=True, frozen=True)
class Kill:
    """When a process dies: at which append with records, counted from 1, and whether that one is durable.

    Append 0 is the opening of the case itself.
    """

    append: int
    durable: bool

    def __str__(self) -> str:
        return f"{self.append or OPENING}-{'after' if self.durable else 'before'}"


@final
class MortalStore:
    """A process's way to the store, which ends with the process; passes every call on to `inner`."""

    def __init__(self, inner: MemoryStore, clock: VirtualClock, kill: Kill | None = None) -> None:
        self.inner = inner
        self.appends: list[Append] = []  #: what was to be appended, as far as it holds records
        self.nodes: dict[str, None] = {}  #: who said that they live
        self.alive = True  #: the process lives
        self.on_death: Callable[[], object] = lambda: None  #: called when it dies
        self._clock = clock
        self._kill = kill

    def die(self) -> None:
        """Answer nobody any more."""
        self.alive = False
        self.on_death()

    def __getattr__(self, name: str) -> Any:
        found: object = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(found):
            return found
        call = cast("Callable[..., Awaitable[object]]", found)

        async def reached(*args: object, **options: object) -> object:
            await self.reach()
            given = await call(*args, **options)
            await self.reach()
            return given

        return reached

    def on_arrival(self, heard: Callable[[Sequence[CaseKey]], None]) -> None:
        """Pass on what arrives, while the process lives."""
        self.inner.on_arrival(lambda keys: heard(keys) if self.alive else None)

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> DeliverResult:
        """Deliver, and take the case; a process that is dead begins nothing."""
        await self.reach()
        mine = partial(self._living, taken)
        given = await self.inner.deliver_and_claim(node, delivery, now=now, taken=mine)
        await self.reach()
        return given

    def _living(self, taken: Callable[[Claimed], None], claimed: Claimed) -> None:
        if self.alive:
            taken(claimed)

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        """Say that a node lives; whoever does so is its heartbeat."""
        await self.reach()
        self._clock.beats()
        self.nodes[node] = None
        await self.inner.renew(node, until=until, carries=carries)

    async def open_case(self, opening: Opening) -> OpenResult:
        """Open a case, or die here if that is the plan."""
        await self.reach()
        if self._kill is not None and self._kill.append == 0:
            if self._kill.durable:
                await self.inner.open_case(opening)
            self.die()
        await self.reach()
        given = await self.inner.open_case(opening)
        await self.reach()
        return given

    async def append(self, append: Append) -> AppendResult:
        """Append, or die here if that is the plan."""
        await self.reach()
        if append.records:
            self.appends.append(append)
            if self._kill is not None and self._kill.append == len(self.appends):
                if self._kill.durable:
                    await self.inner.append(append)
                self.die()
        await self.reach()
        given = await self.inner.append(append)
        await self.reach()
        return given

    async def reach(self) -> None:
        """Go on only while the process lives."""
        if not self.alive:
            await anyio.sleep_forever()


@dataclass(slots=True, frozen=True, eq=False)
class WatchedStaff:
    """The staff of a process, with every call of a tool that is not faked written down; the rest is passed on."""

    inner: Staff
    crew: Crew
    outside: Outside
    faked: Mapping[str, FakeTool]
    store: MortalStore
    clock: VirtualClock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def perform(
        self, request: CallRequest, *, idempotency_key: str, call_before: int, inputs: object = None
    ) -> CallResult:
        """Have the gate make the call; a process that is dead makes none."""
        perform = self.inner.perform
        made = partial(perform, request, idempotency_key=idempotency_key, call_before=call_before, inputs=inputs)
        return await self._watched(request, idempotency_key, made)

    def begin(self, request: CallRequest, inputs: object) -> CallResult | Callable[[], Awaitable[CallResult]]:
        """Have the gate make a call that need not wait; a process that is dead makes none."""
        if not self.store.alive:
            return partial(self.perform, request, idempotency_key="", call_before=0, inputs=inputs)
        begun = self.inner.begin(request, inputs)
        if not isinstance(begun, CallResult):
            return partial(self._watched, request, "", begun)
        return self._ended(self._begun(request, ""), begun)

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        """Have the gate find out; what it finds done happened once, whoever heard of it first."""
        await self.store.reach()
        result = await self.inner.look_up(
            request, idempotency_key=idempotency_key, intended_at=intended_at, call_before=call_before
        )
        known = self.outside.effect(request.tool, idempotency_key)
        call = self._begun(request, idempotency_key) if known is None and result.failure is None else None
        tool = self.crew.tools.find(request.tool)
        if call is None and tool is not None and tool.keyed and not tool.looked_up:
            self.outside.recalled.append(tool.name)
        return self._ended(call, result)

    async def _watched(self, request: CallRequest, key: str, made: Callable[[], Awaitable[CallResult]]) -> CallResult:
        await self.store.reach()
        call = self._begun(request, key)
        return self._ended(call, await made())

    def _begun(self, request: CallRequest, key: str) -> ToolCall | None:
        tool = self.crew.tools.find(request.tool)
        if tool is None or tool.name in self.faked:
            return None
        arguments: object = unpack(request.arguments, tool.arguments)
        call = ToolCall(tool.name, tool.tier, arguments, key, request.key.case_id, self.clock.wall_micros())
        self.outside.calls.append(call)
        return call

    def _ended(self, call: ToolCall | None, result: CallResult) -> CallResult:
        if call is not None and result.failure is None:
            call.happened, call.value = True, result.value
        return result


@dataclass(slots=True, frozen=True, eq=False)
class WatchedCrew:
    """A crew with fakes for some of its tools, as a runtime sees it."""

    crew: Crew
    outside: Outside
    faked: Mapping[str, FakeTool]
    store: MortalStore
    clock: VirtualClock

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
        """Give its agents their actors, and write down what its tools do."""
        return self._staffed(self.crew.staff(system, world, reader, settings, telemetry))

    @asynccontextmanager
    async def _staffed(self, staffed: AbstractAsyncContextManager[Staff]) -> "AsyncGenerator[Staff, None]":
        async with staffed as staff:
            yield cast("Staff", WatchedStaff(staff, self.crew, self.outside, self.faked, self.store, self.clock))


def faked_crew(crew: Crew, faked: Mapping[str, FakeTool], outside: Outside, alive: Callable[[], bool]) -> Crew:
    """Make the crew anew with fakes in the place of some tools."""
    return Crew(
        crew.name,
        crew.version,
        flows=tuple(crew.flows.values()),
        policy=crew.policy,
        agents=tuple(crew.agents.values()),
        tools=[
            with_fakes(tool, faked[tool.name], outside, alive) if tool.name in faked else tool for tool in crew.tools
        ],
        criteria=crew.criteria,
        sources=tuple(crew.sources.values()),
        intake=crew.intake,
    )


@dataclass(slots=True, eq=False)
class Process:
    """A runtime over a mortal store; `begin` it in a task group, and end it by `kill`."""

    crew: Crew
    store: MortalStore
    world: World
    clock: VirtualClock
    outside: Outside
    faked: Mapping[str, FakeTool] = field(default_factory=dict[str, FakeTool])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    tenant: str = "default"
    runtime: Runtime = field(init=False)
    _scope: anyio.CancelScope = field(init=False, default_factory=anyio.CancelScope)
    _ended: anyio.Event = field(init=False, default_factory=anyio.Event)

    async def begin(self, group: TaskGroup) -> None:
        """Enter the runtime in a job of its own."""
        await group.start(self._run)

    async def kill(self) -> None:
        """End as a killed process does: nothing is drained, given back or told; again is harmless."""
        self.store.die()
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
            for node in self.store.nodes:
                await self.store.inner.renew(node, until=0)
        self.clock.forget_beats()

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        try:
            crew = faked_crew(self.crew, self.faked, self.outside, lambda: self.store.alive)
            watched = WatchedCrew(crew, self.outside, self.faked, self.store, self.clock)
            self.runtime = Runtime(
                watched,
                cast("Store", self.store),
                world=self.world,
                tenant=self.tenant,
                settings=self.settings,
                telemetry=Telemetry.off(),
            )
            with self._scope:
                async with self.runtime:
                    task_status.started()
                    await anyio.sleep_forever()
        finally:
            self._ended.set()
