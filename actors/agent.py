"""Agents: versioned specialists with declared skills, tools and limits, and the actor that lets one work.

An agent is given the inputs it declared and a `Work`, through which every call to a tool goes by way of its case; it
keeps nothing between tasks, so it can be run again at any time. The actor decodes the task's frame once, works, and
hands the outcome straight to the case.
It does not know who sent the work on to it, nor what its tools do.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from casework.actors.criteria import Criterion, Examination
from casework.actors.declared import annotated, decode_declared, unreadable
from casework.actors.desk import Desk, InHand
from casework.actors.errors import CallRefused, CrewInvalid, UndeclaredFields, WorkFailed
from casework.actors.failures import classify, describe, describe_arguments
from casework.actors.policy import SettingValue
from casework.actors.sources import Sources
from casework.protocols.codec import decode_call_answered, decode_outcome, decode_task, encode, pack, unpack
from casework.protocols.errors import CaseworkError, FrameInvalid, ProtocolError
from casework.protocols.pointer import Pointer
from casework.protocols.wire import (
    NIL,
    CallAsked,
    Checked,
    Completed,
    Evidence,
    Failed,
    FailureKind,
    Outcome,
    RiskTier,
    Task,
)
from casework.runtime.behavior import Context
from casework.runtime.blame import blame
from casework.runtime.mailbox import Envelope
from casework.runtime.seams import MICROS, Clock
from casework.runtime.staff import CaseRef

Inputs = TypeVar("Inputs", bound=Struct)
S = TypeVar("S", bound=Struct)
T = TypeVar("T")

#: Tasks that one agent does at the same moment, unless it says otherwise.
WORKERS: Final = 8


@dataclass(slots=True, frozen=True)
class Answer(Generic[T]):
    """A value with how sure the agent is of it, from 0 to 1, and what supports it."""

    value: T
    confidence: float = 1.0
    evidence: tuple[Evidence, ...] = ()


@dataclass(slots=True, frozen=True, eq=False)
class Work:
    """What an agent is given beside its inputs."""

    task: Task
    attempt: int
    settings: Mapping[str, str]
    """Settings of this run."""
    policy: Mapping[str, SettingValue]
    """The free `[settings]` of the policy file."""
    case: CaseRef
    sources: Sources = field(default_factory=Sources)
    """Where the crew has what pointers point to; ask them by `fetch`."""

    async def fetch(self, pointer: Pointer[S], *, returns: type[S]) -> S:
        """Give what a pointer points to, if it is still what it was; what is made of it and returned is recorded.

        Raises:
            PointerChanged, PointerGone, SourceFailed: let out, they are the failure of the task.
        """
        return await self.sources.fetch(pointer, returns, self.task.tenant)

    async def call(self, tool: str, arguments: Struct | Mapping[str, object], *, returns: type[T]) -> T:
        """Have the case call a tool inside the scope of this task; run again, the recorded value comes back.

        Raises:
            CallRefused: it has no value; `kind` says why. UNKNOWN: a person said that it happened, and nobody knows
                what it returned.
            FrameInvalid: the value is not of type `returns`.

        If cancelled, the call may still be made and recorded; its answer is dropped.
        """
        sent = arguments if isinstance(arguments, Struct) else dict(arguments)
        asked = CallAsked(task_id=self.task.id, attempt=self.attempt, tool=tool, arguments=pack(sent))
        answered = decode_call_answered(await self.case.call(encode(asked)))
        if answered.failure is not None:
            raise CallRefused(tool, answered.failure, answered.message)
        try:
            return unpack(answered.value, returns)
        except FrameInvalid:
            if bytes(answered.value) != bytes(NIL):
                raise
            raise CallRefused(tool, FailureKind.UNKNOWN, "it happened, but what it returned is not known") from None


@dataclass(slots=True, frozen=True, eq=False)
class Skill:
    """One thing that an agent can do."""

    inputs: type[Struct]
    """What it needs to see, and all that it is shown."""
    returns: type
    function: Callable[..., Awaitable[object]]
    """`async def f(inputs, work)`; gives the value, or an Answer with confidence and evidence."""

    @property
    def annotated(self) -> object:
        """Give what it returns, with all that its function's annotation says of it."""
        said = annotated(self.function)
        given = typing.get_args(said)[0] if typing.get_origin(said) is Answer else said
        return self.returns if given is object else given


def skill(function: Callable[[Inputs, Work], Awaitable[object]]) -> Skill:
    """Make a Skill of `async def f(inputs: SomeStruct, work: Work) -> Value`, or `-> Answer[Value]`; types are f's own.

    Raises:
        CrewInvalid: it is no coroutine function, or its annotations do not say what it takes and gives.
    """
    name = getattr(function, "__name__", "skill")
    if not inspect.iscoroutinefunction(function):
        raise CrewInvalid(name, "a skill must be an `async def`")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise CrewInvalid(name, f"its annotations cannot be read at run time: {error}") from error
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 2 or parameters[0] not in hints or "return" not in hints:
        raise CrewInvalid(name, "a skill takes `inputs` and `work`, and says by annotation what it takes and gives")
    returns = hints["return"]
    if typing.get_origin(returns) is Answer:
        (returns,) = typing.get_args(returns)
    for declared in (hints[parameters[0]], returns):
        why = unreadable(declared)
        if why:
            raise CrewInvalid(name, f"a skill takes and gives what a frame can hold: {why}")
    return Skill(hints[parameters[0]], returns, function)


