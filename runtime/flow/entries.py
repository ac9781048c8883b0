"""How operations become log records, and how the records that end them become results.

Pure tables and functions, one case for each kind of operation. A waiting operation may have a record that starts it
(`start_entry`) and always has kinds of records that end it (`ENDS`); an instant one has a single record.
It does not know in which order anything happens.
"""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

from msgspec import Struct, field

from casework.protocols.codec import digest, pack, unpack
from casework.protocols.errors import ContractIncomplete
from casework.protocols.records import (
    Arrived,
    Call,
    Child,
    Decided,
    Decision,
    Done,
    Drawn,
    Entry,
    Fired,
    Noted,
    Parked,
    Partial,
    Reckoned,
    Reported,
    Review,
    Sent,
    Stopped,
    Timer,
    Undone,
)
from casework.protocols.wire import Budget, Completed, Criterion, Failed, FailureKind, Task, missing_terms
from casework.runtime.errors import CallFailed, ChildForeign, ReviewRejected, TaskFailed
from casework.runtime.flow.operations import (
    Account,
    AskReview,
    CallTool,
    CancelChild,
    Decide,
    Delegate,
    Draw,
    NextReport,
    Note,
    OpenChild,
    Park,
    Reckon,
    Send,
    Sleep,
    TakeBack,
    Telling,
    Waiting,
)
from casework.runtime.flow.remainder import Remainder
from casework.runtime.seams import MICROS
from casework.runtime.store.base import CaseKey

#: Which records end which waiting operation.
ENDS: Final[Mapping[type, tuple[type, ...]]] = {
    Delegate: (Completed, Failed),
    CallTool: (Call, Done, Undone),
    AskReview: (Decided,),
    Park: (Arrived,),
    Sleep: (Fired,),
    NextReport: (Reported,),
    Reckon: (Reckoned,),
    TakeBack: (Call, Done, Undone),
}


#: What each kind of draw gives.
DRAWN: Final[Mapping[str, type]] = {"now": int, "next": int, "random": float, "id": str}

#: Status that is reported of a case which was to be opened below this one, and is somebody else's.
FOREIGN: Final = "foreign"
#: How the rule of a verdict begins that a person gave; the person's name follows.
BY_PERSON: Final = "person:"


class Setting(Struct, frozen=True, eq=False):
    """What the engine is told of the world."""

    key: CaseKey
    flow: str
    purpose: str
    trace: str
    policy_hash: str
    identity: bytes
    """Hash of the case's first record; ids of its tasks and reviews grow from it."""
    now: Callable[[], int]
    draw: Callable[[Draw, int], object]
    """Draw what the log does not have; a moment that comes next is later than the one given."""
    remainder: Remainder = field(default_factory=Remainder)
    """What the case may still give out."""
    given: MutableMapping[str, Entry] = field(default_factory=dict[str, Entry])
    """Tasks and draws that the log has, by step: who asks for the same again takes them from here."""
    waited: int = 0
    """The latest moment that earlier chapters waited for."""


def drawn(setting: Setting, step_id: str, operation: Draw, waited: int) -> tuple[object, Drawn]:
    """Give what a draw gives, and its record: those that the log has, else new ones."""
    entry = setting.given.pop(step_id, None)
    if isinstance(entry, Drawn):
        return unpack(entry.value, DRAWN[operation.kind]), entry
    value = setting.draw(operation, waited)
    return value, Drawn(value=pack(value))


def told_entry(setting: Setting, operation: Telling) -> Entry:
    match operation:
        case Note(text, level, place, data):
            return Noted(text=text, level=level, place=place, data=data)
        case Decide(subject, options, chosen, rule, why, confidence, inputs_hash):
            return Decision(
                subject=subject,
                options=options,
                chosen=chosen,
                rule=rule,
                why=why,
                confidence=confidence,
                inputs_hash=inputs_hash,
                policy_hash=setting.policy_hash,
            )
        case OpenChild(flow, case_id, inputs, mandate):
            return Child(case_id=case_id, flow=flow, inputs=inputs, mandate=setting.remainder.case(flow, mandate))
        case Send(case_id, key, value_):
            return Sent(case_id=case_id, key=key, value=value_)
        case CancelChild(case_id, reason):
            return Stopped(case_id=case_id, reason=reason)
        case Account(done, undone, unknown):
            return Partial(done=done, undone=undone, unknown=unknown)


def start_entry(setting: Setting, step_id: str, operation: Waiting) -> Entry | None:
    """Make the record that starts a waiting step, where it has one; raises as `_task` for a task that is not sent."""
    match operation:
        case CallTool() | NextReport() | Reckon() | TakeBack():
            return None
        case Delegate():
            return _task(setting, step_id, operation)
        case AskReview():
            expires = int(setting.now() + operation.expires_seconds * MICROS)
            return Review(
                id=identify(setting.identity, step_id),
                title=operation.title,
                proposal=operation.proposal,
                proposal_hash=digest(operation.proposal).hex(),
                rule=operation.rule,
                summary=operation.summary,
                evidence=operation.evidence,
                consequences=operation.consequences,
                expires=expires if operation.expires_seconds else 0,
            )
        case Park(key, reason):
            return Parked(key=key, reason=reason)
        case Sleep(seconds, until):
            return Timer(due=until or int(setting.now() + seconds * MICROS))


