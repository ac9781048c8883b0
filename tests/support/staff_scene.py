"""A small crew with a clock that only a test moves, and a case that hears outcomes."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import anyio.lowlevel
from msgspec import Raw, Struct

from casework.actors.admission import Admission
from casework.actors.agent import Agent
from casework.actors.calling import Calling, Ground
from casework.actors.crew import Crew
from casework.actors.gate import Gate
from casework.actors.permissions import Permission, Permissions
from casework.actors.policy import Policy, parse_policy
from casework.actors.staff import CrewStaff
from casework.actors.tools import Tool, ToolRegistry
from casework.protocols.codec import decode_call_asked, decode_outcome, encode, pack
from casework.protocols.wire import Budget, CallAnswered, Criterion, OnStop, Outcome, RiskTier, Task
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.flow.case import Case, Flow
from casework.runtime.seams import World
from casework.runtime.staff import CallRequest, Grant
from casework.runtime.store.base import CaseKey
from casework.runtime.store.memory import MemoryStore
from casework.runtime.telemetry import Telemetry
from casework.runtime.timers import Timers


class Amount(Struct, frozen=True, kw_only=True):
    """Arguments of most tools and inputs of most skills here."""

    amount: int


class HandClock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.sleepers: list[tuple[float, anyio.Event]] = []

    def wall_micros(self) -> int:
        return int(self.now * 1_000_000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        due, event = self.now + seconds, anyio.Event()
        if seconds > 0:
            self.sleepers.append((due, event))
            await event.wait()

    def forward(self, seconds: float) -> None:
        self.now += seconds
        for due, event in self.sleepers:
            if due <= self.now:
                event.set()
        self.sleepers = [(due, event) for due, event in self.sleepers if due > self.now]

    async def until_asleep(self, sleepers: int = 1) -> None:
        """Wait until so many jobs sleep on this clock."""
        while len(self.sleepers) < sleepers:
            await anyio.lowlevel.checkpoint()


class CaseDouble:
    """A case that keeps outcomes and answers calls from a table of values."""

    def __init__(self, values: dict[str, CallAnswered] | None = None, address: str = "case/default/c1") -> None:
        self.values = values or {}
        self.address = address
        self.asked: list[tuple[str, bytes]] = []
        self.frames: list[bytes] = []
        self.attempts: list[int] = []
        self._heard = anyio.Event()

    def outcome(self, frame: bytes, *, attempt: int) -> None:
        self.frames.append(frame)
        self.attempts.append(attempt)
        self._heard.set()
        self._heard = anyio.Event()

    async def call(self, frame: bytes) -> bytes:
        asked = decode_call_asked(frame)
        self.asked.append((asked.tool, bytes(asked.arguments)))
        await anyio.lowlevel.checkpoint()
        return encode(self.values[asked.tool])

    async def wait_outcomes(self, count: int) -> list[Outcome]:
        while len(self.frames) < count:
            await self._heard.wait()
        return [decode_outcome(frame) for frame in self.frames]


async def run_nothing(case: Case, inputs: Amount) -> None:
    """A flow for crews whose flows do not matter."""


class Scene:
    """Makes what the tests of the staff need, on one clock."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.world = World(clock=clock)

    def policy(self, text: str = "") -> Policy:
        return parse_policy('name = "test"\n' + text)

    def crew(
        self,
        agents: Sequence[Agent] = (),
        tools: Sequence[Tool] = (),
        policy: str = "",
        criteria: dict[str, Callable[..., bool]] | None = None,
    ) -> Crew:
        flows = [Flow.of(run_nothing, inputs=Amount)]
        return Crew("test", flows=flows, agents=agents, tools=tools, policy=self.policy(policy), criteria=criteria)

    @asynccontextmanager
    async def _staff(self, crew: Crew) -> AsyncGenerator[CrewStaff, None]:
        async with ActorSystem(self.world) as system:
            async with crew.staff(system, self.world, MemoryStore(), {}, Telemetry.off()) as staff:
                assert isinstance(staff, CrewStaff)
                yield staff
            system.check_conservation()

    def staff(self, crew: Crew) -> AbstractAsyncContextManager[CrewStaff]:
        return self._staff(crew)

    @asynccontextmanager
    async def _ringing(self, calling: Calling) -> AsyncGenerator[Calling, None]:
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(calling.ground.timers.run)
            yield calling
            jobs.cancel_scope.cancel()

    def running(self, calling: Calling) -> AbstractAsyncContextManager[Calling]:
        """Keep the alarms of calls ringing."""
        return self._ringing(calling)

    def gate(self, tools: Sequence[Tool], policy: str = "", permission: Permission | None = None) -> Gate:
        names = frozenset(each.name for each in tools)
        everything = Permission("worker", names, RiskTier.IRREVERSIBLE, names, RiskTier.IRREVERSIBLE)
        permissions = Permissions({"task:work": permission or everything})
        return Gate(tools=ToolRegistry(tools), policy=self.policy(policy), permissions=permissions)

    def calling(self, tools: Sequence[Tool], policy: str = "") -> Calling:
        parsed = self.policy(policy)
        return Calling(
            tools=ToolRegistry(tools),
            policy=parsed,
            ground=Ground(self.world, MemoryStore(), {"out": "/nowhere"}, Timers(self.clock)),
            admission=Admission(parsed, self.clock, {"work": "worker"}),
        )

    def request(
        self,
        tool: str,
        arguments: object = None,
        *,
        step: str = "work:tool",
        allowed: Sequence[str] | None = None,
        tier: RiskTier = RiskTier.IRREVERSIBLE,
        calls: int = 10,
        micros: int = 0,
        caller: str = "task:work",
    ) -> CallRequest:
        grant = Grant(caller, (tool,) if allowed is None else tuple(allowed), tier, calls, micros, "testing")
        raw = arguments if isinstance(arguments, Raw) else pack({"amount": 7} if arguments is None else arguments)
        return CallRequest(CaseKey("default", "c1"), step, tool, raw, grant)

    def task(
        self,
        skill: str = "work",
        inputs: object = None,
        *,
        id_: str = "t1",
        criteria: Sequence[str] = ("returned",),
        tier: RiskTier = RiskTier.READ_ONLY,
        deadline_seconds: float = 60.0,
        attempts: int = 3,
        tenant: str = "default",
    ) -> Task:
        return Task(
            id=id_,
            tenant=tenant,
            case_id="c1",
            step_id=skill,
            task=skill,
            goal="do it",
            success_criteria=tuple(Criterion(name=name) for name in criteria),
            inputs=pack({"amount": 7} if inputs is None else inputs),
            tools_allowed=(),
            risk_tier=tier,
            deadline=int((self.clock.now + deadline_seconds) * 1_000_000),
            attempts=attempts,
            budget=Budget(calls=10),
            on_stop=OnStop.FAIL,
            sender="flow:test",
            purpose="testing",
        )

    def case(self, values: dict[str, CallAnswered] | None = None) -> CaseDouble:
        return CaseDouble(values)

    def cells(self, epochs: int) -> list[CaseDouble]:
        """Make the cells of one case that was claimed so many times, the one that has it last."""
        return [CaseDouble(address=f"case:default:c1:{epoch + 1}") for epoch in range(epochs)]
