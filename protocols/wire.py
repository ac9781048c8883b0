"""The messages that agents exchange: the task contract, its outcome, and the small values they are made of.

Every message is a frozen, tagged Struct that is encoded once into a *frame*; the same bytes stand in the mailbox,
in the log and on the wire. Schema evolution follows four rules: fields are only added, new fields have defaults,
tags are never reused, and unknown fields are ignored on read. Values of user types travel as `Raw` (already
encoded), so the receiver decodes them straight into the type that it declared.
It does not know where a message goes, nor what time it is.
"""

import enum
from typing import Final

from msgspec import Raw, Struct

#: The empty value, MessagePack `nil`: the default of every Raw field.
NIL = Raw(b"\xc0")


#: The last moment that a deadline can name, in microseconds since the epoch: the end of the year 9999.
DEADLINE_MAX: Final = 253_402_300_799_999_999
#: Attempts at one task; more is no plan but a loop.
ATTEMPTS_MAX: Final = 1_000
#: Calls, and millionths of a currency, that a task may use up: what JSON can still count exactly.
BUDGET_MAX: Final = 2**53


class RiskTier(enum.StrEnum):
    """How much harm a wrong call can do; ordered by `rank`."""

    READ_ONLY = "read_only"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"

    rank: int
    """0 for READ_ONLY, 1 for REVERSIBLE, 2 for IRREVERSIBLE; an attribute, for every call asks for some."""


for _rank, _tier in enumerate(RiskTier):
    _tier.rank = _rank


class OnStop(enum.StrEnum):
    """Where work goes when its attempts, deadline or budget are used up."""

    PARK = "park"
    REVIEW = "review"
    FAIL = "fail"