@dataclass(slots=True, frozen=True, eq=False)
class Agent:
    """A specialist, as a crew declares it."""

    name: str
    handles: Mapping[str, Skill]
    """Its skills, by the name under which work is delegated."""
    version: str = "1"
    tools: tuple[str, ...] = ()
    """Tools it may ask for; task and policy may allow fewer."""
    tier_max: RiskTier = RiskTier.READ_ONLY
    workers: int = WORKERS
    """Tasks at the same moment."""

    @property
    def title(self) -> str:
        """Name and version, as outcomes carry them."""
        return f"{self.name}/{self.version}"


@dataclass(slots=True, frozen=True, eq=False)
class Equipment:
    """What all agents of a crew share: criteria, settings, the desk where work lies, and sources."""

    criteria: Mapping[str, Criterion]
    settings: Mapping[str, str]
    policy: Mapping[str, SettingValue]
    desk: Desk
    sources: Sources = field(default_factory=Sources)


@dataclass(slots=True, eq=False)
class AgentBehavior:
    """One worker of one agent: an actor that does one task at a time."""

    agent: Agent
    worker: str
    """Its address."""
    equipment: Equipment

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Do one task; its outcome goes straight to the case.

        If cancelled, or if nobody wants the answer any more, the work stops where it waits and tells nobody.
        """
        desk = self.equipment.desk
        in_hand = desk.begun(envelope.frame, envelope.attempt, self.worker, context.abandon)
        if in_hand is None:
            return
        clock = context.clock
        began = clock.monotonic()
        fault: bool | None = None
        try:
            outcome, fault = await self._work(clock, envelope, in_hand)
        finally:
            ended = clock.monotonic()
            desk.finished(in_hand, fault=fault, now=ended)
        if not in_hand.recalled:
            timed = replace(outcome, queued=_micros(in_hand.put, began), worked=_micros(began, ended))
            context.at_end(partial(in_hand.case.outcome, self._frame(timed), attempt=envelope.attempt))

    async def _work(self, clock: Clock, envelope: Envelope, in_hand: InHand) -> tuple[Outcome, bool]:
        """Give the outcome, and whether it is a fault that speaks against the agent itself."""
        task = decode_task(envelope.frame)
        shared = self.equipment
        work = Work(task, envelope.attempt, shared.settings, shared.policy, in_hand.case, shared.sources)
        if clock.wall_micros() >= task.deadline:
            return self._unseen(work, FailureKind.TIMEOUT, "its deadline had passed before it was begun"), False
        known = self.agent.handles.get(task.task)
        if known is None:
            return self._unseen(work, FailureKind.REFUSED, f"{self.agent.name} has no skill {task.task!r}"), False
        for criterion in task.success_criteria:
            if criterion.name not in self.equipment.criteria:
                return self._unseen(work, FailureKind.REFUSED, f"the crew has no criterion {criterion.name!r}"), False
        try:
            inputs = decode_declared(task.inputs, known.inputs, f"skill {task.task}")
        except (UndeclaredFields, ProtocolError) as refused:
            return self._unseen(work, FailureKind.INVALID, describe_arguments(refused)), False
        examination = Examination(self.equipment.criteria, task, work.attempt, work.case)
        try:
            return await self._answer(known, inputs, work, examination), False
        except BaseException as raised:
            error, passing = blame(raised)
            if error is None or passing is not None:
                raise
            kind, retryable = classify(error)
            asking, message = examination.asking, describe(error)
            if asking:
                message = f"criterion {asking!r} cannot be told: {message}"
            failed = self._failed(work, kind, message, retryable=retryable, checked=examination.verdict())
            return failed, not (asking or isinstance(error, CaseworkError))

    async def _answer(self, known: Skill, inputs: Struct, work: Work, examination: Examination) -> Outcome:
        task = work.task
        given = await known.function(inputs, work)
        answer = cast("Answer[object]", given) if isinstance(given, Answer) else Answer(given)
        if not 0.0 <= answer.confidence <= 1.0:
            raise WorkFailed(f"confidence {answer.confidence} is not between 0 and 1", kind=FailureKind.INVALID)
        value = pack(answer.value)
        unpack(value, known.returns)
        await examination.hold(answer.value, inputs)
        return Completed(
            task_id=task.id,
            value=value,
            confidence=answer.confidence,
            evidence=answer.evidence,
            agent=self.agent.title,
            attempt=work.attempt,
            checked=examination.verdict(),
        )

    def _frame(self, outcome: Outcome) -> bytes:
        """Encode an outcome; of one that has no frame, or none that its case could read, that is told instead."""
        try:
            frame = encode(outcome)
            decode_outcome(frame)
        except ProtocolError as error:
            frame = encode(
                Failed(
                    task_id=outcome.task_id,
                    kind=FailureKind.INVALID,
                    message=f"its answer is no outcome: {describe(error)}",
                    agent=self.agent.title,
                    attempt=outcome.attempt,
                )
            )
        return frame

    def _unseen(self, work: Work, kind: FailureKind, message: str) -> Failed:
        """Fail a task before the agent is shown anything of it."""
        return replace(self._failed(work, kind, message), unseen=True)

    def _failed(
        self,
        work: Work,
        kind: FailureKind,
        message: str,
        *,
        retryable: bool = False,
        checked: tuple[Checked, ...] = (),
    ) -> Failed:
        return Failed(
            task_id=work.task.id,
            kind=kind,
            message=message,
            retryable=retryable,
            agent=self.agent.title,
            attempt=work.attempt,
            checked=checked,
        )


def _micros(since: float, until: float) -> int:
    """Give the microseconds between two moments in seconds."""
    return int((until - since) * MICROS)
