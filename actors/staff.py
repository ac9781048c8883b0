"""The staff of one running crew: the front that cases see, of gate, calls, desk and the supervisor's ref.

It implements the runtime's `Staff`. Everything here is synchronous but the tool calls themselves.
It does not know what the agents can do, nor what is in the policy.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from msgspec import Raw

from casework.actors.breaker import Circuits, CircuitStatistics
from casework.actors.budgets import Budgets
from casework.actors.calling import Calling
from casework.actors.desk import Desk, DeskStatistics, InHand
from casework.actors.gate import Gate
from casework.actors.repeats import Bounces, Handed
from casework.actors.retry import decide_retry
from casework.actors.undoing import decide_undo
from casework.protocols.records import Decision
from casework.protocols.wire import Completed, Failed, FailureKind, Task
from casework.runtime.errors import NotSent
from casework.runtime.ref import Ref
from casework.runtime.seams import MICROS, Clock
from casework.runtime.staff import CallRequest, CallResult, CaseRef, Circuit, Retry, Ruling, Undoing
from casework.runtime.switches import Switch


class StaffStatistics(NamedTuple):
    """How the staff stands."""

    desk: DeskStatistics
    agents: Mapping[str, CircuitStatistics]
    """Circuits of agents that had work."""
    tools: Mapping[str, CircuitStatistics]
    """Circuits of tools that were called."""
    models: Mapping[str, CircuitStatistics]
    """Circuits of models that stand behind such tools."""


@dataclass(slots=True, frozen=True, eq=False)
class CrewStaff:
    """The staff, as cases see it."""

    gate: Gate
    calling: Calling
    desk: Desk
    supervisor: Ref
    clock: Clock
    agent_circuits: Circuits
    bounces: Bounces
    agents: Mapping[str, str]
    """Who has which skill."""

    @property
    def policy_hash(self) -> str:
        """Hash of the policy under which rulings are made now."""
        return self.gate.policy_hash

    @property
    def budgets(self) -> Budgets:
        """The rules of budgets."""
        return self.gate.policy.budgets

    @property
    def spends(self) -> bool:
        """Tell whether any tool costs something."""
        return any(tool.micros_max for tool in self.gate.tools)

    def dispatch(self, frame: bytes, task: Task, attempt: int, case: CaseRef) -> Failed | None:
        """Send a task's frame to the supervisor; never waits. A refusal comes back at once."""
        case_key = (task.tenant, task.case_id)
        partner = self.bounces.partner(case_key, task.task, hash(bytes(task.inputs)))
        if partner:
            return self._bounced(task, attempt, case.address, partner)
        left = (task.deadline - self.clock.wall_micros()) / MICROS
        now = self.clock.monotonic()
        in_hand = InHand(frame, task, attempt, case, now + min(left, self.attempt_seconds(task)), now)
        self.desk.put(in_hand)
        if self.desk.route_now(in_hand):
            return None
        try:
            self.supervisor.tell_nowait(frame, sender=case.address, attempt=attempt, trace=task.trace)
        except NotSent as error:
            self.desk.drop(in_hand)
            return Failed(
                task_id=task.id,
                kind=FailureKind.UNAVAILABLE,
                message=f"the supervisor does not take it: {error.why}",
                retryable=True,
                attempt=attempt,
            )
        return None

    def recall(self, task_id: str, cell: str) -> None:
        """Stop work on a task for the cell that gave it out; what is unknown is fine."""
        self.desk.recall(task_id, cell)

    def judge(self, task: Task, outcome: Completed | Failed, cell: str) -> None:
        """Hear how a task ended, for breakers and statistics."""
        self.desk.judge((task.id, cell), outcome, self.clock.monotonic())
        told = bytes(outcome.value) if isinstance(outcome, Completed) else outcome.kind
        self.bounces.ended((task.tenant, task.case_id), Handed(task.task, hash(bytes(task.inputs)), hash(told)))

    def attempt_seconds(self, task: Task) -> float:
        """Say how long one attempt at a task may take."""
        timeouts = self.gate.policy.timeouts
        return timeouts.tasks.get(task.task, timeouts.default_seconds)

    def retry(self, task: Task, failed: Failed, attempt: int) -> Retry:
        """Decide whether a failed task is tried again; pure."""
        return decide_retry(self.gate.policy, task, failed, attempt)

    def undo(self, tool: str, arguments: Raw, value: Raw) -> Undoing:
        """Say how a write is undone; pure."""
        return decide_undo(self.gate.tools, self.gate.policy, tool, arguments, value)

    def rule(self, request: CallRequest) -> Ruling:
        """Rule on a call before it is made."""
        return self.gate.rule(request)

    def begin(self, request: CallRequest, inputs: object) -> CallResult | Callable[[], Awaitable[CallResult]]:
        """Make an allowed read that costs nothing, at once where nothing has to be waited for; else give what is left.

        Never raises for what the tool did.
        """
        begun = self.calling.begin(request, inputs)
        if begun is None:
            return partial(self.perform, request, idempotency_key="", call_before=0, inputs=inputs)
        if not isinstance(begun, CallResult):
            return partial(self._heard, request, begun)
        self.gate.heard(request, begun)
        return begun

    async def perform(
        self, request: CallRequest, *, idempotency_key: str, call_before: int, inputs: object = None
    ) -> CallResult:
        """Make a call that was allowed; never raises for what the tool did.

        If cancelled, a write may have happened.
        """
        result = await self.calling.perform(
            request, idempotency_key=idempotency_key, call_before=call_before, inputs=inputs
        )
        self.gate.heard(request, result)
        return result

    async def _heard(self, request: CallRequest, made: Callable[[], Awaitable[CallResult]]) -> CallResult:
        result = await made()
        self.gate.heard(request, result)
        return result

    async def look_up(
        self, request: CallRequest, *, idempotency_key: str, intended_at: int, call_before: int
    ) -> CallResult:
        """Find out what became of a write; if cancelled, ask again."""
        return await self.calling.look_up(
            request, idempotency_key=idempotency_key, intended_at=intended_at, call_before=call_before
        )

    def routed(self, task_id: str, cell: str) -> Decision | None:
        """Give the last decision about who does a task."""
        return self.desk.routed((task_id, cell))

    def _bounced(self, task: Task, attempt: int, cell: str, partner: str) -> Failed:
        most = self.gate.policy.bounds.bounces_max
        why = f"{task.task} and {partner} were given the same in turn {most} times, and nothing new came of it"
        decision = Decision(
            subject=f"route {task.task}",
            options=(task.task,),
            chosen="",
            rule="route.bounced",
            why=why,
            policy_hash=self.policy_hash,
        )
        self.desk.refused((task.id, cell), decision)
        return Failed(
            task_id=task.id, kind=FailureKind.REFUSED, message=f"{decision.rule}: {why}", attempt=attempt
        )  # fmt: skip

    def statistics(self) -> StaffStatistics:
        """Give how the staff stands."""
        now, admission = self.clock.monotonic(), self.calling.admission
        return StaffStatistics(
            self.desk.statistics(),
            self.agent_circuits.statistics(now),
            admission.tools.statistics(now),
            admission.models.statistics(now),
        )

    def circuits(self) -> Sequence[Circuit]:
        """Give every circuit breaker as it stands."""
        stands = self.statistics()
        kinds = (("agent", stands.agents), ("tool", stands.tools), ("model", stands.models))
        return [Circuit(kind=kind, name=name, **each._asdict()) for kind, all_ in kinds for name, each in all_.items()]

    def turn(self, switch: Switch) -> None:
        """Hear that something was paused or resumed; what is paused has no effect from now on."""
        self.calling.admission.switches.turn(switch)

    def lifted(self, target: str) -> bool:
        """Tell whether what a call was held for, as its result named it, is no longer paused."""
        return target not in self.calling.admission.switches.paused