class Budget(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a task may use up at most."""

    calls: int
    """Tool and model calls, all attempts together."""
    micros: int = 0
    """Money in millionths of the account's currency; 0 allows only calls that cost nothing."""


class Cost(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a piece of work did use up."""

    calls: int = 0
    micros: int = 0


class Evidence(Struct, frozen=True, kw_only=True, gc=False):
    """A thing that supports a value, by reference and content hash, never by copy."""

    ref: str
    """Where it is: `input:<path>` below the input folder, or `artifact:<sha256>` in the store."""
    sha256: str = ""
    label: str = ""


class Criterion(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A named predicate that a result must satisfy before its task counts as done."""

    name: str


class Checked(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What was found of one success criterion of a task."""

    name: str
    met: bool
    """False as well where it could not be told."""
    read: tuple[str, ...] = ()
    """What was read again to tell: of each call its step and the SHA-256 of its value, with a space between them."""


class Task(Struct, frozen=True, kw_only=True, tag="task", omit_defaults=True, gc=False):
    """The handoff contract: the only way to give an agent work. A missing term means: not sent."""

    id: str
    """Made from tenant, case and step, so a task sent again is the same task."""
    tenant: str
    case_id: str
    step_id: str
    """The scope of the case that this task is; the agent's own calls are steps below it."""
    task: str
    """The skill asked for; the supervisor routes by it."""
    goal: str
    """What a person would say is to be achieved, in a sentence."""
    success_criteria: tuple[Criterion, ...]
    inputs: Raw
    """What the receiver declared and nothing more."""
    tools_allowed: tuple[str, ...]
    risk_tier: RiskTier
    deadline: int
    """Microseconds since the epoch."""
    attempts: int
    """How often it may be tried in all, at least 1."""
    budget: Budget
    on_stop: OnStop
    sender: str
    purpose: str
    """Why the data may be looked at."""
    trace: str = ""
    """W3C traceparent of the sender's span."""


class Mandate(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a case may use that another one opened: all its tasks, and all cases below it, together."""

    tools_allowed: tuple[str, ...]
    """Tools that they, and the case's own flow, may ask for."""
    risk_tier: RiskTier
    """How much harm they, and the case's own flow, may do at most."""
    deadline: int
    """Microseconds since the epoch; no task is given longer than until then."""
    budget: Budget
    """Calls and money of its tasks and of the cases below it."""


class FailureKind(enum.StrEnum):
    """Why a task or a call has no value."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    """A policy, a permission or a limit said no; trying again does not help."""
    INVALID = "invalid"
    """Inputs or result did not fit what was declared."""
    CRITERION = "criterion"
    """A success criterion was not met."""
    UNAVAILABLE = "unavailable"
    """Nobody could take it, a breaker is open, or the world was out of reach: trying again may help."""
    ERROR = "error"
    """The code that did the work raised."""
    UNKNOWN = "unknown"
    """A write may or may not have happened; it is never repeated blindly."""


class Completed(Struct, frozen=True, kw_only=True, tag="completed", omit_defaults=True, gc=False):
    """The outcome of a task that was done and met its criteria."""

    task_id: str
    value: Raw = NIL
    confidence: float = 1.0
    evidence: tuple[Evidence, ...] = ()
    cost: Cost = Cost()
    agent: str = ""
    """Name and version of the agent that did it."""
    attempt: int = 1
    checked: tuple[Checked, ...] = ()
    """Its success criteria, in the order in which they were asked."""
    queued: int = 0
    """Microseconds from when its case gave it out to when an agent began."""
    worked: int = 0
    """Microseconds from then to when the agent handed it in."""


class Failed(Struct, frozen=True, kw_only=True, tag="failed", omit_defaults=True, gc=False):
    """The outcome of a task that has no value."""

    task_id: str
    kind: FailureKind
    message: str
    """One line; never contents of the case."""
    retryable: bool = False
    cost: Cost = Cost()
    agent: str = ""
    attempt: int = 1
    checked: tuple[Checked, ...] = ()
    """Those success criteria that were asked; the last is the one that was missed, if that is why it failed."""
    queued: int = 0
    worked: int = 0
    unseen: bool = False
    """It was refused before the agent was shown its inputs."""


Outcome = Completed | Failed


class CallAsked(Struct, frozen=True, kw_only=True, tag="call_asked", omit_defaults=True, gc=False):
    """An agent asks its case for one tool call inside the scope of its task."""

    task_id: str
    attempt: int
    tool: str
    arguments: Raw
    criterion: str = ""
    """The success criterion that wants to know, which may only read; empty for the agent's own work."""


class CallAnswered(Struct, frozen=True, kw_only=True, tag="call_answered", omit_defaults=True, gc=False):
    """What the case answers an agent: the recorded value, or why there is none."""

    value: Raw = NIL
    failure: FailureKind | None = None
    message: str = ""
    step_id: str = ""
    """The step that the call is, where it has a value."""


def unmet(task: Task, outcome: Completed) -> tuple[str, ...]:
    """Name the success criteria of a task that its outcome does not say were met."""
    missed: list[str] = []
    for criterion in task.success_criteria:
        for checked in outcome.checked:
            if checked.met and checked.name == criterion.name:
                break
        else:
            missed.append(criterion.name)
    return tuple(missed)


def missing_terms(task: Task) -> tuple[str, ...]:
    """Name the terms of the contract that are empty, absurd or without effect; empty when the task may be sent."""
    # Types are looked at as well: whoever writes a flow need not have a checker, and a number must be one to be sent.
    deadline, attempts, budget = task.deadline, task.attempts, task.budget
    checks = {
        "case_id": bool(task.case_id),
        "tenant": bool(task.tenant),
        "task": bool(task.task),
        "goal": type(task.goal) is str and bool(task.goal.strip()),
        "success_criteria": bool(task.success_criteria) and "" not in [each.name for each in task.success_criteria],
        "inputs": bool(bytes(task.inputs)),
        "tools_allowed": "" not in task.tools_allowed,
        "risk_tier": type(task.risk_tier) is RiskTier,
        "deadline": type(deadline) is int and 0 < deadline <= DEADLINE_MAX,
        "attempts": type(attempts) is int and 0 < attempts <= ATTEMPTS_MAX,
        "budget": type(budget.calls) is type(budget.micros) is int
        and 0 <= budget.calls <= BUDGET_MAX
        and 0 <= budget.micros <= BUDGET_MAX,
        "on_stop": type(task.on_stop) is OnStop,
        "sender": bool(task.sender),
        "purpose": bool(task.purpose),
    }
    return tuple([name for name, present in checks.items() if not present]) if False in checks.values() else ()


def widened_term(child: Task | Mandate, parent: Task | Mandate) -> tuple[str, str, str] | None:
    """Name the first term in which `child` is wider than `parent` as (term, asked, granted), or None."""
    extra = [tool for tool in child.tools_allowed if tool not in parent.tools_allowed]
    if extra:
        return "tools_allowed", extra[0], ", ".join(parent.tools_allowed) or "none"
    if child.risk_tier.rank > parent.risk_tier.rank:
        return "risk_tier", child.risk_tier, parent.risk_tier
    pairs = (
        ("deadline", child.deadline, parent.deadline),
        ("budget.calls", child.budget.calls, parent.budget.calls),
        ("budget.micros", child.budget.micros, parent.budget.micros),
    )
    for term, asked, granted in pairs:
        if asked > granted:
            return term, str(asked), str(granted)
    return None
