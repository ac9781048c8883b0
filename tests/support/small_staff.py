"""A staff of plain functions, for tests of the flow engine alone: no supervisor, no policy, no breakers.

Tasks are done by async functions `(inputs, call) -> value`; tools are async functions `(arguments) -> value`. What
happens can be watched (`sent`, `performed`) and held up (`gate`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import TaskGroup
from msgspec import Raw

from casework.actors.budgets import Budgets
from casework.protocols.codec import decode_call_answered, decode_task, encode, pack, plain
from casework.protocols.records import Decision, Verdict
from casework.protocols.wire import (
    CallAsked,
    Checked,
    Completed,
    Failed,
    FailureKind,
    RiskTier,
    Task,
)
from casework.runtime.actorsystem import ActorSystem
from casework.runtime.flow.case import Flow
from casework.runtime.seams import World
from casework.runtime.staff import CallRequest, CallResult, CaseRef, Circuit, Retry, Ruling, Undoing
from casework.runtime.store.base import StoreReader
from casework.runtime.switches import Switch, Switches
from casework.runtime.telemetry import Telemetry

Caller = Callable[[str, object], Awaitable[object]]
Doer = Callable[[object, Caller], Awaitable[object]]
ToolFunction = Callable[[object], Awaitable[object]]


class Gone(Exception):
    """The world did not do it, for sure."""


class Lost(Exception):
    """Nobody knows whether the world did it."""


@dataclass
class SmallTool:
    run: ToolFunction
    tier: RiskTier = RiskTier.READ_ONLY
    approval: str = ""
    lookup: ToolFunction | None = None
    undo: str = ""


@dataclass
class SmallStaff:
    """A Staffing and a Staff in one."""

    flows: Mapping[str, Flow]
    doers: Mapping[str, Doer] = field(default_factory=dict)
    tools: Mapping[str, SmallTool] = field(default_factory=dict)
    name: str = "small"
    version: str = "1"
    policy_hash: str = "policy-1"
    sent: list[tuple[str, int, bytes]] = field(default_factory=list)
    performed: list[tuple[str, object, str]] = field(default_factory=list)
    retry_seconds: float = 0.0
    attempt_limit_seconds: float = 30.0
    undo_delays: tuple[float, ...] = ()
    jobs: TaskGroup | None = None
    budgets: Budgets = field(default_factory=Budgets)
    switches: Switches = field(default_factory=Switches)

    @asynccontextmanager
    async def staff(
        self,
        system: ActorSystem,
        world: World,
        reader: StoreReader,
        settings: Mapping[str, str],
        telemetry: Telemetry,
    ) -> AsyncIterator["SmallStaff"]:
        async with anyio.create_task_group() as jobs:
            self.jobs = jobs
            yield self
            jobs.cancel_scope.cancel()

    def dispatch(self, frame: bytes, task: Task, attempt: int, case: CaseRef) -> Failed | None:
        self.sent.append((task.task, attempt, frame))
        if task.task not in self.doers:
            return Failed(task_id=task.id, kind=FailureKind.UNAVAILABLE, message="nobody can do that", attempt=attempt)
        assert self.jobs is not None
        self.jobs.start_soon(self._work, frame, attempt, case)
        return None

    async def _work(self, frame: bytes, attempt: int, case: CaseRef) -> None:
        task = decode_task(frame)

        async def call(tool: str, arguments: object) -> object:
            asked = CallAsked(task_id=task.id, attempt=attempt, tool=tool, arguments=pack(arguments))
            answered = decode_call_answered(await case.call(encode(asked)))
            if answered.failure is not None:
                raise Gone(answered.message)
            return plain(answered.value)

        try:
            value = await self.doers[task.task](plain(task.inputs), call)
        except Gone as error:
            outcome: Completed | Failed = Failed(
                task_id=task.id, kind=FailureKind.ERROR, message=str(error), retryable=True, attempt=attempt
            )
        else:
            checked = tuple(Checked(name=criterion.name, met=True) for criterion in task.success_criteria)
            outcome = Completed(task_id=task.id, value=pack(value), attempt=attempt, agent="doer/1", checked=checked)
        case.outcome(encode(outcome), attempt=attempt)

    def recall(self, task_id: str, cell: str) -> None:
        return

    def routed(self, task_id: str, cell: str) -> Decision | None:
        return None

    def judge(self, task: Task, outcome: Completed | Failed, cell: str) -> None:
        return

    def circuits(self) -> Sequence[Circuit]:
        return ()

    def turn(self, switch: Switch) -> None:
        self.switches.turn(switch)

    @property
    def spends(self) -> bool:
        return True

    def lifted(self, target: str) -> bool:
        return target not in self.switches.paused

    def attempt_seconds(self, task: Task) -> float:
        return self.attempt_limit_seconds

    def retry(self, task: Task, failed: Failed, attempt: int) -> Retry:
        decision = Decision(
            subject="retry", options=("again", "stop"), chosen="again" if failed.retryable else "stop", rule="test"
        )
        return Retry(failed.retryable, self.retry_seconds, decision)

    def undo(self, tool: str, arguments: Raw, value: Raw) -> Undoing:
        undo = self.tools[tool].undo
        return Undoing(undo, arguments, self.undo_delays) if undo else Undoing(why=f"no tool undoes {tool}")

    def rule(self, request: CallRequest) -> Ruling:
        tool = self.tools.get(request.tool)
        if tool is None:
            return Ruling(Verdict(allowed=False, rule="registered", policy_hash=self.policy_hash, why="no such tool"))
        verdict = Verdict(allowed=True, rule="test", policy_hash=self.policy_hash)
        return Ruling(verdict, tool.tier, approval=tool.approval)

    def begin(self, request: CallRequest, inputs: object) -> Callable[[], Awaitable[CallResult]]:
        return partial(self.perform, request, idempotency_key="", call_before=0, inputs=inputs)

    async def perform(
        self, request: CallRequest, *, idempotency_key: str, call_before: int, inputs: object = None
    ) -> CallResult:
        arguments = plain(request.arguments)
        self.performed.append((request.tool, arguments, idempotency_key))
        return await _run(self.tools[request.tool].run, arguments)

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        lookup = self.tools[request.tool].lookup
        if lookup is None:
            return CallResult(failure=FailureKind.UNKNOWN, message="nobody can say")
        return await _run(lookup, plain(request.arguments))


async def _run(function: ToolFunction, arguments: object) -> CallResult:
    try:
        return CallResult(value=pack(await function(arguments)))
    except Gone as error:
        return CallResult(failure=FailureKind.ERROR, message=str(error))
    except Lost as error:
        return CallResult(failure=FailureKind.UNKNOWN, message=str(error))