def _task(setting: Setting, step_id: str, operation: Delegate) -> Task:
    """Make the task of a delegation, or take the one that the log has of it.

    Raises:
        ContractIncomplete: a term is missing; such a task is not sent.
        ContractWidened: it is beyond what is left of the case's mandate.
    """
    sent = setting.given.pop(step_id, None)
    if isinstance(sent, Task) and _asked_again(setting, step_id, operation, sent):
        return setting.remainder.task(sent)
    task = Task(
        id=identify(setting.identity, step_id),
        tenant=setting.key.tenant,
        case_id=setting.key.case_id,
        step_id=step_id,
        task=operation.name,
        goal=operation.goal,
        success_criteria=tuple([Criterion(name=name) for name in operation.criteria]),
        inputs=operation.inputs,
        tools_allowed=operation.tools,
        risk_tier=operation.tier,
        deadline=_deadline(setting, operation),
        attempts=operation.attempts,
        budget=Budget(calls=operation.calls, micros=operation.micros),
        on_stop=operation.on_stop,
        sender=f"flow:{setting.flow}",
        purpose=setting.purpose,
        trace=setting.trace,
    )
    missing = missing_terms(task)
    if missing:
        raise ContractIncomplete(operation.name, missing)
    return setting.remainder.task(task)


def _asked_again(setting: Setting, step_id: str, operation: Delegate, sent: Task) -> bool:
    """Tell whether a task asks for just what this operation does, whatever belongs to the occasion."""
    key, budget = setting.key, sent.budget
    return (
        sent.step_id == step_id
        and sent.task == operation.name
        and sent.inputs == operation.inputs
        and sent.goal == operation.goal
        and sent.tools_allowed == operation.tools
        and sent.risk_tier is operation.tier
        and sent.on_stop is operation.on_stop
        and sent.attempts == operation.attempts
        and budget.calls == operation.calls
        and budget.micros == operation.micros
        and tuple([each.name for each in sent.success_criteria]) == operation.criteria
        and sent.purpose == setting.purpose
        and sent.case_id == key.case_id
        and sent.tenant == key.tenant
    )


def _deadline(setting: Setting, operation: Delegate) -> int:
    deadline = int(setting.now() + operation.deadline_seconds * MICROS)
    return min(deadline, operation.deadline) if operation.deadline else deadline


def identify(identity: bytes, step_id: str) -> str:
    """Give the id that grows from a step of the case with that identity: 32 hex digits, the same on every replay."""
    return digest(identity + step_id.encode()).hex()[:32]


def fits(operation: Waiting, entry: Entry) -> bool:
    """Tell whether a record can end this operation."""
    if type(entry) not in ENDS[type(operation)]:
        return False
    if isinstance(entry, Completed | Failed):
        return True
    if isinstance(entry, Call) and isinstance(operation, CallTool):
        return entry.tool == operation.name and (entry.arguments == operation.arguments or entry.edited)
    if isinstance(operation, TakeBack):
        return isinstance(entry, Call | Done | Undone) and entry.tool == operation.undo
    if isinstance(entry, Arrived) and isinstance(operation, Park):
        return entry.key == operation.key
    return True


#: What the steps of an operation are called that has no name of its own.
_NAMES: Final[Mapping[type, str]] = {
    AskReview: "review",
    Park: "park",
    Sleep: "timer",
    NextReport: "report",
    Note: "note",
    Decide: "decision",
    OpenChild: "open",
    Send: "send",
    CancelChild: "cancel",
    Reckon: "reckon",
    Account: "partial",
}


#: Operations whose steps are called as they say.
_NAMED: Final = (CallTool, Delegate)


def name_of(operation: Waiting | Telling) -> str:
    """Say what the steps of an operation are called."""
    if isinstance(operation, _NAMED):
        return operation.name
    return operation.undo if isinstance(operation, TakeBack) else _NAMES[type(operation)]


def answer(operation: Waiting, entry: Entry, step_id: str) -> tuple[object, Exception | None]:
    """Turn the record that ends a step into what the coroutine gets: a value or an error; of a task with its step."""
    assert type(entry) in ENDS[type(operation)], "the caller has checked that the record fits"
    if isinstance(entry, Call) and entry.failure is None:
        return entry.value, None
    if isinstance(entry, Completed):
        return (step_id, entry), None
    match entry:
        case Failed(kind=kind, message=message):
            assert isinstance(operation, Delegate), "only a task fails so"
            return None, TaskFailed(operation.name, kind, message)
        case Call(tool=tool, verdict=verdict, failure=FailureKind.REFUSED) if verdict.rule.startswith(BY_PERSON):
            return None, ReviewRejected(tool, verdict.rule.removeprefix(BY_PERSON), verdict.why)
        case Call(tool=tool, failure=FailureKind() as kind, message=message):
            return None, CallFailed(tool, kind, message)
        case Undone(tool=tool, kind=kind, message=message):
            return None, CallFailed(tool, kind, message)
        case Done(value=value):
            return value, None
        case Fired():
            return None, None
        case Reported(status=status, case_id=case_id) if status == FOREIGN:
            return None, ChildForeign(case_id)
        case _:
            return entry, None
